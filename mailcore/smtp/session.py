"""The SMTP server's side of a conversation (RFC 5321): MX, submission (RFC 6409) and LMTP (RFC 2033).

They are told apart by their ``Policy``.

Takes bytes, gives actions. Which command may come when is the table at the end. What it asks is in ``questions.py``,
what it says in ``replies.py``; whether somebody is welcome, and what becomes of a message, is decided elsewhere.
"""

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import ClassVar, TypeAlias

from a3mailer_site.figures import figures
from mailcore.conversation import CommandRefusedError, Conversation, Handler, UnansweredError
from mailcore.dialogue import Action, Ask, Login, Peer, TlsFacts
from mailcore.lines import LineTooLongError
from mailcore.message.envelope import BodyRefusedError, BodySink, Client, Envelope, Recipient, Reply
from mailcore.sasl.mechanisms import (
    MECHANISMS,
    RESPONSE_LIMIT,
    BadResponseError,
    CancelledError,
    Credentials,
    ForeignIdentityError,
    Steps,
    begin,
    converse,
)
from mailcore.sasl.questions import LoginRefusal, VerifyPassword
from mailcore.smtp import replies
from mailcore.smtp.body import BodyReader
from mailcore.smtp.grammar import (
    check_ascii,
    make_envelope,
    make_recipient,
    parse_chunk,
    parse_hello,
    parse_recipient,
    parse_sender,
)
from mailcore.smtp.questions import (
    AcceptForEach,
    AcceptMessage,
    BeginSession,
    CheckRecipients,
    CheckSender,
    CountError,
    EndSession,
)

# RFC 5321 section 4.5.3.1.4 asks for at least 512; the parameters of extensions need more.
COMMAND_LINE_LIMIT = 4096
# RFC 4954 section 4: AUTH with its initial response, and the lines of the exchange.
AUTH_LINE_LIMIT = RESPONSE_LIMIT + 2
LOGIN_FAILURE_LIMIT = 3
# So many recipients are asked about in one question, if the client pipelined them.
_RECIPIENT_BATCH = 100

# RFC 5321 section 4.5.3.2.7: a server waits at least 5 minutes for the next command. Section 4.5.3.2.5: a client gives
# up on a block of data after 3.
_COMMAND_PATIENCE = 300.0
_DATA_PATIENCE = 180.0

# Whoever says one of these speaks HTTP, perhaps because a browser was tricked into it: not one more line is read.
_HTTP = frozenset(
    b"GET POST HEAD PUT DELETE OPTIONS CONNECT TRACE PATCH HOST: USER-AGENT: CONTENT-TYPE: CONTENT-LENGTH:".split()
)

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How a session behaves; made by the service once for each listener and reload."""

    hostname: str  # how we call ourselves
    submission: bool = False  # AUTH is offered, and required before MAIL
    lmtp: bool = False  # LHLO, and a reply for each recipient at the end
    stranger: bool = False  # what this client does is counted and limited
    refuse_own_name: bool = False  # nobody at this address can be us
    tls_available: bool = False  # there is a certificate: STARTTLS can be offered
    plaintext_auth_ok: bool = False  # this client may send its password without TLS
    greet_delay: float = 0.0  # seconds before the greeting, in which nothing may be said
    message_limit: int = 50 * 1024 * 1024  # octets
    recipient_limit: int = 1000  # in one message
    longest_hold: int = 0  # seconds that a message may be handed in ahead of time (RFC 4865); 0: not at all
    latest_hold: str = ""  # ... and until when that is, as a date-time of RFC 3339
    # Seconds until the client logs in or begins its first message, and then for each message; 0: as long as it likes.
    begin_within: float = 0.0
    message_within: float = 0.0
    # Errors, and commands that bring no mail forward, before 421. An accepted message sets both back to 0.
    error_limit: int = 20
    idle_limit: int = 100


class State(IntEnum):
    """How far a mail transaction is (RFC 5321 section 3.3)."""

    CONNECTED = 0
    GREETED = 1
    SENDER_GIVEN = 2
    RECIPIENT_GIVEN = 3
    CHUNKING = 4  # the first BDAT chunk has been taken
    CHUNKS_REFUSED = 5  # one was refused: only RSET helps (RFC 3030 section 2)


Result: TypeAlias = Reply | Handler | None


@dataclass(frozen=True, slots=True)
class _Command:
    """One row of the command table."""

    run: Callable[["SmtpSession", str], Result]
    states: frozenset[State] = frozenset(State)
    otherwise: Reply = replies.BAD_SEQUENCE
    idle: bool = False  # brings no mail forward
    utf8: bool = False  # may have an argument outside of ASCII


class SmtpSession(Conversation):
    """One connection. ``new_body`` makes the sink for a message; it may raise ``BodyRefusedError``.

    >>> session = SmtpSession(Policy(hostname="mx.example.com"), Peer("192.0.2.1", 4000), new_body)
    >>> session.greet()
    [Ask(question=BeginSession(...))]
    """

    _QUICK = (CheckSender, CheckRecipients)

    def __init__(self, policy: Policy, peer: Peer, new_body: Callable[[], BodySink]) -> None:
        super().__init__()
        self._policy = policy
        self._new_body = new_body
        self._client = Client(peer, peer.tls, stranger=policy.stranger)
        self._state = State.CONNECTED
        self._envelope = Envelope(None, "")
        self._body: BodyReader | None = None
        self._reading_data = False
        self._chunk_left = 0  # octets of a BDAT chunk that are still to come
        self._chunk_size = 0
        self._chunk_last = False
        self._chunk_refusal: Reply | None = None
        self._room = 0  # recipients that may still be given
        self._errors = 0
        self._idle_commands = 0
        self._login_failures = 0
        self._stage = 0

    @property
    def login(self) -> Login | None:
        """Who is logged in: the transport may have to end the sessions of an account."""
        return self._client.login

    @property
    def patience(self) -> float:
        """Seconds that the client may be silent."""
        return _DATA_PATIENCE if self._reading_data or self._chunk_left else _COMMAND_PATIENCE

    @property
    def stage(self) -> tuple[int, float]:
        """Count messages from the first that is begun, for which there is a time each."""
        seconds = self._policy.message_within if self._stage else self._policy.begin_within
        return self._stage, seconds or float("inf")

    # What the transport calls, besides receive, answer, failed and drain.

    def greet(self) -> list[Action]:
        """Ask whether the client is welcome; the banner follows the answer."""
        self._begin(self._greeting())
        return self._proceed()

    def tls_started(self, facts: TlsFacts) -> list[Action]:
        """Begin anew: what was said in the clear counts for nothing (RFC 3207 section 4.2)."""
        self._wants_tls = False
        self._lines.clear()
        self._end_transaction()
        self._state = State.CONNECTED
        self._client = Client(self._client.peer, facts, stranger=self._policy.stranger)
        return self._proceed()

    def timed_out(self) -> list[Action]:
        """Say goodbye to a client that went silent."""
        if self._closing:
            return []
        if not self._wants_tls:
            self._say(replies.TIMED_OUT)
        self._wants_tls = False
        self._close()
        return self._flush()

    def lost(self) -> list[Action]:
        """Let go of a body that was not finished, and of the place that a stranger had."""
        self._close()
        self._end_transaction()
        return [Ask(EndSession(self._client))] if self._policy.stranger else []

    # What Conversation calls.

    def _step(self) -> bool:
        if self._reading_data:
            return self._read_data()
        if self._chunk_left:
            return self._read_chunk()
        try:
            line = self._lines.next_line(AUTH_LINE_LIMIT if self._policy.submission else COMMAND_LINE_LIMIT)
        except LineTooLongError:
            self._refuse_long_line()
            return True
        if line is None:
            return False
        if self._handler is not None:
            self._give_line(line)
        elif len(line) > COMMAND_LINE_LIMIT - 2 and line[:5].upper() != b"AUTH ":
            self._refuse_long_line()
        else:
            self._command(line)
        return True

    def _finish(self, result: Reply | None) -> None:
        if result is not None:
            self._reply(result)

    def _unanswered(self) -> None:
        self._say(replies.NOT_NOW)

    def _may_drain(self) -> bool:
        return self._state in {State.CONNECTED, State.GREETED} and self._handler is None and not self._chunk_left

    def _say_draining(self) -> None:
        self._say(replies.SHUTTING_DOWN)

    # Commands.

    def _refuse_long_line(self) -> None:
        if handler := self._unhand():
            handler.close()
            self._reply(replies.AUTH_LINE_TOO_LONG)
        else:
            self._reply(replies.LINE_TOO_LONG)

    def _command(self, line: bytes) -> None:
        try:
            result = self._dispatch(line)
        except CommandRefusedError as refused:
            result = refused.reply
            if line[:4].upper() == b"BDAT":
                # Nobody knows how long the chunk is: what follows could be message or commands, so nothing follows.
                self._say(refused.reply)
                self._close()
        if isinstance(result, Reply):
            self._reply(result)
        elif result is not None:
            self._begin(result)

    def _dispatch(self, line: bytes) -> Result:
        verb, _, rest = line.partition(b" ")
        verb = verb.upper()
        command = self._COMMANDS.get(verb)
        figures.count(f"smtp.commands.{verb.decode() if command else 'OTHER'}")
        if command is None:
            if verb in _HTTP:
                self._say(replies.NOT_A_WEB_SERVER)
                self._close()
                return None
            return replies.UNKNOWN_COMMAND
        argument = _text(rest)
        if not command.utf8 and not argument.isascii():
            raise CommandRefusedError(replies.NOT_ASCII)
        if command.idle:
            self._idle_commands += 1
            if self._idle_commands > self._policy.idle_limit:
                return replies.TOO_MANY_IDLE_COMMANDS
        if self._state not in command.states:
            if self._state is State.CONNECTED:
                return replies.LHLO_FIRST if self._policy.lmtp else replies.HELLO_FIRST
            return command.otherwise
        return command.run(self, argument)

    def _reply(self, reply: Reply) -> None:
        """Say the last word about a command."""
        if reply.code >= 500 and self._policy.stranger and not self._closing:
            self._begin(self._own_up(reply))
        else:
            self._say(reply)

    def _own_up(self, reply: Reply) -> Handler:
        """Say it, and have a stranger's mistake counted first: the answer may take its time."""
        if reply.code >= 500 and self._policy.stranger and not self._closing:
            with suppress(UnansweredError):
                reply = (yield CountError(self._client, self._errors + 1)) or reply
        self._say(reply)

    def _say(self, reply: Reply) -> None:
        """Say it, unless the connection is being closed; count errors, and close after too many (or after any 421)."""
        if self._closing:
            return
        self._out.append(replies.encode(reply))
        if reply.code == 421:
            self._close()
        elif reply.code >= 500:
            self._errors += 1
            if self._errors >= self._policy.error_limit:
                self._say(replies.TOO_MANY_ERRORS)

    def _greeting(self) -> Handler:
        try:
            refusal: Reply | None = yield BeginSession(self._client, self._policy.greet_delay)
        except UnansweredError:
            refusal = replies.NO_SERVICE_NOW
        if refusal is None and self._policy.greet_delay and self._lines.peek(1):
            figures.count(f"smtp.greeting.refused.{replies.SPOKE_TOO_EARLY.status}")
            refusal = replies.SPOKE_TOO_EARLY
        self._say(refusal or replies.banner(self._policy.hostname, "LMTP" if self._policy.lmtp else "ESMTP"))
        if refusal is not None:
            self._close()

    def _ehlo(self, argument: str) -> Reply:
        return self._hello(argument, "ESMTP")

    def _helo(self, argument: str) -> Reply:
        return self._hello(argument, "SMTP")

    def _lhlo(self, argument: str) -> Reply:
        return self._hello(argument, "LMTP")

    def _hello(self, argument: str, protocol: str) -> Reply:
        if self._policy.lmtp is not (protocol == "LMTP"):  # RFC 2033 section 4.1
            return replies.LHLO_ONLY if self._policy.lmtp else replies.UNKNOWN_COMMAND
        name = parse_hello(argument)
        if self._policy.refuse_own_name and name.lower().removesuffix(".") == self._policy.hostname.lower():
            return replies.NOT_OUR_NAME
        self._end_transaction()
        self._state = State.GREETED
        self._client = replace(self._client, helo=name, protocol=protocol)
        return replies.hello(self._policy.hostname, self._capabilities() if protocol != "SMTP" else [])

    def _capabilities(self) -> list[str]:
        policy = self._policy
        offered = [
            f"SIZE {policy.message_limit}",
            "PIPELINING",
            "8BITMIME",
            "SMTPUTF8",
            *([] if policy.lmtp else ["CHUNKING"]),  # nothing says how many replies a chunk has over LMTP
            "ENHANCEDSTATUSCODES",
            "DSN",
            f"LIMITS RCPTMAX={policy.recipient_limit}",  # RFC 9422
        ]
        if policy.longest_hold:
            offered.append(f"FUTURERELEASE {policy.longest_hold} {policy.latest_hold}")
        if self._client.tls is not None:
            offered.append("REQUIRETLS")
        if policy.tls_available and self._client.tls is None:
            offered.append("STARTTLS")
        if policy.submission and self._auth_is_safe():
            offered.append("AUTH " + " ".join(MECHANISMS))
        return offered

    def _auth_is_safe(self) -> bool:
        return self._client.tls is not None or self._policy.plaintext_auth_ok

    def _starttls(self, argument: str) -> Reply:
        if argument:
            return replies.BAD_ARGUMENT
        if self._client.tls is not None:
            return replies.TLS_ALREADY
        if not self._policy.tls_available:
            return replies.NO_SUCH_FEATURE
        self._wants_tls = True
        # Whatever came in the same packet was not protected: it is not obeyed, now or later (CVE-2011-0411).
        self._lines.clear()
        return replies.READY_FOR_TLS

    def _auth(self, argument: str) -> Result:
        if not self._policy.submission:
            return replies.NO_SUCH_FEATURE
        if self._client.login is not None:
            return replies.AUTHENTICATED_ALREADY
        if not self._auth_is_safe():
            return replies.AUTH_NEEDS_TLS
        mechanism, *initial = argument.split(" ")
        if len(initial) > 1:
            return replies.BAD_ARGUMENT
        steps = begin(mechanism, initial[0].encode("ascii") if initial else None)
        return replies.UNKNOWN_MECHANISM if steps is None else self._authenticate(steps)

    def _authenticate(self, steps: Steps) -> Handler:
        try:
            credentials = yield from converse(steps, b"334 ")
        except CancelledError:
            return replies.AUTH_CANCELLED
        except BadResponseError:
            return replies.BAD_BASE64
        except ForeignIdentityError:
            return self._count_login_failure()
        try:
            verdict: Login | LoginRefusal = yield self._verify(credentials)
        except UnansweredError:
            return replies.LOGIN_NOT_NOW
        if verdict is LoginRefusal.WRONG:
            return self._count_login_failure()
        if verdict is LoginRefusal.LATER:
            return replies.LOGIN_NOT_NOW
        self._client = replace(self._client, login=verdict)
        self._stage = self._stage or 1
        return replies.AUTHENTICATED

    def _verify(self, credentials: Credentials) -> VerifyPassword:
        return VerifyPassword(
            login=credentials.login,
            password=credentials.password,
            mechanism=credentials.mechanism,
            protocol="submission",
            peer=self._client.peer,
            encrypted=self._client.tls is not None,
        )

    def _count_login_failure(self) -> Reply:
        self._login_failures += 1
        if self._login_failures < LOGIN_FAILURE_LIMIT:
            return replies.WRONG_LOGIN
        self._say(replies.WRONG_LOGIN)
        return replies.TOO_MANY_LOGIN_FAILURES

    def _mail(self, argument: str) -> Result:
        if self._policy.submission and self._client.login is None:
            return replies.LOGIN_FIRST if self._auth_is_safe() else replies.TLS_FIRST
        sender, parameters = parse_sender(argument)
        policy = self._policy
        return self._begin_transaction(
            make_envelope(self._client, sender, parameters, policy.message_limit, policy.longest_hold)
        )

    def _begin_transaction(self, envelope: Envelope) -> Handler:
        refusal: Reply | None = yield CheckSender(envelope)
        if refusal is not None:
            return refusal
        self._envelope = envelope
        self._stage = self._stage or 1
        self._room = self._policy.recipient_limit
        self._state = State.SENDER_GIVEN
        return replies.SENDER_OK

    def _rcpt(self, argument: str) -> Handler:
        """Check this recipient, and those that were pipelined behind it, in one question."""
        if self._room <= 0:
            return replies.TOO_MANY_RECIPIENTS
        given = [self._read_recipient(argument)]
        while len(given) < min(self._room, _RECIPIENT_BATCH) and (another := self._next_pipelined()) is not None:
            given.append(self._read_recipient(another))
        recipients = tuple([one for one in given if isinstance(one, Recipient)])
        verdicts: tuple[Reply | None, ...] = ()
        if recipients:
            try:
                verdicts = yield CheckRecipients(self._envelope, recipients)
            except UnansweredError:
                verdicts = (replies.NOT_NOW,) * len(recipients)
        accepted = tuple([one for one, refusal in zip(recipients, verdicts, strict=True) if refusal is None])
        if accepted:
            self._envelope = self._envelope.with_recipients(accepted)
            self._state = State.RECIPIENT_GIVEN
        in_order = iter(verdicts)
        for one in given:
            reply = one if isinstance(one, Reply) else next(in_order) or replies.RECIPIENT_OK
            self._room -= reply.code < 500  # the others are limited as errors
            yield from self._own_up(reply)
        return None

    def _read_recipient(self, argument: str) -> Recipient | Reply:
        try:
            address, parameters = parse_recipient(argument)
            check_ascii(address, self._envelope.smtputf8)
            return make_recipient(address, parameters)
        except CommandRefusedError as refused:
            reply: Reply = refused.reply
            return reply

    def _next_pipelined(self) -> str | None:
        """Take the argument of another RCPT off the buffer if it is there as a whole; else leave things alone."""
        line = self._lines.peek_line(COMMAND_LINE_LIMIT)
        if line is None or line[:5].upper() != b"RCPT ":
            return None
        try:
            argument = _text(line[5:])
        except CommandRefusedError:
            return None
        self._lines.take(len(line) + 2)
        return argument

    def _data(self, argument: str) -> Reply:
        if argument:
            return replies.BAD_ARGUMENT
        try:
            self._body = BodyReader(self._new_body(), self._policy.message_limit)
        except BodyRefusedError as refused:
            return refused.reply
        self._reading_data = True
        return replies.GO_AHEAD

    def _read_data(self) -> bool:
        body = self._body
        octets = self._lines.take_all()
        if not octets or body is None:
            return False
        body.data(octets)
        if body.rest is None:
            return True
        self._lines.put_back(body.rest)
        self._reading_data = False
        self._begin(self._end_of_message(body))
        return True

    def _bdat(self, argument: str) -> None:
        """Begin to read a chunk. One that comes at the wrong time is read too, and dropped (RFC 3030 section 2)."""
        if self._policy.lmtp:
            raise CommandRefusedError(replies.NO_SUCH_FEATURE)
        self._chunk_size, self._chunk_last = parse_chunk(argument)
        self._chunk_left = self._chunk_size
        self._chunk_refusal = self._refuse_chunk()
        if not self._chunk_size:
            self._end_of_chunk()

    def _refuse_chunk(self) -> Reply | None:
        if self._state is State.CHUNKING:
            return None
        if self._state is not State.RECIPIENT_GIVEN:
            return replies.BAD_SEQUENCE if self._state is State.CHUNKS_REFUSED else replies.RECIPIENT_FIRST
        self._state = State.CHUNKING
        try:
            self._body = BodyReader(self._new_body(), self._policy.message_limit)
        except BodyRefusedError as refused:
            return refused.reply
        return None

    def _read_chunk(self) -> bool:
        octets = self._lines.take(self._chunk_left)
        if not octets:
            return False
        self._chunk_left -= len(octets)
        if self._chunk_refusal is None and self._body is not None:
            self._body.chunk(octets)
        if not self._chunk_left:
            self._end_of_chunk()
        return True

    def _end_of_chunk(self) -> None:
        body = self._body
        refusal = self._chunk_refusal or (body.refusal if body else None)
        if refusal is None and body is not None:
            if self._chunk_last:
                body.last_chunk()
                self._begin(self._end_of_message(body))
            else:
                self._say(replies.chunk_taken(self._chunk_size))
            return
        if self._chunk_last and self._state in {State.CHUNKING, State.CHUNKS_REFUSED}:
            self._end_transaction()
        elif self._state is State.CHUNKING:
            self._end_transaction()
            self._state = State.CHUNKS_REFUSED
        if refusal is not None:
            self._reply(refusal)

    def _end_of_message(self, body: BodyReader) -> Handler:
        """Have the message taken; say so once, or over LMTP once for each recipient that was taken."""
        verdicts: tuple[Reply, ...]
        if body.refusal is not None:
            verdicts = (body.refusal,)
        else:
            self._body = None  # it belongs to who answers now
            envelope = self._envelope.with_size(body.size)
            try:
                if self._policy.lmtp:
                    verdicts = yield AcceptForEach(envelope, body.sink)
                else:
                    verdicts = ((yield AcceptMessage(envelope, body.sink)),)
            except UnansweredError:
                verdicts = (replies.NOT_NOW,)
        if self._policy.lmtp and len(verdicts) == 1:
            verdicts *= len(self._envelope.recipients)
        self._end_transaction()
        if any(reply.positive for reply in verdicts):
            self._errors = self._idle_commands = 0
            self._stage += 1
        for reply in verdicts:
            yield from self._own_up(reply)
        return None

    def _end_transaction(self) -> None:
        if self._body is not None:
            self._body.abandon()
            self._body = None
        self._reading_data = False
        if self._state is not State.CONNECTED:
            self._state = State.GREETED

    def _rset(self, argument: str) -> Reply:
        if argument:
            return replies.BAD_ARGUMENT
        self._end_transaction()
        return replies.OK

    def _noop(self, argument: str) -> Reply:  # noqa: ARG002 - it may have one (RFC 5321 section 4.1.1.9)
        return replies.OK

    def _vrfy(self, argument: str) -> Reply:
        # The same for all, so that nobody learns which mailboxes exist (RFC 5321 section 7.3).
        return replies.CANNOT_VERIFY if argument else replies.BAD_ARGUMENT

    def _expn(self, argument: str) -> Reply:  # noqa: ARG002
        return replies.NO_SUCH_FEATURE

    def _help(self, argument: str) -> Reply:  # noqa: ARG002
        return replies.HELP

    def _quit(self, argument: str) -> None:  # noqa: ARG002
        self._end_transaction()
        self._say(replies.BYE)
        self._close()

    _COMMANDS: ClassVar[dict[bytes, _Command]] = {
        b"EHLO": _Command(_ehlo, idle=True),
        b"HELO": _Command(_helo, idle=True),
        b"LHLO": _Command(_lhlo, idle=True),
        b"STARTTLS": _Command(_starttls, frozenset({State.GREETED})),
        b"AUTH": _Command(_auth, frozenset({State.GREETED})),
        # Counted with those that bring no mail forward, until the message is accepted: then the count starts anew.
        b"MAIL": _Command(_mail, frozenset({State.GREETED}), idle=True, utf8=True),
        b"RCPT": _Command(_rcpt, frozenset({State.SENDER_GIVEN, State.RECIPIENT_GIVEN}), replies.MAIL_FIRST, utf8=True),
        b"DATA": _Command(_data, frozenset({State.RECIPIENT_GIVEN}), replies.RECIPIENT_FIRST),
        b"BDAT": _Command(_bdat),
        b"RSET": _Command(_rset, idle=True),
        b"NOOP": _Command(_noop, idle=True, utf8=True),
        b"VRFY": _Command(_vrfy, idle=True, utf8=True),
        b"EXPN": _Command(_expn, idle=True, utf8=True),
        b"HELP": _Command(_help, idle=True),
        b"QUIT": _Command(_quit),
    }


def _text(argument: bytes) -> str:
    """Decode what follows a verb. Control characters have no place in a command, NUL least of all."""
    try:
        text = argument.decode("utf-8")
    except UnicodeDecodeError:
        raise CommandRefusedError(replies.NOT_TEXT) from None
    if not (text.isprintable() if text.isascii() else _CONTROL.search(text) is None):
        raise CommandRefusedError(replies.NOT_TEXT)
    return text.rstrip(" ")
