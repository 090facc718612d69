"""What was learnt from the DNS, for as long as it said that it holds.

Knows no clock: ``now`` is an argument, in seconds of any clock that only goes forward.
"""

from collections import OrderedDict
from dataclasses import dataclass
from enum import Enum

from dns.name import Name
from dns.rdata import Rdata
from dns.rdatatype import RdataType

from mailcore.resolver.answers import Answer, DnsFailureError, NoSuchNameError, name_text

ENTRY_LIMIT = 20_000

# Seconds. The floor keeps a TTL of 0 from asking anew for each of a thousand messages of one minute; the ceilings are
# a day, and for what does not exist the three hours of RFC 2308 section 5. A failure is kept for seconds only, so that
# a server that is back is believed soon (RFC 9520 section 3.2).
TTL_FLOOR = 5
TTL_CEILING = 86_400
NEGATIVE_TTL_CEILING = 10_800
FAILURE_TTL = 5


class Kind(Enum):
    """How a question ended."""

    ANSWERED = "answered"
    NO_SUCH_NAME = "no such name"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Question:
    """A name, always absolute, and a type."""

    name: Name
    rdtype: RdataType

    def __str__(self) -> str:
        return f"{name_text(self.name) or '.'} {self.rdtype.name}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a question ended, in a form that can be kept and given to many."""

    kind: Kind
    ttl: float  # seconds, from the moment it was learnt
    records: tuple[Rdata, ...] = ()
    authentic: bool = False
    name: Name | None = None
    reason: str = ""

    def lifetime(self) -> float:
        """Return for how many seconds to keep this."""
        if self.kind is Kind.FAILED:
            return FAILURE_TTL
        ceiling = TTL_CEILING if self.records else NEGATIVE_TTL_CEILING
        return min(max(self.ttl, TTL_FLOOR), ceiling)

    def answer(self, question: Question, age: float = 0) -> Answer:
        """Return the answer, ``age`` seconds after it was learnt; raises ``NoSuchNameError``, ``DnsFailureError``."""
        if self.kind is Kind.NO_SUCH_NAME:
            raise NoSuchNameError(str(question), authentic=self.authentic)
        if self.kind is Kind.FAILED:
            raise DnsFailureError(str(question), self.reason)
        return Answer(self.records, max(int(self.lifetime() - age), 0), self.authentic, self.name)


class Cache:
    """Outcomes by question, the least recently used leaving first when there are too many."""

    def __init__(self, limit: int = ENTRY_LIMIT) -> None:
        self._limit = limit
        self._entries: OrderedDict[Question, tuple[float, Outcome]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, question: Question, now: float) -> tuple[Outcome, float] | None:
        """Return the outcome and its age in seconds, or ``None`` when it is unknown or too old."""
        entry = self._entries.get(question)
        if entry is None:
            return None
        learnt, outcome = entry
        if now - learnt >= outcome.lifetime():
            del self._entries[question]
            return None
        self._entries.move_to_end(question)
        return outcome, now - learnt

    def put(self, question: Question, outcome: Outcome, now: float) -> None:
        """Remember an outcome that was learnt at ``now``."""
        self._entries[question] = (now, outcome)
        self._entries.move_to_end(question)
        while len(self._entries) > self._limit:
            self._entries.popitem(last=False)

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
