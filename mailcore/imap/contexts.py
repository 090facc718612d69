"""Searches that a client wants to be kept up: ``RETURN (UPDATE)`` (RFC 5267 section 4.3). State alone, no behaviour."""

from array import array
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

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
    # Tells more of new messages that come into it (RFC 5465 section 7); takes the talk and their places.
    describe: Callable[[Any, Collection[int]], Any] | None = None
    unsure: set[int] = field(default_factory=set)  # UIDs that could not be looked at when they had changed
