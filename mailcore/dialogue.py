"""How a protocol session speaks with what surrounds it: bytes in, actions out.

A session knows no socket, clock, thread or table. ``transport.py`` feeds it the bytes that came and does
what it answers, in order. A command handler either returns what it has to say (bytes), or is a generator
that yields questions (and, for long answers, pieces of output) and returns the rest. While a question is
open the session keeps what comes in and handles nothing, and the transport stops reading.
"""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias


class Question:
    """Something that a session cannot know by itself. Subclasses are frozen dataclasses; each says what answers it."""

    __slots__ = ()

    def dropped(self) -> None:
        """Nobody will answer: the connection ended before it could be asked. What it brought along is let go."""


@dataclass(frozen=True, slots=True)
class Pause(Question):
    """Nothing: a long answer from memory lets other sessions have their turn, and the client read. Answer: ``None``."""


@dataclass(frozen=True, slots=True)
class Send:
    """Write these bytes to the peer."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Ask:
    """Find the answer to this question and give it to ``Session.answer`` (or ``Session.failed``).

    The transport waits with it until the peer has taken most of what was sent before (back pressure): a slow
    reader therefore holds up its own next slice and nothing else.
    """

    question: Question


@dataclass(frozen=True, slots=True)
class StartTls:
    """Flush, begin the TLS handshake as server, then call ``Session.tls_started``.

    The session has already forgotten everything that it had buffered (RFC 3207 section 4.2).
    """


@dataclass(frozen=True, slots=True)
class StartDeflate:
    """Flush; then deflate what goes out, and inflate what comes in from now on (RFC 4978 section 3).

    The session has already forgotten everything that it had buffered.
    """


@dataclass(frozen=True, slots=True)
class StopDeflate:
    """Flush; then go on without compression (RFC 8437 section 4.1). What the session had buffered is forgotten."""


@dataclass(frozen=True, slots=True)
class Close:
    """Flush, then close the connection. Nothing that comes after is given to the session."""


Action: TypeAlias = Send | Ask | StartTls | StartDeflate | StopDeflate | Close

# What a handler is: it yields questions and pieces of output, gets the answers, and returns its last words.
Exchange: TypeAlias = Generator[Question | bytes, Any, bytes]


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is on the other side, as the transport knows it."""

    address: str  # IP address in canonical text form, v4-mapped folded to IPv4
    port: int
    tls: "TlsFacts | None" = None  # set from the first byte on ports with implicit TLS


@dataclass(frozen=True, slots=True)
class TlsFacts:
    """What was agreed in a TLS handshake."""

    version: str  # "TLSv1.3"
    cipher: str  # "TLS_AES_256_GCM_SHA384"
    server_name: str = ""  # SNI, "" when the client sent none


@dataclass(frozen=True, slots=True)
class Login:
    """Somebody who has proved who they are."""

    account_id: int  # primary key of the account
    name: str  # the account's own login name, however the client spelled it


class UnavailableError(Exception):
    """What should answer cannot do so now: the database is locked, full or away, or too much waits before it.

    The peer hears a temporary failure (451 4.3.0, ``NO [UNAVAILABLE]``) and may come back.
    """


class NoSpaceError(UnavailableError):
    """There is no room left on a disk. Where the protocol has a word for that, the peer hears it (452 4.3.1)."""


class Session(Protocol):
    """What every protocol session offers to the transport."""

    def greet(self) -> list[Action]:
        """Start the conversation (the banner)."""

    def receive(self, data: bytes) -> list[Action]:
        """Take bytes as they came off the wire; any cut is as good as any other."""

    def answer(self, value: Any) -> list[Action]:
        """Take the answer to the one open question."""

    def failed(self, error: Exception) -> list[Action]:
        """The open question could not be answered. Say so to the peer (a temporary failure) and go on."""

    def tls_started(self, facts: TlsFacts) -> list[Action]:
        """Say that the handshake that was asked for with ``StartTls`` is done."""

    def waiting(self) -> list[Action]:
        """Say that the open question is still being answered, if there is a word for that: ``Send`` and nothing else.

        Called while a question has been open, and nothing said, for ten seconds; and again every ten seconds.
        """

    def timed_out(self) -> list[Action]:
        """Nothing came for ``patience`` seconds: say goodbye."""

    def drain(self) -> list[Action]:
        """The server is going down: end the connection as soon as no command is in flight."""

    def lost(self) -> list[Action]:
        """Take note that the connection is gone, whoever ended it; called once, the last call of all.

        What is held (a spooled body, the lock of a maildrop) is let go. Where that needs somebody else there is an
        ``Ask``; nobody waits for its answer, and nothing can be sent any more.
        """

    def notice(self, news: object) -> list[Action]:
        """Something changed outside (IMAP: a mailbox). Most protocols have nothing to say."""

    @property
    def patience(self) -> float:
        """Seconds that the peer may now be silent before ``timed_out``."""

    @property
    def stage(self) -> tuple[int, float]:
        """Return a number for how far the conversation has come, and how many seconds it may stay there.

        What is sent meanwhile prolongs them, at a fair pace. ``inf``: for as long as the peer is not silent.
        """


# For sessions that may last.
LASTING = (0, float("inf"))
