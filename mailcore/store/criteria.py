"""What to look for among the messages of a mailbox: a tree of plain values (RFC 3501 section 6.4.4).

Pure values: a protocol session builds the tree and the store evaluates it. Whatever a session can answer from memory
(flags, keywords, UIDs, sequence numbers, MODSEQ) has already become ``UidIn`` when the tree gets here. A tree is at
most 150 levels deep (50 of the client's, each with what the session put around it); recursion is no danger.
"""

from dataclasses import dataclass
from datetime import date
from enum import Enum
from typing import TypeAlias

_DAY = 86400  # seconds
_EPOCH = date(1970, 1, 1).toordinal()


@dataclass(frozen=True, slots=True)
class And:
    """Every one of the keys holds; an empty tuple holds for every message."""

    keys: tuple["Criterion", ...]


@dataclass(frozen=True, slots=True)
class Or:
    """At least one of the keys holds; an empty tuple holds for none."""

    keys: tuple["Criterion", ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The key does not hold."""

    key: "Criterion"


@dataclass(frozen=True, slots=True)
class UidIn:
    """The message has one of these UIDs."""

    uids: frozenset[int]


class Place(Enum):
    """Where a text may be found."""

    BODY = "body"  # the decoded text of the message without its header
    TEXT = "text"  # header or body


@dataclass(frozen=True, slots=True)
class HeaderContains:
    """The message has a field of this name (lower case) whose decoded text contains ``text``.

    "Contains" means here and below: as ``message/collation.py`` folds both, whatever the letter case. An empty text
    holds for every message that has the field at all.
    """

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class AddressContains:
    """The same for a field with addresses: found too in an address as it is meant, ``name <mailbox@host>``.

    There it stands without comments, white space and quotes.
    """

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Contains:
    """The decoded text of that place contains ``text``. No wildcards, ``%`` is a ``%``."""

    place: Place
    text: str


class Comparison(Enum):
    """How a day is compared, in the RFC's words; time of day and zone are disregarded."""

    BEFORE = "before"
    ON = "on"
    SINCE = "since"  # that day or later


@dataclass(frozen=True, slots=True)
class Arrived:
    """The day of the internal date (UTC) compares so."""

    comparison: Comparison
    day: date

    @property
    def span(self) -> tuple[int, int]:
        """The first second of it, and the first after it (since 1970)."""
        begin = (self.day.toordinal() - _EPOCH) * _DAY
        lowest = -(2**62) if self.comparison is Comparison.BEFORE else begin
        end = {Comparison.BEFORE: begin, Comparison.ON: begin + _DAY, Comparison.SINCE: 2**62}[self.comparison]
        return lowest, end


@dataclass(frozen=True, slots=True)
class Younger:
    """The internal date is not more than so many seconds before now (RFC 5032).

    Who asks has no clock: before the criterion is looked at, ``settled`` makes ``ArrivedFrom`` of it.
    """

    seconds: int


@dataclass(frozen=True, slots=True)
class ArrivedFrom:
    """The internal date is this moment (seconds since 1970) or a later one."""

    moment: int

    @property
    def span(self) -> tuple[int, int]:
        """The first second of it, and one that nothing reaches."""
        return self.moment, 2**62


@dataclass(frozen=True, slots=True)
class Sent:
    """The day in the Date field (as written there, zone disregarded) compares so."""

    comparison: Comparison
    day: date


@dataclass(frozen=True, slots=True)
class Larger:
    """RFC822.SIZE is greater than so many octets."""

    octets: int


@dataclass(frozen=True, slots=True)
class Smaller:
    """RFC822.SIZE is less than so many octets."""

    octets: int


Criterion: TypeAlias = (
    And
    | Or
    | Not
    | UidIn
    | HeaderContains
    | AddressContains
    | Contains
    | Arrived
    | Younger
    | ArrivedFrom
    | Sent
    | Larger
    | Smaller
)


def settled(criterion: Criterion, now: int) -> Criterion:
    """Say what a criterion means at this moment (seconds since 1970)."""
    match criterion:
        case Younger(seconds):
            return ArrivedFrom(now - seconds)
        case Not(key):
            return Not(settled(key, now))
        case And(keys):
            return And(tuple(settled(key, now) for key in keys))
        case Or(keys):
            return Or(tuple(settled(key, now) for key in keys))
    return criterion
