"""What the delivery speaks of: a message, some of its recipients, where they go, what came of it. Plain values."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from mailcore.intake.routing import Plan
from mailcore.message.envelope import Envelope, Recipient
from mailcore.smtp.client import Credentials, Outcome, Phase, Tls, Verdict


@dataclass(frozen=True, slots=True)
class Mail:
    """A queued message, without its bytes."""

    id: int
    body_id: int
    sender: str
    size: int
    received_at: datetime
    expires_at: datetime
    ret: str = ""
    envid: str = ""
    smtputf8: bool = False
    eight_bit: bool = False
    requiretls: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """One recipient of a queued message, leased to us."""

    id: int
    trace_id: int
    recipient: str
    destination: str
    orcpt: str = ""
    notify: frozenset[str] = frozenset()
    attempts: int = 0
    delay_notified: bool = False
    crashes: int = 0  # attempts that ended in an error of ours
    turn: int = 0  # whose turn comes first (``mailqueue/turns.py``)
    return_path: str = ""  # the sender that it is handed on with; empty: that of the message

    @property
    def address(self) -> str:
        """The address as it is said to a server: its domain in A-labels, which need no SMTPUTF8."""
        return f"{self.recipient.rpartition('@')[0]}@{self.destination}"

    def wants(self, notice: str) -> bool:
        """Say whether the sender wants to hear of SUCCESS, FAILURE or DELAY here (RFC 3461 section 4.1)."""
        return notice in (self.notify or {"FAILURE", "DELAY"})


@dataclass(frozen=True, slots=True)
class Nexthop:
    """Who takes the mail next: the mail hosts of a domain, the host of a route, or this server itself."""

    domain: str = ""  # its MX hosts; empty when there is a route
    host: str = ""  # of a route
    port: int = 25
    tls: Tls = Tls.OPPORTUNISTIC
    login: Credentials | None = None
    local: bool = False

    def __str__(self) -> str:
        return "this server" if self.local else self.domain or f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Job:
    """Recipients of one message that go the same way, in one transaction, and with the same return path."""

    mail: Mail
    entries: tuple[Entry, ...]
    nexthop: Nexthop
    ahead: bool = False  # it was not its turn yet, but there was room
    probe: bool = False  # to see whether anybody is there again

    @property
    def turn(self) -> int:
        """Whose turn comes first."""
        return min(entry.turn for entry in self.entries)

    @property
    def destinations(self) -> frozenset[str]:
        """The domains of its recipients; several where one host takes them all."""
        return frozenset(entry.destination for entry in self.entries)

    @property
    def envelope(self) -> Envelope:
        """The envelope to hand on."""
        mail = self.mail
        return Envelope(
            None,
            self.entries[0].return_path or mail.sender,
            tuple(Recipient(entry.address, entry.notify, entry.orcpt) for entry in self.entries),
            mail.size,
            "8BITMIME" if mail.eight_bit else "7BIT",
            mail.smtputf8,
            mail.ret,
            mail.envid,
            mail.requiretls,
        )


@dataclass(frozen=True, slots=True)
class Contact:
    """With whom we spoke, as far as it came."""

    host: str = ""
    address: str = ""
    tls: str = ""  # version and cipher; empty: in the clear
    relays_notices: bool = False  # it offers DSN: notices of success are its business from now on
    duration_ms: int = 0


class Reach(Enum):
    """What an attempt has told about its destination."""

    THERE = "there"  # somebody has answered, if only the DNS: that there is nobody
    UNKNOWN = "unknown"  # the attempt came to nothing because of the message
    NOBODY = "nobody"  # nobody could be spoken to, and no other connection was there that did better


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one recipient in one attempt."""

    entry: Entry
    outcome: Outcome
    contact: Contact = Contact()
    here: Plan | None = None  # the mailboxes and further recipients that it became on this server
    reach: Reach = Reach.THERE
    tried: bool = True  # ``False``: the time is over, and nobody tried, because the destination is away


class AwayError(Exception):
    """Nobody has tried a job, because another one has found that nobody is there; ``outcome`` says how."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.text)
        self.outcome = outcome


def own_outcome(verdict: Verdict, status: str, text: str) -> Outcome:
    """Make an outcome of our own, before anybody was spoken to."""
    return Outcome(verdict, Phase.CONNECT, status, text)
