"""The envelope of a message: who sent it, to whom, and how it came (RFC 5321 section 2.3.1).

Plain values that every layer above may hold. Not the content: a body is bytes behind ``BodySink``. Not the texts of
a dialogue either: ``mailcore/smtp/replies.py`` has those; ``Reply`` is only their form.
"""

from dataclasses import dataclass
from typing import Protocol

from mailcore.dialogue import Login, Peer, TlsFacts


@dataclass(frozen=True, slots=True)
class Reply:
    """A verdict in the words of SMTP, for example ``Reply(550, "5.1.1", "No such mailbox")``.

    Several lines of text are separated by a line feed. ``status`` is the enhanced status code (RFC 3463), empty where
    there is none (the banner, EHLO, 334, 354).
    """

    code: int
    status: str
    text: str

    @property
    def positive(self) -> bool:
        """Whether the client got what it asked for."""
        return self.code < 400


@dataclass(frozen=True, slots=True)
class Client:
    """Who speaks to us over SMTP, as far as is known by now."""

    peer: Peer
    tls: TlsFacts | None = None
    helo: str = ""  # what it called itself; believed by nobody
    protocol: str = "SMTP"  # or ESMTP, LMTP: by how it said hello; HTTP over the API
    login: Login | None = None
    stranger: bool = False  # from outside, on the port for mail from outside: what it does is counted and limited


@dataclass(frozen=True, slots=True)
class Recipient:
    """One forward-path with what the client asked for it (RFC 3461)."""

    # local-part@domain as the client wrote it, with needless quotes removed and the domain in lower case. What follows
    # the last "@" is the domain, always; a literal keeps its brackets.
    # "postmaster" alone, as RFC 5321 section 4.5.1 wants it, is the one address without a domain.
    address: str
    # Of NEVER, SUCCESS, FAILURE, DELAY; empty when the client did not say (then FAILURE and DELAY are meant).
    notify: frozenset[str] = frozenset()
    # "rfc822;bob@example.com", decoded from xtext and free of control characters; empty when not given.
    orcpt: str = ""


@dataclass(frozen=True, slots=True)
class Envelope:
    """What surrounds one message. ``client`` is ``None`` for what this server writes itself (a DSN)."""

    client: Client | None
    sender: str  # "" is the null reverse-path
    recipients: tuple[Recipient, ...] = ()
    size: int = 0  # octets: declared with SIZE= while the envelope is given, exact with the message
    body_type: str = "7BIT"  # or 8BITMIME, as declared (RFC 6152)
    smtputf8: bool = False  # RFC 6531
    ret: str = ""  # FULL or HDRS: how much of the message a DSN returns (RFC 3461)
    envid: str = ""  # decoded from xtext
    requiretls: bool = False  # RFC 8689: it goes to nobody who does not prove who he is
    hold_for: int = 0  # RFC 4865: seconds from now, or ...
    hold_until: int = 0  # ... the moment (Unix time) until which nobody gets it; 0: at once

    def with_recipients(self, more: tuple[Recipient, ...]) -> "Envelope":
        """Return this envelope with more recipients."""
        return self._changed(self.recipients + more, self.size)

    def with_size(self, size: int) -> "Envelope":
        """Return this envelope with the exact size of the message."""
        return self._changed(self.recipients, size)

    def _changed(self, recipients: tuple[Recipient, ...], size: int) -> "Envelope":
        # Twice for each message: dataclasses.replace is several times slower.
        return Envelope(
            self.client,
            self.sender,
            recipients,
            size,
            self.body_type,
            self.smtputf8,
            self.ret,
            self.envid,
            self.requiretls,
            self.hold_for,
            self.hold_until,
        )

    @property
    def with_protocol(self) -> str:
        """The keyword for the WITH clause of Received: ``ESMTPSA`` and the like (RFC 3848, RFC 6531 section 4.3)."""
        client = self.client
        if client is None or client.protocol == "SMTP":
            return "SMTP"
        if client.protocol == "HTTP":
            return "HTTP"
        base = f"UTF8{client.protocol.removeprefix('E')}" if self.smtputf8 else client.protocol
        return base + ("S" if client.tls else "") + ("A" if client.login else "")


class BodyRefusedError(Exception):
    """The body cannot be kept. The client hears ``reply`` once it has sent everything."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.text)
        self.reply = reply


class BodySink(Protocol):
    """Where a session puts the octets of one message while they come in, without transparency dots."""

    @property
    def size(self) -> int:
        """Octets written."""

    def write(self, data: bytes) -> None:
        """Take the next octets. Raises ``BodyRefusedError`` when there is no room; nothing is written after that."""

    def abandon(self) -> None:
        """Forget everything: the message will not be accepted. Calling it twice is harmless."""
