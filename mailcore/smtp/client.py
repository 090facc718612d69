"""Our side of the conversation when we hand mail on: the SMTP client as a session of bytes and actions.

Knows no socket and no clock. The driver (``mailcore/delivery/connection.py``) connects, performs the actions in order
and calls back; which host to speak to, and what becomes of the recipients, is decided above.

    session = ClientSession(policy)
    perform(session.connected())          # … ``Ready``
    perform(session.send(envelope))       # … ``NextPiece`` …
    perform(session.body(piece))          # … ``Finished``, then ``Ready`` for the next message
    perform(session.quit())

Not here: BDAT (nothing that we accept needs it) and conversion to 7 bits: a message with 8-bit content goes to a server
without 8BITMIME as it is, as most servers do, because that works in practice and breaks no signature.
"""

import re
from base64 import b64encode
from collections.abc import Generator
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import TypeAlias, TypeVar

from mailcore.dialogue import Close, Send, TlsFacts
from mailcore.message.envelope import Envelope, Recipient, Reply
from mailcore.smtp.body_stream import BareNewlineError, DotStuffer
from mailcore.smtp.reply_lines import GarbageError, ReplyReader

# A reply is kept with an attempt, shown and sent in reports: this much of it, in characters.
TEXT_LIMIT = 1000


class Tls(StrEnum):
    """How much TLS matters; the values are those of a route."""

    NEVER = "never"
    OPPORTUNISTIC = "opportunistic"
    REQUIRED = "required"


class Verdict(StrEnum):
    """What came of a recipient; the values are those of an attempt."""

    SENT = "sent"
    DEFERRED = "deferred"
    FAILED = "failed"


class Phase(Enum):
    """Where in the conversation something happened; the value completes "lost connection while …"."""

    CONNECT = "connecting"
    GREETING = "waiting for the greeting"
    HELLO = "saying EHLO"
    TLS = "starting TLS"
    AUTH = "authenticating"
    MAIL = "sending MAIL FROM"
    RCPT = "sending RCPT TO"
    DATA = "sending DATA"
    BODY = "sending the message"
    END_OF_DATA = "waiting for the end of the message to be confirmed"
    IDLE = "idle"
    RESET = "sending RSET"
    QUIT = "sending QUIT"


# Seconds, RFC 5321 section 4.5.3.2. It has no figure for what came later; those commands are as quick as EHLO.
_PATIENCE = {
    Phase.DATA: 120.0,
    Phase.BODY: 180.0,
    Phase.END_OF_DATA: 600.0,
    Phase.RESET: 30.0,
    Phase.QUIT: 5.0,  # everything is said; politeness does not keep a socket open
}
_PATIENCE_ELSE = 300.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a recipient or of a connection, in whose words, and when."""

    verdict: Verdict
    phase: Phase
    status: str  # enhanced status code (RFC 3463), made up from the code where the remote gave none
    text: str
    code: int | None = None  # of the remote's reply; ``None`` when the words are ours

    @property
    def words(self) -> str:
        """The whole reply as one would quote it."""
        return f"{self.code} {self.status} {self.text}" if self.code else f"{self.status} {self.text}"


@dataclass(frozen=True, slots=True)
class Credentials:
    """Name and password for a smart host."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientPolicy:
    """How to speak to one host."""

    hostname: str  # how we call ourselves
    tls: Tls = Tls.OPPORTUNISTIC
    login: Credentials | None = None
    plaintext_auth_ok: bool = False  # the password may go without TLS: a host on this machine


@dataclass(frozen=True, slots=True)
class BeginTls:
    """Flush, begin the TLS handshake as client, then call ``tls_started``, or drop the connection."""


@dataclass(frozen=True, slots=True)
class NextPiece:
    """When the peer has taken most of what was sent: call ``body`` with the next piece, ``None`` after the last."""


@dataclass(frozen=True, slots=True)
class Ready:
    """The next message may be given to ``send``."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A message is dealt with: one outcome for each recipient, in their order."""

    outcomes: tuple[Outcome, ...]


@dataclass(frozen=True, slots=True)
class GaveUp:
    """The connection did not come as far as ``Ready``."""

    outcome: Outcome


Action: TypeAlias = Send | BeginTls | NextPiece | Ready | Finished | GaveUp | Close


class _EndedError(Exception):
    """The conversation cannot go on; ``outcome`` is for everything that is still open."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.text)
        self.outcome = outcome


class _Waiting(Enum):
    REPLY = "reply"
    PIECE = "piece"
    HANDSHAKE = "handshake"
    NOTHING = "nothing"


T = TypeVar("T")

# A part of the conversation: it yields when it has to wait, for a reply or for a piece of the message (``None``: its
# end), and returns what the next part needs.
_Part: TypeAlias = Generator[None, Reply | bytes | None, T]


class ClientSession:
    """Takes bytes, gives actions. One connection, any number of messages."""

    def __init__(self, policy: ClientPolicy) -> None:
        self._policy = policy
        self._reader = ReplyReader()
        self._waiting = _Waiting.NOTHING
        self._phase = Phase.CONNECT
        self._part: _Part[None] | None = None
        self._actions: list[Action] = []
        self._opened = False
        self._over = False
        self._outcomes: list[Outcome | None] | None = None  # of the message in hand, as far as they are known
        self.offers: dict[str, str] = {}  # what EHLO offered: keyword to parameters, in upper case
        self.tls: TlsFacts | None = None

    # What the driver tells.

    def connected(self, tls: TlsFacts | None = None) -> list[Action]:
        """Begin: the connection is there, inside TLS already where that comes first (port 465)."""
        self.tls = tls
        return self._begin(self._opening())

    def receive(self, data: bytes) -> list[Action]:
        """Take bytes as they came; any cut is as good as any other."""
        if self._over:
            return []
        if self._waiting is _Waiting.HANDSHAKE:
            return self._end(self._injected())
        try:
            self._reader.feed(data)
            self._read_replies()
        except GarbageError as error:
            return self._end(self._ours(Verdict.DEFERRED, "4.5.0", str(error)))
        return self._take_actions()

    def tls_started(self, facts: TlsFacts) -> list[Action]:
        """Go on inside TLS. All that was said before the handshake counts no more (RFC 3207 section 4.2)."""
        self.tls = facts
        return self._begin(self._inside_tls())

    def distrust(self, reason: str) -> list[Action]:
        """End it: whoever is there has not proved to be the host that was meant, or cannot."""
        return self._end(self._ours(Verdict.DEFERRED, "4.7.5", reason))

    def send(self, envelope: Envelope) -> list[Action]:
        """Hand a message over; only after ``Ready``. Its ``smtputf8`` means that it needs the extension."""
        if self._phase is not Phase.IDLE or self._over:
            raise RuntimeError(f"not ready for a message: {self._phase.value}")
        return self._begin(self._transaction(envelope))

    def body(self, piece: bytes | None) -> list[Action]:
        """Take the next piece of the message, ``None`` after the last; only in answer to ``NextPiece``."""
        if self._waiting is not _Waiting.PIECE or self._over:
            return []
        self._step(piece)
        return self._take_actions()

    def quit(self) -> list[Action]:
        """Say goodbye; in the middle of something there is no time for it."""
        if self._over:
            return []
        if self._phase is not Phase.IDLE:
            return self._end(self._ours(Verdict.DEFERRED, "4.3.2", "this server is going down"))
        return self._begin(self._goodbye())

    def timed_out(self) -> list[Action]:
        """Nothing came, or nothing could be sent, for ``patience`` seconds."""
        return self._end(self._ours(Verdict.DEFERRED, "4.4.2", f"time-out while {self._phase.value}"))

    def disconnected(self, reason: str = "") -> list[Action]:
        """The connection is gone. ``reason`` is for people, empty when it was closed in order."""
        text = f"lost connection while {self._phase.value}"
        return self._end(self._ours(Verdict.DEFERRED, "4.4.2", f"{text}: {reason}" if reason else text))

    @property
    def patience(self) -> float:
        """Seconds that nothing may happen now before ``timed_out``."""
        return _PATIENCE.get(self._phase, _PATIENCE_ELSE)

    @property
    def phase(self) -> Phase:
        """Where the conversation stands."""
        return self._phase

    def limit(self, name: str) -> int | None:
        """Return what the server says it takes at most: ``RCPTMAX``, ``MAILMAX`` (RFC 9422); ``None``: it says nothing.

        A limit that is none, or nothing, is not one.
        """
        for word in self.offers.get("LIMITS", "").split():
            key, _, value = word.partition("=")
            if key == name and _LIMIT.fullmatch(value):
                return int(value)
        return None

    # The machine: runs one part after another, and hands each what it waits for.

    def _begin(self, part: _Part[None]) -> list[Action]:
        self._part = part
        self._step(None)
        return self._take_actions()

    def _read_replies(self) -> None:
        while not self._over and self._waiting is not _Waiting.HANDSHAKE:
            reply = self._reader.next()
            if reply is None:
                return
            self._step(reply)

    def _step(self, event: Reply | bytes | None) -> None:
        try:
            if isinstance(event, Reply) and (event.code == 421 or self._part is None):
                # The server closes, whatever was asked (RFC 5321 section 3.8), or speaks though nobody asked.
                raise _EndedError(self._theirs(event))  # noqa: TRY301
            if self._part is not None:
                self._part.send(event)
        except StopIteration:
            self._rest()
        except _EndedError as error:
            self._fail(error.outcome)

    def _rest(self) -> None:
        """A part is through: the next message may come, or that was the goodbye."""
        self._part = None
        self._waiting = _Waiting.NOTHING
        if self._phase is Phase.QUIT:
            self._over = True
            self._actions.append(Close())
        else:
            self._opened = True
            self._phase = Phase.IDLE
            self._actions.append(Ready())

    def _fail(self, outcome: Outcome) -> None:
        """Give up the connection, and tell who waits for something."""
        self._over = True
        self._part = None
        if self._outcomes is not None:
            self._finish(outcome)
        elif not self._opened:
            self._actions.append(GaveUp(outcome))
        self._actions.append(Close())

    def _end(self, outcome: Outcome) -> list[Action]:
        if not self._over:
            self._fail(outcome)
        return self._take_actions()

    def _finish(self, rest: Outcome) -> None:
        """Close the transaction; recipients without an outcome of their own have this one."""
        outcomes, self._outcomes = self._outcomes or [], None
        self._actions.append(Finished(tuple(outcome or rest for outcome in outcomes)))

    def _take_actions(self) -> list[Action]:
        actions, self._actions = self._actions, []
        return actions

    def _ask(self, phase: Phase, commands: bytes = b"") -> _Part[Reply]:
        """Send commands (none: they are on their way) and return the next reply."""
        self._phase = phase
        self._waiting = _Waiting.REPLY
        if commands:
            self._actions.append(Send(commands))
        reply = yield
        if not isinstance(reply, Reply):
            raise TypeError("only a reply can come here")
        return reply

    # The parts of a conversation.

    def _opening(self) -> _Part[None]:
        greeting = yield from self._ask(Phase.GREETING)
        if greeting.code != 220:
            raise _EndedError(self._theirs(greeting))
        yield from self._hello()
        if self.tls is None and self._policy.tls is not Tls.NEVER and "STARTTLS" in self.offers:
            reply = yield from self._ask(Phase.TLS, b"STARTTLS\r\n")
            if reply.code == 220:
                yield from self._handshake()
        yield from self._after_tls()

    def _handshake(self) -> _Part[None]:
        """Ask for TLS; the conversation goes on with ``_inside_tls``."""
        if self._reader.pending:
            raise _EndedError(self._injected())
        self._reader = ReplyReader()
        self.offers = {}
        self._waiting = _Waiting.HANDSHAKE
        self._actions.append(BeginTls())
        yield

    def _inside_tls(self) -> _Part[None]:
        yield from self._hello()
        yield from self._after_tls()

    def _after_tls(self) -> _Part[None]:
        if self.tls is None and self._policy.tls is Tls.REQUIRED:
            raise _EndedError(self._ours(Verdict.DEFERRED, "4.7.4", "TLS is required and was not to be had"))
        if self._policy.login is not None:
            yield from self._authenticate(self._policy.login)

    def _hello(self) -> _Part[None]:
        reply = yield from self._ask(Phase.HELLO, _command(f"EHLO {self._policy.hostname}"))
        self.offers = _offers(reply) if reply.code == 250 else {}
        if reply.code >= 500:
            # RFC 5321 section 3.2: a server that does not know EHLO is greeted with HELO.
            reply = yield from self._ask(Phase.HELLO, _command(f"HELO {self._policy.hostname}"))
        if reply.code != 250:
            raise _EndedError(self._theirs(reply))

    def _authenticate(self, login: Credentials) -> _Part[None]:
        """RFC 4954, with PLAIN (RFC 4616) or LOGIN."""
        self._phase = Phase.AUTH
        if self.tls is None and not self._policy.plaintext_auth_ok:
            raise _EndedError(self._ours(Verdict.DEFERRED, "4.7.11", "without TLS the password stays here"))
        mechanisms = self.offers.get("AUTH", "").split()
        user, password = login.username.encode(), login.password.encode()
        if "PLAIN" in mechanisms:
            response = b64encode(b"\0" + user + b"\0" + password)
            reply = yield from self._ask(Phase.AUTH, b"AUTH PLAIN " + response + b"\r\n")
        elif "LOGIN" in mechanisms:
            reply = yield from self._ask(Phase.AUTH, b"AUTH LOGIN\r\n")
            for word in (user, password):
                if reply.code == 334:
                    reply = yield from self._ask(Phase.AUTH, b64encode(word) + b"\r\n")
        else:
            raise _EndedError(self._ours(Verdict.DEFERRED, "4.7.0", "the server offers no AUTH that we know"))
        if reply.code != 235:
            # A wrong password is ours to correct: the mail waits for it, it is not at fault.
            raise _EndedError(self._theirs(reply, Verdict.DEFERRED))

    def _transaction(self, envelope: Envelope) -> _Part[None]:
        """MAIL, RCPT, DATA and the message (RFC 5321 section 3.3)."""
        self._phase = Phase.MAIL
        self._outcomes = [self._unsendable(envelope, recipient) for recipient in envelope.recipients]
        wanted = [number for number, outcome in enumerate(self._outcomes) if outcome is None]
        if not wanted:
            self._finish(_NONE_LEFT)
            return
        mail = self._mail(envelope)
        rcpts = [self._rcpt(envelope.recipients[number]) for number in wanted]
        exchange = self._all_at_once if "PIPELINING" in self.offers else self._one_by_one
        accepted, data = yield from exchange(mail, rcpts, wanted)
        if data is None or data.code != 354:
            self._finish(_NONE_LEFT if data is None else self._theirs(data))
            yield from self._reset()
            return
        # RFC 2920 section 3.1: a server that takes DATA though it took no recipient gets an empty message.
        end = (yield from self._content()) if accepted else b".\r\n"
        reply = yield from self._ask(Phase.END_OF_DATA, end)
        self._finish(self._theirs(reply))
        if not _is_positive(reply):
            yield from self._reset()

    def _all_at_once(self, mail: bytes, rcpts: list[bytes], wanted: list[int]) -> _Part[tuple[bool, Reply | None]]:
        """Say the whole envelope, then hear the replies (RFC 2920). Returns: is a recipient accepted; what DATA got."""
        sender = yield from self._ask(Phase.MAIL, b"".join([mail, *rcpts, b"DATA\r\n"]))
        if not _is_positive(sender):
            self._decide(wanted, self._theirs(sender))
        accepted = False
        for number in wanted:
            reply = yield from self._ask(Phase.RCPT)
            if _is_positive(sender):
                accepted = self._judge(number, reply) or accepted
        data = yield from self._ask(Phase.DATA)
        return accepted, data

    def _one_by_one(self, mail: bytes, rcpts: list[bytes], wanted: list[int]) -> _Part[tuple[bool, Reply | None]]:
        """Say the envelope command by command. Returns the same; there is no DATA where nobody is accepted."""
        sender = yield from self._ask(Phase.MAIL, mail)
        if not _is_positive(sender):
            self._decide(wanted, self._theirs(sender))
            return False, None
        accepted = False
        for number, rcpt in zip(wanted, rcpts, strict=True):
            reply = yield from self._ask(Phase.RCPT, rcpt)
            accepted = self._judge(number, reply) or accepted
        if not accepted:
            return False, None
        data = yield from self._ask(Phase.DATA, b"DATA\r\n")
        return True, data

    def _content(self) -> _Part[bytes]:
        """Send the message piece by piece as the peer takes it. Returns the line that ends it."""
        self._phase = Phase.BODY
        self._waiting = _Waiting.PIECE
        stuffer = DotStuffer()
        try:
            while True:
                self._actions.append(NextPiece())
                piece = yield
                if isinstance(piece, Reply):
                    # It does not wait for the end. What was said cannot be taken back: there is no way on from here.
                    raise _EndedError(self._theirs(piece))
                if piece is None:
                    return stuffer.end()
                self._actions.append(Send(stuffer.piece(piece)))
        except BareNewlineError:
            # Intake refuses such mail; should one be here, it must not leave. Without the dot the server forgets it.
            text = "the message has a bare CR or LF"
            raise _EndedError(self._ours(Verdict.FAILED, "5.6.11", text)) from None

    def _reset(self) -> _Part[None]:
        """Make the server forget a transaction that came to nothing."""
        reply = yield from self._ask(Phase.RESET, b"RSET\r\n")
        if not _is_positive(reply):
            raise _EndedError(self._theirs(reply))

    def _goodbye(self) -> _Part[None]:
        yield from self._ask(Phase.QUIT, b"QUIT\r\n")

    # Commands.

    def _mail(self, envelope: Envelope) -> bytes:
        parameters = []
        if "SIZE" in self.offers and envelope.size:
            parameters.append(f"SIZE={envelope.size}")
        if "8BITMIME" in self.offers and envelope.body_type == "8BITMIME":
            parameters.append("BODY=8BITMIME")
        international = _needs_utf8(envelope) or not all(one.address.isascii() for one in envelope.recipients)
        if "SMTPUTF8" in self.offers and international:
            parameters.append("SMTPUTF8")
        if envelope.requiretls:
            parameters.append("REQUIRETLS")
        if "DSN" in self.offers:
            parameters += [f"RET={envelope.ret}"] if envelope.ret else []
            parameters += [f"ENVID={_xtext(envelope.envid)}"] if envelope.envid else []
        return _command(" ".join([f"MAIL FROM:<{envelope.sender}>", *parameters]))

    def _rcpt(self, recipient: Recipient) -> bytes:
        parameters = []
        if "DSN" in self.offers:
            parameters += [f"NOTIFY={','.join(sorted(recipient.notify))}"] if recipient.notify else []
            kind, _, address = recipient.orcpt.partition(";")
            # The type utf-8 (RFC 6533) has an encoding of its own, in which it was kept.
            encoded = address if kind.lower() == "utf-8" else _xtext(address)
            if encoded and _is_word(kind + encoded) and (encoded.isascii() or "SMTPUTF8" in self.offers):
                parameters.append(f"ORCPT={kind};{encoded}")
        return _command(" ".join([f"RCPT TO:<{recipient.address}>", *parameters]))

    # Outcomes.

    def _unsendable(self, envelope: Envelope, recipient: Recipient) -> Outcome | None:
        """Say why this need not even be tried here, if so."""
        limit = self.offers.get("SIZE", "")
        if limit.isdecimal() and 0 < int(limit) < envelope.size:
            text = f"the message has {envelope.size} octets, the server takes {limit}"
            return self._ours(Verdict.FAILED, "5.3.4", text)
        if envelope.requiretls and (self.tls is None or "REQUIRETLS" not in self.offers):
            return self._ours(Verdict.FAILED, "5.7.30", "the server does not promise to use TLS (REQUIRETLS)")
        if "SMTPUTF8" not in self.offers and (_needs_utf8(envelope) or not recipient.address.isascii()):
            return self._ours(Verdict.FAILED, "5.6.7", "the server does not take international mail (SMTPUTF8)")
        if envelope.sender and not _ADDRESS.fullmatch(envelope.sender):
            return self._ours(Verdict.FAILED, "5.1.7", "the sender's address cannot be said in SMTP")
        if not _ADDRESS.fullmatch(recipient.address):
            return self._ours(Verdict.FAILED, "5.1.3", "the address cannot be said in SMTP")
        return None

    def _judge(self, number: int, reply: Reply) -> bool:
        """Say whether a recipient is accepted, and note its outcome when it is not."""
        if _is_positive(reply):
            return True
        # RFC 5321 section 4.5.3.1.10: 552 for a recipient is an old word for 452, too many at once.
        self._decide([number], self._theirs(reply, Verdict.DEFERRED if reply.code == 552 else None))
        return False

    def _decide(self, numbers: list[int], outcome: Outcome) -> None:
        if self._outcomes is not None:
            for number in numbers:
                self._outcomes[number] = outcome

    def _theirs(self, reply: Reply, verdict: Verdict | None = None) -> Outcome:
        """Put a reply of the server into an outcome."""
        if verdict is None:
            verdict = Verdict.FAILED if reply.code >= 500 else Verdict.DEFERRED
            if _is_positive(reply) and self._phase is Phase.END_OF_DATA:
                verdict = Verdict.SENT
        wanted = {Verdict.SENT: "2", Verdict.DEFERRED: "4", Verdict.FAILED: "5"}[verdict]
        status = f"{wanted}{reply.status[1:]}" if reply.status else f"{wanted}.0.0"
        return Outcome(verdict, self._phase, status, reply.text[:TEXT_LIMIT], reply.code)

    def _ours(self, verdict: Verdict, status: str, text: str) -> Outcome:
        return Outcome(verdict, self._phase, status, text[:TEXT_LIMIT])

    def _injected(self) -> Outcome:
        # Words that came in the clear would count as said inside TLS (RFC 3207 section 6, CVE-2021-38371).
        return self._ours(Verdict.DEFERRED, "4.7.0", "the server spoke between STARTTLS and the handshake")


# Every recipient has an outcome of its own already; this is never seen.
_NONE_LEFT = Outcome(Verdict.DEFERRED, Phase.IDLE, "4.0.0", "nothing was said of this recipient")

# limit-value: a number from 1 on (RFC 9422 section 3.2); nobody means more than fits here.
_LIMIT = re.compile("[1-9][0-9]{0,8}")

# Mailbox = Local-part "@" ( Domain / address-literal ), as loose as it can be without leaving the angle brackets.
_ADDRESS = re.compile(
    r'(?:"(?:[^"\\\x00-\x1f\x7f-\x9f\ud800-\udfff]|\\[ -~])*"|[^\s"<>\x00-\x1f\x7f-\x9f\ud800-\udfff]+)'
    r"@[^\s@<>\x00-\x1f\x7f-\x9f\ud800-\udfff]+"
)


def _command(line: str) -> bytes:
    """Write a command; raises ``ValueError`` for what would be two of them."""
    if not line.isprintable():
        raise ValueError(f"a command with control characters: {line!r}")
    return line.encode() + b"\r\n"


def _offers(reply: Reply) -> dict[str, str]:
    """Read the answer to EHLO (RFC 5321 section 4.1.1.1)."""
    lines = [line.upper().partition(" ") for line in reply.text.split("\n")[1:]]
    return {keyword: parameters.strip() for keyword, _, parameters in lines if keyword}


def _is_positive(reply: Reply) -> bool:
    return 200 <= reply.code < 300


def _needs_utf8(envelope: Envelope) -> bool:
    """Say whether this cannot go to anybody without SMTPUTF8; an international recipient hinders only itself."""
    return envelope.smtputf8 or not envelope.sender.isascii()


def _xtext(text: str) -> str:
    """Encode as xtext (RFC 3461 section 4)."""
    return "".join(letter if "!" <= letter <= "~" and letter not in "+=" else f"+{ord(letter):02X}" for letter in text)


def _is_word(text: str) -> bool:
    return text.isprintable() and " " not in text
