"""The POP3 server's side of a conversation (RFC 1939, 2449, 2595, 3206, 5034, 6856).

Takes bytes, gives actions. Which command may come when is the table at the end. What it asks is in ``questions.py``,
what it says in ``replies.py``. Messages are numbered once, when the maildrop is opened, and deleted only at QUIT.
Nothing else changes: what a program has fetched nobody has read yet, so RETR does not set the flag "seen".
"""

# ruff: noqa: ARG002 - every command is given its argument, and some need none

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar, TypeAlias

from a3mailer_site.figures import figures
from mailcore.conversation import CommandRefusedError, Conversation, Handler, UnansweredError
from mailcore.dialogue import Action, Ask, Login, Pause, Peer, Send, TlsFacts
from mailcore.lines import DotStuffer, LineTooLongError
from mailcore.pop3 import languages, replies
from mailcore.pop3.grammar import Top, parse_number, parse_top
from mailcore.pop3.questions import (
    DeleteMessages,
    FetchMessage,
    FetchMessages,
    Holder,
    Maildrop,
    MaildropRefusal,
    OpenMaildrop,
    ReleaseMaildrop,
)
from mailcore.sasl.mechanisms import (
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

# RFC 2449 section 4 asks for 255 octets; passwords may be longer, and so are the lines of AUTH (RFC 4954 section 4).
_LINE_LIMIT = RESPONSE_LIMIT + 2
_LOGIN_FAILURE_LIMIT = 3
_ERROR_LIMIT = 20
# Messages are read and sent in slices, so that a large one neither fills memory nor holds up other connections. This
# much is also written before the client must have taken most of it.
SLICE = 64 * 1024
# Smaller messages are read together ahead of a client that fetches one after the other: octets, and how many.
READ_AHEAD = 128 * 1024
_READ_AHEAD_MESSAGES = 200
# Lines of LIST and UIDL made in one go.
_LINES = 2000

# RFC 1939 section 3: the autologout timer is at least 10 minutes. Who has not logged in gets less.
_PATIENCE = 600.0
_STRANGER_PATIENCE = 180.0

_HTTP = frozenset(b"GET POST HEAD PUT DELETE OPTIONS CONNECT HOST: USER-AGENT:".split())


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How a session behaves; made by the service once for each listener and reload."""

    tls_available: bool = False  # there is a certificate: STLS can be offered
    plaintext_auth_ok: bool = False  # this client may send its password without TLS


class State(Enum):
    """RFC 1939 section 3; UPDATE is what QUIT does."""

    AUTHORIZATION = 0
    TRANSACTION = 1


Result: TypeAlias = bytes | Handler | None
_NO_MAILDROP = Maildrop(0, 0, (), (), 0)


@dataclass(frozen=True, slots=True)
class _Command:
    """One row of the command table."""

    run: Callable[["Pop3Session", str], Result]
    states: tuple[State, ...] = (State.TRANSACTION,)


class Pop3Session(Conversation):
    r"""One connection.

    >>> session = Pop3Session(Policy(tls_available=True), Peer("192.0.2.1", 4000))
    >>> session.greet()
    [Send(data=b'+OK POP3 ready\r\n')]
    """

    def __init__(self, policy: Policy, peer: Peer) -> None:
        super().__init__()
        self._policy = policy
        self._peer = peer
        self._tls = peer.tls
        self._user: str | None = None  # given with USER, waiting for PASS
        self._holder: Holder | None = None
        self._language = languages.DEFAULT
        self._maildrop = _NO_MAILDROP
        self._deleted: set[int] = set()  # indexes, as everything below: message numbers begin at 1
        self._octets = 0  # of what is not deleted
        self._ahead: dict[int, bytes] = {}  # read but not fetched yet, by UID
        self._fetched = -1  # the last message
        self._errors = 0  # in a row, once logged in
        self._login_failures = 0
        self.login: Login | None = None

    @property
    def patience(self) -> float:
        """Seconds that the client may be silent."""
        return _STRANGER_PATIENCE if self._state is State.AUTHORIZATION else _PATIENCE

    @property
    def _state(self) -> State:
        return State.TRANSACTION if self.login else State.AUTHORIZATION

    # What the transport calls, besides receive, answer, failed and drain.

    def greet(self) -> list[Action]:
        """Send the banner."""
        return [Send(replies.GREETING + b"\r\n")]

    def tls_started(self, facts: TlsFacts) -> list[Action]:
        """Begin anew: what was said in the clear counts for nothing (RFC 2595 section 4)."""
        self._wants_tls = False
        self._lines.clear()
        self._user = None
        self._language = languages.DEFAULT
        self._tls = facts
        return self._proceed()

    def timed_out(self) -> list[Action]:
        """Close without a word and without deleting anything (RFC 1939 section 3)."""
        if self._closing:
            return []
        self._wants_tls = False
        self._close()
        return self._flush()

    def lost(self) -> list[Action]:
        """Let go of the maildrop. What was marked as deleted stays (RFC 1939 section 6)."""
        self._close()
        self._ahead = {}
        return [Ask(question) for question in self._release()]

    # What Conversation calls.

    def _step(self) -> bool:
        try:
            line = self._lines.next_line(_LINE_LIMIT)
        except LineTooLongError:
            if handler := self._unhand():
                handler.close()
            self._finish(replies.LINE_TOO_LONG)
            return True
        if line is None:
            return False
        if self._handler is not None:
            self._give_line(line)
        else:
            self._command(line)
        return True

    def _finish(self, result: bytes | None) -> None:
        if result is None or self._closing:
            return
        self._say(result)
        if result.startswith(b"-"):
            self._errors += 1
            if self._errors >= _ERROR_LIMIT:
                self._close()
        elif self.login:
            self._errors = 0

    def _say(self, reply: bytes) -> None:
        self._out.append(self._in_words(reply) + b"\r\n")

    def _in_words(self, reply: bytes) -> bytes:
        return reply if self._language == languages.DEFAULT else languages.translate(reply, self._language)

    def _unanswered(self) -> None:
        self._finish(replies.NOT_NOW)

    def _may_drain(self) -> bool:
        # A client that has marked messages has fetched them: it may finish, or would fetch them again next time.
        return self._handler is None and not self._deleted

    def _say_draining(self) -> None:
        self._finish(replies.SHUTTING_DOWN)

    # Commands.

    def _command(self, line: bytes) -> None:
        try:
            result = self._dispatch(line)
        except CommandRefusedError as refused:
            result = refused.reply
        if result is None or isinstance(result, bytes):
            self._finish(result)
        else:
            self._begin(result)

    def _dispatch(self, line: bytes) -> Result:
        verb, _, rest = line.partition(b" ")
        verb = verb.upper()
        command = self._COMMANDS.get(verb)
        figures.count(f"pop3.commands.{verb.decode() if command else 'OTHER'}")
        if command is None:
            if verb in _HTTP:
                self._finish(replies.NOT_A_WEB_SERVER)
                self._close()
                return None
            return replies.UNKNOWN_COMMAND
        if self._state not in command.states:
            return replies.LOGGED_IN_ALREADY if self.login else replies.LOGIN_FIRST
        try:
            argument = rest.decode("utf-8")
        except UnicodeDecodeError:
            return replies.BAD_ARGUMENT
        if "\0" in argument:
            return replies.BAD_ARGUMENT
        return command.run(self, argument)

    def _capa(self, argument: str) -> bytes:
        stranger = self.login is None
        return replies.capabilities(
            stranger=stranger,
            may_login=stranger and self._auth_is_safe(),
            may_start_tls=stranger and self._tls is None and self._policy.tls_available,
        )

    def _auth_is_safe(self) -> bool:
        return self._tls is not None or self._policy.plaintext_auth_ok

    def _stls(self, argument: str) -> bytes:
        if argument:
            return replies.BAD_ARGUMENT
        if self._tls is not None:
            return replies.TLS_ALREADY
        if not self._policy.tls_available:
            return replies.NO_TLS
        self._wants_tls = True
        # Whatever came in the same packet was not protected: it is not obeyed, now or later (CVE-2011-0411).
        self._lines.clear()
        return replies.READY_FOR_TLS

    def _utf8(self, argument: str) -> bytes:
        """Agree to UTF-8 (RFC 6856 section 2). It changes nothing: messages are given as they are stored in any case.

        Section 2.1 would have us convert international headers for who has not said this. No client of today is
        helped by that, and a message would no longer be the one whose size and signature it has.
        """
        return replies.BAD_ARGUMENT if argument else replies.UTF8

    def _lang(self, argument: str) -> bytes:
        if not argument:
            return replies.languages()
        tag = languages.find(argument)
        if tag is None:
            return replies.NO_SUCH_LANGUAGE
        self._language = tag
        return replies.language_chosen(tag)

    def _user_(self, argument: str) -> bytes:
        if not self._auth_is_safe():
            return replies.TLS_FIRST
        if not argument:
            return replies.BAD_ARGUMENT
        self._user = argument
        return replies.PASSWORD_PLEASE

    def _pass(self, argument: str) -> Result:
        if not self._auth_is_safe():
            return replies.TLS_FIRST
        user, self._user = self._user, None
        if user is None:
            return replies.USER_FIRST
        return self._log_in(Credentials(user, argument, "USER"))

    def _auth(self, argument: str) -> Result:
        if not self._auth_is_safe():
            return replies.TLS_FIRST
        if not argument:
            return replies.mechanisms()
        mechanism, *initial = argument.split(" ")
        if not mechanism or len(initial) > 1 or not argument.isascii():
            return replies.BAD_ARGUMENT
        steps = begin(mechanism, initial[0].encode("ascii") if initial else None)
        return replies.UNKNOWN_MECHANISM if steps is None else self._authenticate(steps)

    def _authenticate(self, steps: Steps) -> Handler:
        try:
            credentials = yield from converse(steps, b"+ ")
        except CancelledError:
            return replies.AUTH_CANCELLED
        except BadResponseError:
            return replies.BAD_RESPONSE
        except ForeignIdentityError:
            return self._count_login_failure()
        return (yield from self._log_in(credentials))

    def _log_in(self, credentials: Credentials) -> Handler:
        question = VerifyPassword(
            login=credentials.login,
            password=credentials.password,
            mechanism=credentials.mechanism,
            protocol="pop3",
            peer=self._peer,
            encrypted=self._tls is not None,
        )
        try:
            verdict: Login | LoginRefusal = yield question
        except UnansweredError:
            return replies.LOGIN_NOT_NOW
        if verdict is LoginRefusal.WRONG:
            return self._count_login_failure()
        if isinstance(verdict, LoginRefusal):
            return replies.LOGIN_NOT_NOW
        return (yield from self._open(verdict))

    def _count_login_failure(self) -> bytes | None:
        self._login_failures += 1
        if self._login_failures < _LOGIN_FAILURE_LIMIT:
            return replies.WRONG_LOGIN
        self._finish(replies.WRONG_LOGIN)
        self._close()
        return None

    def _open(self, login: Login) -> Handler:
        self.login, self._holder = login, Holder()
        try:
            maildrop: Maildrop | MaildropRefusal = yield OpenMaildrop(login, self._holder)
        except UnansweredError:
            yield from self._let_go()
            self.login = None
            return replies.NOT_NOW
        if isinstance(maildrop, MaildropRefusal):
            self.login = self._holder = None
            return replies.MAILDROP_IN_USE if maildrop is MaildropRefusal.IN_USE else replies.ACCOUNT_GONE
        self._maildrop = maildrop
        self._octets = maildrop.octets
        return replies.maildrop(*self._statistics())

    def _release(self) -> Iterator[ReleaseMaildrop]:
        """Yield the question that lets go of the maildrop, if it is held."""
        if self.login is not None and self._holder is not None:
            holder, self._holder = self._holder, None
            yield ReleaseMaildrop(self.login, holder)

    def _let_go(self) -> Handler:
        with suppress(UnansweredError):  # the transport logs it; to the client it makes no difference
            yield from self._release()

    def _statistics(self) -> tuple[int, int]:
        return len(self._maildrop.uids) - len(self._deleted), self._octets

    def _index(self, number: int) -> int:
        """Return the index of a message that is there and not marked as deleted."""
        index = number - 1
        if not 0 <= index < len(self._maildrop.uids) or index in self._deleted:
            raise CommandRefusedError(replies.NO_SUCH_MESSAGE)
        return index

    def _stat(self, argument: str) -> bytes:
        return replies.statistics(*self._statistics())

    def _list(self, argument: str) -> Result:
        return self._scan(argument, replies.SCAN_LISTING, self._maildrop.sizes)

    def _uidl(self, argument: str) -> Result:
        return self._scan(argument, replies.unique_id_listing(self._maildrop.uidvalidity), self._maildrop.uids)

    def _scan(self, argument: str, form: bytes, values: Sequence[int]) -> Result:
        if argument.strip():
            number = parse_number(argument.strip())
            return replies.OK + b" " + form % (number, values[self._index(number)])
        return self._scan_all(form + b"\r\n", values)

    def _scan_all(self, line: bytes, values: Sequence[int]) -> Handler:
        yield replies.OK + b"\r\n"
        for start in range(0, len(values), _LINES):
            yield from self._breathe()
            numbered = enumerate(values[start : start + _LINES], start + 1)
            yield b"".join([line % pair for pair in numbered if pair[0] - 1 not in self._deleted])
        return b"."

    def _breathe(self) -> Generator[Pause, None, None]:
        """Let the client read, and others have their turn, before more is said than is good."""
        if sum(map(len, self._out)) > SLICE:
            yield Pause()

    def _retr(self, argument: str) -> Handler:
        index = self._index(parse_number(argument.strip()))
        return (yield from self._send(index, replies.octets(self._maildrop.sizes[index]), None))

    def _top(self, argument: str) -> Handler:
        number, lines = parse_top(argument)
        return (yield from self._send(self._index(number), replies.OK, Top(lines)))

    def _send(self, index: int, first: bytes, top: Top | None) -> Handler:
        """Send a message. The size is that of what is stored; dots and a last CRLF come on top."""
        yield from self._breathe()
        first = self._in_words(first) + b"\r\n"
        if self._maildrop.sizes[index] > SLICE:
            return (yield from self._send_slices(index, first, top))
        uid = self._maildrop.uids[index]
        if uid not in self._ahead:
            self._ahead = yield FetchMessages(self._maildrop.mailbox_id, self._together(index))
        self._fetched = index
        # After TOP the whole message is often wanted, after RETR hardly ever again.
        data = self._ahead.pop(uid, None) if top is None else self._ahead.get(uid)
        if data is None:
            return replies.NO_SUCH_MESSAGE
        stuffer = DotStuffer()
        yield first
        yield stuffer.stuff(data if top is None else top.cut(data))
        yield stuffer.end()
        return None

    def _together(self, index: int) -> tuple[int, ...]:
        """Return the UIDs of a small message and of those after it, if the client fetches one after the other."""
        maildrop = self._maildrop
        end = index + 1
        if self._fetched in {-1, index - 1}:
            octets = maildrop.sizes[index]
            last = min(len(maildrop.uids), index + _READ_AHEAD_MESSAGES)
            while end < last and octets + maildrop.sizes[end] <= READ_AHEAD:
                octets += maildrop.sizes[end]
                end += 1
        return tuple(maildrop.uids[at] for at in range(index, end) if at not in self._deleted)

    def _send_slices(self, index: int, first: bytes, top: Top | None) -> Handler:
        size = self._maildrop.sizes[index]
        data: bytes | None = yield self._slice(index, 0)
        if data is None:
            return replies.NO_SUCH_MESSAGE
        stuffer = DotStuffer()
        offset = 0
        yield first
        while True:
            offset += len(data)
            yield stuffer.stuff(data if top is None else top.cut(data))
            if offset >= size or (top is not None and top.is_complete):
                yield stuffer.end()
                return None
            try:
                data = yield self._slice(index, offset)
            except UnansweredError:
                data = None
            if not data:
                # Expunged by somebody else, and its file removed too; or nothing can be read just now. It is too late
                # to say -ERR, and an end mark would make half a message look whole.
                self._close()
                return None

    def _slice(self, index: int, offset: int) -> FetchMessage:
        return FetchMessage(self._maildrop.mailbox_id, self._maildrop.uids[index], offset, SLICE)

    def _dele(self, argument: str) -> bytes:
        index = self._index(parse_number(argument.strip()))
        self._deleted.add(index)
        self._octets -= self._maildrop.sizes[index]
        return replies.OK

    def _rset(self, argument: str) -> bytes:
        self._octets += sum(self._maildrop.sizes[index] for index in self._deleted)
        self._deleted.clear()
        return replies.maildrop(*self._statistics())

    def _noop(self, argument: str) -> bytes:
        return replies.OK

    def _quit(self, argument: str) -> Handler:
        """Enter the UPDATE state (RFC 1939 section 6): delete, let go, and only then say whether it is done."""
        answer = replies.BYE
        if self._deleted:
            uids = tuple(self._maildrop.uids[index] for index in sorted(self._deleted))
            try:
                yield DeleteMessages(self._maildrop.mailbox_id, uids)
            except UnansweredError:
                answer = replies.NOT_DELETED
        yield from self._let_go()
        self._finish(answer)
        self._close()
        return None

    _BEFORE: ClassVar = (State.AUTHORIZATION,)
    _ALWAYS: ClassVar = (State.AUTHORIZATION, State.TRANSACTION)
    _COMMANDS: ClassVar[dict[bytes, _Command]] = {
        b"CAPA": _Command(_capa, _ALWAYS),
        b"STLS": _Command(_stls, _BEFORE),
        b"UTF8": _Command(_utf8, _BEFORE),
        b"LANG": _Command(_lang, _ALWAYS),
        b"USER": _Command(_user_, _BEFORE),
        b"PASS": _Command(_pass, _BEFORE),
        b"AUTH": _Command(_auth, _BEFORE),
        b"STAT": _Command(_stat),
        b"LIST": _Command(_list),
        b"UIDL": _Command(_uidl),
        b"RETR": _Command(_retr),
        b"TOP": _Command(_top),
        b"DELE": _Command(_dele),
        b"RSET": _Command(_rset),
        b"NOOP": _Command(_noop),
        b"QUIT": _Command(_quit, _ALWAYS),
    }
