"""By what messages are sorted, and how they are threaded: plain values (RFC 5256, RFC 5957)."""

from dataclasses import dataclass
from enum import Enum


class SortKey(Enum):
    """What of a message is compared (RFC 5256 section 3, ``sort-key``; RFC 5957 section 3)."""

    ARRIVAL = "ARRIVAL"  # the internal date
    CC = "CC"  # the mailbox of the first address in Cc
    DATE = "DATE"  # the sent date
    DISPLAYFROM = "DISPLAYFROM"  # the first address in From as people read it
    DISPLAYTO = "DISPLAYTO"
    FROM = "FROM"
    SIZE = "SIZE"
    SUBJECT = "SUBJECT"  # the base subject
    TO = "TO"


@dataclass(frozen=True, slots=True)
class SortCriterion:
    """One key and its direction. Messages that are equal by all keys stay in the order of the mailbox."""

    key: SortKey
    reverse: bool = False


class Algorithm(Enum):
    """How messages become threads."""

    ORDEREDSUBJECT = "ORDEREDSUBJECT"
    REFERENCES = "REFERENCES"
