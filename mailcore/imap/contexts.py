"""Searches that a client wants to be kept up: ``RETURN (UPDATE)`` (RFC 5267 section 4.3). State alone, no behaviour."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mailcore.store.sort_keys import SortCriterion

if TYPE_CHECKING:
    from mailcore.imap.search_keys import Key


@dataclass(slots=True)
class Context:
    """What was asked for under one tag, and what the client has been told of the result."""

    tag: bytes
    key: "Key"  # its sets are those of the moment when it was asked for
    uid: bool  # results are UIDs, not message numbers
    criteria: Sequence[SortCriterion]  # empty: the result is not sorted
    uids: "array[int]"  # the result: ascending, or in order
    unsure: set[int] = field(default_factory=set)  # UIDs that could not be looked at when they had changed
