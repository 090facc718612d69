"""The one Twisted protocol of all servers: it carries bytes between a socket and a session.

It feeds the session what came, does what the session answers, in order, and finds the answers to its questions. It
keeps time, stops reading while a question is open, and waits for slow readers. It knows no protocol of mail: what may
be said, and in which words, is the session's; what a question means is the ``answers``'.

    server = Server("smtp", new_session, ANSWERS, doors, connections, refusal=TOO_MANY)
    reactor.adoptStreamPort(fd, AF_INET, server)

An answer is ``async def answer(question, doors) -> value``. ``doors.connection`` is the connection that asks: an
answer tells it who has logged in (``logged_in``), and whoever has news for its session gives them to ``notice``.
"""

import ipaddress
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol, Self, TypeAlias, TypeVar

import structlog
from OpenSSL import SSL
from twisted.internet import tcp
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IAddress,
    IHalfCloseableProtocol,
    IHandshakeListener,
    IOpenSSLServerConnectionCreator,
    IProtocol,
    IProtocolFactory,
    IPushProducer,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from a3mailer_site.figures import figures
from mailcore.deflate import Inflater, NotDeflatedError, deflate
from mailcore.dialogue import (
    Action,
    Ask,
    Close,
    Pause,
    Peer,
    Question,
    Send,
    Session,
    StartDeflate,
    StartTls,
    TlsFacts,
    UnavailableError,
)
from mailcore.proxy_header import ProxyHeaderError, read_header

log = structlog.get_logger("mailcore.transport")

T = TypeVar("T")

# What is written at once, in bytes. The transport below calls a halt above 64 KiB, so a reader that takes less than
# one such piece in WRITE_PATIENCE is slower than 2 KiB/s and is cut.
PIECE = 128 * 1024

# Seconds that one connection may go on without giving the others their turn.
TURN = 0.01

# Seconds for a TLS handshake, for a balancer's header, for a peer that does not read, and for one that does not take
# its last words.
HANDSHAKE_PATIENCE = 30.0
PROXY_PATIENCE = 10.0
WRITE_PATIENCE = 60.0
CLOSE_PATIENCE = 10.0

# Seconds without a word while a question is being answered, after which the session may say that it is.
PROGRESS_AFTER = 10.0

# Octets that are inflated before other connections have their turn.
INFLATED_AT_ONCE = 256 * 1024

# A command (or a message) may take longer than the session's patience only if it comes at this many bytes a second.
SLOWEST_PACE = 512


class Doors(Protocol):
    """The ways out of the reactor that an answer may take. None of them blocks, each may raise ``UnavailableError``."""

    # Whose question it is; ``None`` outside a connection (the delivery agents have doors too).
    connection: "Connection | None"
    # What an answer has begun for the question that it expects next.
    begun: Any

    def at(self, connection: "Connection") -> Self:
        """Return the same doors, for this connection's questions."""

    def database(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> "Deferred[T]":
        """Call a function that reads with the ORM in a database thread, in autocommit. Plain values in and out."""

    def commit(self, work: Any) -> Awaitable[Any]:
        """Hand a unit of work to the group commit; the answer comes when it is on disk."""

    def pause(self, seconds: float) -> Awaitable[None]:
        """Let so many seconds pass."""

    def verify_password(self, login: str, password: str, address: str, protocol: str) -> Awaitable[Any]:
        """Return the account that this password opens, or ``None``."""


Answer: TypeAlias = Callable[[Any, Any], Coroutine[Any, Any, Any]]
Answers: TypeAlias = Mapping[type[Question], Answer]


def plain_address(host: str) -> str:
    """Write an IP address in its canonical form, without a scope; an IPv4 address mapped into IPv6 becomes IPv4."""
    address = ipaddress.ip_address(host.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(address)


@implementer(IProtocol, IHalfCloseableProtocol, IHandshakeListener, IPushProducer)
class Connection:
    """One client's connection: a session on one side, a socket on the other."""

    __slots__ = (
        "_acted",
        "_acted_at",
        "_acted_bytes",
        "_asking",
        "_blocked",
        "_closing",
        "_direct",
        "_doors",
        "_ended",
        "_heard",
        "_heard_at",
        "_inflater",
        "_inflating",
        "_lost",
        "_proxy_header",
        "_quiet_at",
        "_quiet_bytes",
        "_reading",
        "_resting",
        "_running",
        "_server",
        "_session",
        "_shaking",
        "_stage",
        "_stage_at",
        "_stage_bytes",
        "_starting_tls",
        "_todo",
        "account_id",
        "bytes_in",
        "bytes_out",
        "login",
        "peer",
        "since",
        "transport",
    )

    transport: Any

    def __init__(self, server: "Server", peer: Peer) -> None:
        self._server = server
        self.peer = peer
        self.account_id: Hashable | None = None
        self.login = ""
        self.since = time.time()
        self.bytes_in = 0
        self.bytes_out = 0
        self.transport = None
        self._session: Session | None = None  # only after the handshake where TLS comes first
        self._doors: Any = None
        self._todo: list[Action] = []  # what waits for a slow reader or for an answer
        self._running = False
        self._asking = False
        self._resting = False  # it has had its turn, and goes on when the others have had theirs
        self._blocked = False  # the peer does not take what was written
        self._reading = True
        self._proxy_header: bytes | None = None  # as much as has come of it, where a balancer has to say who is there
        self._shaking = False  # a TLS handshake is under way
        self._starting_tls = False  # ... which the session asked for
        self._closing = False
        self._direct = False  # the socket can be written to without asking the reactor
        self._ended = False  # the peer says nothing more
        self._lost = False
        self._inflater: Inflater | None = None  # the session has agreed on compression
        self._inflating = False
        # The sweep alone looks at the clock; between two sweeps only these marks are set.
        self._heard = self._acted = True
        self._heard_at = self._acted_at = 0.0
        self._acted_bytes = 0
        self._quiet_at = 0.0  # since when nothing was said ...
        self._quiet_bytes = 0  # ... beyond so many octets
        self._stage = -1  # of the session, as the last sweep saw it
        self._stage_at = 0.0
        self._stage_bytes = 0

    @property
    def protocol(self) -> str:
        """The listener that it came through: "smtp", "imaps", …."""
        return self._server.name

    def logged_in(self, account_id: Hashable, login: str) -> None:
        """Say whose connection this is, so that it can be cut and shown."""
        self.account_id = account_id
        self.login = login

    def logged_out(self) -> None:
        """Say that it is nobody's connection again."""
        self.account_id = None
        self.login = ""

    # What the reactor tells.

    def makeConnection(self, transport: Any) -> None:  # noqa: N802
        """Begin: greet at once, or after the handshake where TLS comes first, or when a balancer has said who it is."""
        self.transport = transport
        self._direct = isinstance(transport, tcp.Server)
        transport.registerProducer(self, True)
        self._server.connections.add(self)
        if self._server.is_proxy(self.peer.address):
            self._proxy_header = b""
        else:
            self._open()

    def _open(self) -> None:
        if self._server.implicit_tls:
            self._shaking = True
            self._direct = False
            self.transport.startTLS(self._server.tls)
        else:
            self._begin()

    def connectionMade(self) -> None:  # noqa: N802
        """Part of the interface; ``makeConnection`` does it all."""

    def dataReceived(self, data: bytes) -> None:  # noqa: N802
        """Feed the session."""
        self.bytes_in += len(data)
        self._heard = True
        if self._proxy_header is not None and not self._closing:
            self._be_introduced(self._proxy_header + data)
            return
        if self._closing or self._session is None:
            return
        if (self._todo or self._asking) and self._reading:
            # Only now, with one chunk kept by the session: a client that waits for its answers costs no system call.
            self._stop_reading()
        if self._inflater is None:
            self._receive(data)
        else:
            self._inflater.feed(data)
            self._inflate()

    def _be_introduced(self, data: bytes) -> None:
        """Hear from a balancer who is at the other end, and begin with whoever that is."""
        try:
            header = read_header(data)
        except ProxyHeaderError as error:
            figures.count(f"{self.protocol}.bad_proxy_headers")
            log.warning(
                "a connection that A3MAILER_MAIL_PROXIES names did not begin with a PROXY header, and was closed",
                protocol=self.protocol,
                peer=self.peer.address,
                reason=str(error),
            )
            self.abort()
            return
        if header is None:
            self._proxy_header = data
            return
        self._proxy_header = None
        self._acted = True
        if header.peer is not None:
            peer = replace(header.peer, address=plain_address(header.peer.address))
            self._server.connections.introduce(self, peer)
            if not self._server.welcomes(self):
                return
        self._open()
        if rest := data[header.size :]:
            # By now the socket may speak TLS, and what comes from it may go another way than to us.
            (self.transport.protocol if self._shaking else self).dataReceived(rest)

    def refuse(self, last_words: bytes) -> None:
        """End it before it has begun."""
        self._write([last_words] if last_words else [])
        self._close()

    def _receive(self, data: bytes) -> None:
        if self._session is None:
            return
        try:
            actions = self._session.receive(data)
        except Exception as error:  # noqa: BLE001 - whatever a session does wrong ends its own connection only
            self._broke(error)
            return
        if actions:
            self._acted = True
            self._do(actions)

    def handshakeCompleted(self) -> None:  # noqa: N802
        """Say what was agreed; go on inside TLS."""
        if not self._shaking:
            return  # a renegotiation, which OpenSSL refuses from TLS 1.3 on and we do from the start
        self._shaking = False
        self._heard = self._acted = True
        facts = tls_facts(self.transport.getHandle())
        self.peer = Peer(self.peer.address, self.peer.port, facts)
        figures.count(f"{self.protocol}.tls.{facts.version}")
        if not self._starting_tls:
            self._begin()
        elif self._session is not None:
            self._starting_tls = False
            self._call(self._session.tls_started, facts)

    def readConnectionLost(self) -> None:  # noqa: N802
        """Close, but first answer what was asked: who says nothing more may still listen (RFC 9293 section 3.6.1).

        Exim does so at the end of its last message. Without our answer it would send that once more.
        """
        self._ended = True
        self._close_when_done()

    def writeConnectionLost(self) -> None:  # noqa: N802
        """Part of the interface; we close both directions together."""

    def _close_when_done(self) -> None:
        if self._ended and not (self._todo or self._asking or self._resting or self._closing):
            self._close()

    def connectionLost(self, reason: Failure) -> None:  # noqa: N802, ARG002
        """Forget the session; an answer that is still being found goes nowhere."""
        self._lost = self._closing = True
        if self._shaking:
            figures.count(f"{self.protocol}.tls_failures")
        self._server.connections.remove(self)
        self._drop(self._todo)
        session, self._session = self._session, None
        if session is None:
            return
        try:
            for action in session.lost():
                if type(action) is Ask:
                    self._ask(action.question)
        except Exception as error:  # noqa: BLE001 - as above
            self._broke(error)

    # The transport's word on what was written (IPushProducer).

    def pauseProducing(self) -> None:  # noqa: N802
        """Hold back: the peer has not yet taken what was written."""
        self._blocked = True

    def resumeProducing(self) -> None:  # noqa: N802
        """Go on: the peer has taken all."""
        self._blocked = False
        self._heard = True
        if self._todo:
            self._run()

    def stopProducing(self) -> None:  # noqa: N802
        """Part of the interface; ``connectionLost`` follows."""

    # What the server tells.

    def notice(self, news: object) -> None:
        """Tell the session what changed outside."""
        if self._session is not None and not self._closing:
            self._call(self._session.notice, news)

    def drain(self) -> None:
        """Ask the session to end as soon as no command is in flight."""
        if self._session is None:
            self.abort()
        elif not self._closing:
            self._call(self._session.drain)

    def cut(self) -> None:
        """End it now, with a last word where the session has one."""
        self.drain()
        if not self._closing:
            self._close()

    def abort(self) -> None:
        """End it now, without a word."""
        was_closing, self._closing = self._closing, True
        self._drop(self._todo)
        if not self._lost:
            if not was_closing:
                self.transport.unregisterProducer()
            self.transport.abortConnection()

    def sweep(self, now: float) -> None:
        """Look whether the peer has been silent for too long. ``now`` is in seconds of a clock that only goes on."""
        self._read_clock(now)
        silence = now - self._heard_at
        if self._closing:
            if silence > CLOSE_PATIENCE:
                self.abort()
        elif self._shaking:
            if now - self._acted_at > HANDSHAKE_PATIENCE:  # bytes alone do not prolong a handshake
                self._lose_patience()
        elif self._proxy_header is not None:
            if now - self._acted_at > PROXY_PATIENCE:
                self._lose_patience()
        elif self._blocked:
            if silence > WRITE_PATIENCE:
                self._lose_patience()
        elif self._asking:
            self._heard = self._acted = True  # it waits for us; its own time begins with the answer
            self._say_waiting(now)
            return
        elif self._session is not None:
            patience = self._session.patience
            allowed = patience + (self.bytes_in - self._acted_bytes) / SLOWEST_PACE
            if silence > patience or now - self._acted_at > allowed or self._is_overdue(self._session, now):
                figures.count(f"{self.protocol}.timeouts")
                self._acted = self._heard = True  # for a session that gives it another while
                self._call(self._session.timed_out)
        self._quiet_at = now

    def _is_overdue(self, session: Session, now: float) -> bool:
        """Say whether the session has stayed where it is for too long, however much it had to say there."""
        stage, seconds = session.stage
        if stage != self._stage:
            self._stage, self._stage_at, self._stage_bytes = stage, now, self.bytes_in
        return now - self._stage_at > seconds + (self.bytes_in - self._stage_bytes) / SLOWEST_PACE

    def _say_waiting(self, now: float) -> None:
        """Let the session say that an answer takes long. Nothing else can be said before the answer is there."""
        if self._session is None or self.bytes_out != self._quiet_bytes:
            self._quiet_at = now
            self._quiet_bytes = self.bytes_out
        elif now - self._quiet_at >= PROGRESS_AFTER:
            self._quiet_at = now
            try:
                actions = self._session.waiting()
            except Exception as error:  # noqa: BLE001 - as above
                self._broke(error)
                return
            self._write([action.data for action in actions if type(action) is Send])
            self._quiet_bytes = self.bytes_out

    def _read_clock(self, now: float) -> None:
        if self._heard:
            self._heard = False
            self._heard_at = now
        if self._acted:
            self._acted = False
            self._acted_at = now
            self._acted_bytes = self.bytes_in

    # The work.

    def _begin(self) -> None:
        try:
            self._session = self._server.new_session(self.peer)
            self._doors = self._server.doors.at(self)
            actions = self._session.greet()
        except Exception as error:  # noqa: BLE001 - it ends this connection only; _broke tells the log
            self._broke(error)
            return
        self._do(actions)

    def _call(self, method: Callable[..., list[Action]], *args: Any) -> None:
        try:
            actions = method(*args)
        except Exception as error:  # noqa: BLE001 - as above
            self._broke(error)
            return
        if actions:
            self._acted = True
            self._do(actions)

    def _do(self, actions: list[Action]) -> None:
        if self._todo:
            self._todo += actions
        else:
            self._todo = actions
        if not self._running:
            self._run()

    def _run(self) -> None:
        """Do what is to be done until nothing is left, an answer must be waited for, or the peer is too slow.

        Who asks one question after the other that can be answered at once (all that is in memory, or ``Pause``)
        is stopped after ``TURN`` seconds, so that others need not wait. Output is collected over all steps (and over
        questions that are answered at once), so that a burst of pipelined commands becomes one write.
        """
        self._running = True
        output: list[bytes] = []
        size = 0
        turn_ends = 0.0
        try:
            while self._todo and not (self._blocked or self._asking or self._resting or self._shaking or self._closing):
                actions, self._todo = self._todo, []
                for position, action in enumerate(actions):
                    if type(action) is Send:
                        output.append(action.data)
                        size += len(action.data)
                        if size < PIECE:
                            continue
                        rest = self._write_piece(output)
                        output = []
                        size = 0
                        self._todo = [*rest, *actions[position + 1 :], *self._todo]
                    elif type(action) is Ask:
                        now = time.monotonic()
                        if not turn_ends:
                            turn_ends = now + TURN
                        elif now >= turn_ends and self._server.later is not None:
                            self._todo = [*actions[position:], *self._todo]
                            self._resting = True
                            self._server.later(self._rested)
                            break
                        said = self._ask(action.question)
                        self._todo = [*said, *actions[position + 1 :], *self._todo]
                    else:
                        self._write(output)
                        output = []
                        size = 0
                        self._todo = [*actions[position + 1 :], *self._todo]
                        self._change(action)
                    break
        except Exception as error:  # noqa: BLE001 - as above
            self._broke(error)
            return
        finally:
            self._running = False
        self._write(output)
        if self._inflater is not None and not self._inflating:
            self._inflate()
        elif not (self._todo or self._asking or self._reading or self._closing or self._inflater):
            self._read_on()
        self._close_when_done()

    def _rested(self) -> None:
        self._resting = False
        self._heard = True
        if not self._running:
            self._run()

    def _write_piece(self, output: list[bytes]) -> list[Action]:
        """Write one piece; return what must wait until the peer has taken it."""
        data = b"".join(output)
        self._write([data[:PIECE]])
        return [Send(data[at : at + PIECE]) for at in range(PIECE, len(data), PIECE)]

    def _change(self, action: Action) -> None:
        """Do what is neither said nor asked: change what lies under the session."""
        if type(action) is StartTls:
            self._start_tls()
        elif type(action) is StartDeflate:
            self._inflater = Inflater()
        elif type(action) is Close:
            self._close()
        elif self._inflater is not None:
            rest, self._inflater = self._inflater.rest, None
            if rest:
                self._receive(rest)

    def _write(self, output: list[bytes]) -> None:
        if not output or self._lost:
            return
        data = output[0] if len(output) == 1 else b"".join(output)
        if self._inflater is not None:
            data = deflate(data)
        self.bytes_out += len(data)
        if self._direct:
            data = self._write_at_once(data)
        if data:
            self.transport.write(data)

    def _write_at_once(self, data: bytes) -> bytes:
        """Give the kernel what it takes now; return the rest, for the reactor to write when it can.

        Twisted would wait for the reactor to say that the socket can be written to, as it nearly always can: that
        is a turn of the reactor and two system calls more for each reply.
        """
        transport = self.transport
        if transport.dataBuffer or transport._tempDataBuffer:
            return data  # behind what waits already
        sent = transport.writeSomeData(data)
        return data[sent:] if isinstance(sent, int) else data  # a broken connection is the reactor's to find

    def _stop_reading(self) -> None:
        self._reading = False
        self.transport.pauseProducing()

    def _read_on(self) -> None:
        self._reading = True
        self.transport.resumeProducing()

    def _inflate(self) -> None:
        """Give the session what has come in, slice by slice; stop while it has a question open or the peer is slow."""
        self._inflating = True
        try:
            self._inflate_slices()
        except NotDeflatedError:
            figures.count(f"{self.protocol}.failures")
            self.abort()
        finally:
            self._inflating = False

    def _inflate_slices(self) -> None:
        done = 0
        while (inflater := self._inflater) is not None and not (self._todo or self._asking or self._closing):
            if done >= INFLATED_AT_ONCE and self._server.later is not None:
                if self._reading:
                    self._stop_reading()
                self._server.later(self._inflate)
                return
            data = inflater.take()
            if not data:
                if inflater.is_over:
                    # Without the word that would have ended the compression on this side too.
                    raise NotDeflatedError("the stream has ended")
                break
            done += len(data)
            self._receive(data)
        if not (self._todo or self._asking or self._reading or self._closing):
            self._read_on()

    def _start_tls(self) -> None:
        self._shaking = self._starting_tls = True
        self._direct = False
        self._acted = True
        self.transport.startTLS(self._server.tls)

    def _close(self) -> None:
        """Close as soon as the peer has what was written."""
        self._closing = True
        self._drop(self._todo)
        self._heard = True
        if not self._lost:
            # With a producer that waits, Twisted would wait for it and never close.
            self.transport.unregisterProducer()
            self.transport.loseConnection()

    def _drop(self, actions: list[Action]) -> None:
        """Forget what will not be done any more. A question that nobody will hear may hold a message."""
        self._todo = []
        for action in actions:
            if type(action) is Ask:
                action.question.dropped()

    def _lose_patience(self) -> None:
        figures.count(f"{self.protocol}.timeouts")
        self.abort()

    def _broke(self, error: Exception) -> None:
        figures.count(f"{self.protocol}.failures")
        log.error(
            "a session failed and its connection is closed",
            protocol=self.protocol,
            peer=self.peer.address,
            login=self.login,
            exc_info=error,
        )
        self.abort()

    # Questions.

    def _ask(self, question: Question) -> list[Action]:
        """Find the answer; return what the session says to it, or nothing when it has to be waited for."""
        coroutine = self._server.answers[type(question)](question, self._doors)
        return self._advance(coroutine, question, None)

    def _advance(
        self, coroutine: Coroutine[Any, Any, Any], question: Question, result: Any, error: BaseException | None = None
    ) -> list[Action]:
        """Run the coroutine as far as it comes. Most come to their end at once and cost no Deferred."""
        try:
            waits_for = coroutine.throw(error) if error else coroutine.send(result)
        except StopIteration as stop:
            value = stop.value
        except Exception as problem:  # noqa: BLE001 - the session says so to the peer, _complain to the log
            self._complain(question, problem)
            return [] if self._session is None else self._session.failed(problem)
        else:
            self._asking = True
            waits_for.addCallbacks(
                self._resume, self._resume, callbackArgs=(coroutine, question), errbackArgs=(coroutine, question)
            )
            return []
        return [] if self._session is None else self._session.answer(value)

    def _resume(self, result: Any, coroutine: Coroutine[Any, Any, Any], question: Question) -> None:
        """Go on with a coroutine that has waited. Called by its Deferred."""
        self._asking = False
        self._heard = True
        error = result.value if isinstance(result, Failure) else None
        try:
            actions = self._advance(coroutine, question, result, error)
        except Exception as problem:  # noqa: BLE001 - as in dataReceived
            self._broke(problem)
            return
        if self._session is None or self._closing:
            self._drop(actions + self._todo)
            return
        self._todo = actions + self._todo
        self._acted = True
        if not self._running:
            self._run()

    def _complain(self, question: Question, error: Exception) -> None:
        kind = type(question).__name__
        facts = {"protocol": self.protocol, "peer": self.peer.address, "login": self.login, "question": kind}
        if isinstance(error, UnavailableError):
            figures.count(f"{self.protocol}.unavailable")
            log.warning("a question could not be answered now", reason=str(error), **facts)
        else:
            figures.count(f"{self.protocol}.failures")
            log.error("an answer failed", exc_info=error, **facts)


async def pause(question: Pause, doors: Any) -> None:
    """Do nothing: what counts is that the transport has had its turn."""


def tls_facts(handle: SSL.Connection) -> TlsFacts:
    """Say what was agreed in the handshake that is over."""
    name = handle.get_servername() or b""
    return TlsFacts(
        version=handle.get_protocol_version_name(),
        cipher=handle.get_cipher_name() or "",
        server_name=name.decode("ascii", "replace"),
    )


@dataclass(frozen=True, slots=True)
class Limits:
    """How many connections may be open at once: in all, and from one address."""

    total: int
    per_address: int


class Connections:
    """The live connections of this process: for limits, figures, cutting, and the end of the day."""

    def __init__(self, limits: Callable[[], Limits], blocked: Callable[[str], bool] = lambda _: False) -> None:
        self._limits = limits
        self._blocked = blocked
        self._live: set[Connection] = set()
        self._by_address: Counter[str] = Counter()
        self._all_gone: Deferred[None] | None = None
        self.draining = False

    def __iter__(self) -> Iterator[Connection]:
        return iter(tuple(self._live))

    def __len__(self) -> int:
        return len(self._live)

    @property
    def full(self) -> bool:
        """Say whether one more connection is too many, wherever it comes from."""
        return len(self._live) >= self._limits().total

    def crowded(self, address: str, *, others: int = 1) -> bool:
        """Say whether so many more connections from this address are too many."""
        return self._by_address[address] + others > self._limits().per_address

    def blocked(self, address: str) -> bool:
        """Say whether this address may not connect at all."""
        return self._blocked(address)

    def add(self, connection: Connection) -> None:
        """Count a connection that has begun."""
        self._live.add(connection)
        self._by_address[connection.peer.address] += 1

    def remove(self, connection: Connection) -> None:
        """Forget a connection that is over."""
        if connection not in self._live:
            return
        self._live.remove(connection)
        self._count_out(connection.peer.address)
        figures.count(f"{connection.protocol}.bytes_in", connection.bytes_in)
        figures.count(f"{connection.protocol}.bytes_out", connection.bytes_out)
        if self._all_gone is not None and not self._live:
            all_gone, self._all_gone = self._all_gone, None
            all_gone.callback(None)

    def introduce(self, connection: Connection, peer: Peer) -> None:
        """Take note of who is at the other end, behind a balancer."""
        self._count_out(connection.peer.address)
        connection.peer = peer
        self._by_address[peer.address] += 1

    def _count_out(self, address: str) -> None:
        self._by_address[address] -= 1
        if not self._by_address[address]:
            del self._by_address[address]

    def sweep(self, now: float) -> None:
        """Look for peers that have been silent for too long. Called once a second or so, with a monotonic clock."""
        for connection in tuple(self._live):
            connection.sweep(now)

    def cut(self, *, account_id: Hashable | None = None, address: str | None = None) -> int:
        """End the connections of an account or from an address; return how many there were."""
        wanted = [
            connection
            for connection in self._live
            if (account_id is not None and connection.account_id == account_id)
            or (address is not None and connection.peer.address == address)
        ]
        for connection in wanted:
            connection.cut()
        return len(wanted)

    def abort_where(self, unwanted: Callable[[str], bool]) -> int:
        """End the connections from unwanted addresses without a word; return how many there were."""
        wanted = [connection for connection in self._live if unwanted(connection.peer.address)]
        for connection in wanted:
            connection.abort()
        return len(wanted)

    def drain(self) -> Deferred[None]:
        """Let every session end after its command in flight; fires when the last connection is gone."""
        self.draining = True
        self._all_gone = Deferred()
        waiting = self._all_gone
        for connection in tuple(self._live):
            connection.drain()
        if not self._live and not waiting.called:
            self._all_gone = None
            waiting.callback(None)
        return waiting

    def abort_all(self) -> None:
        """End what is left, without a word."""
        for connection in tuple(self._live):
            connection.abort()

    def open(self) -> dict[str, int]:
        """Count the open connections of each listener."""
        return dict(Counter(connection.protocol for connection in self._live))


@implementer(IProtocolFactory)
class Server:
    """What makes a connection for everybody who comes to one kind of listener."""

    noisy: ClassVar[bool] = False

    def __init__(
        self,
        name: str,
        new_session: Callable[[Peer], Session],
        answers: Answers,
        doors: Doors,
        connections: Connections,
        *,
        tls: IOpenSSLServerConnectionCreator | None = None,
        implicit_tls: bool = False,
        refusal: bytes = b"",
        later: Callable[[Callable[[], None]], object] | None = None,
        is_proxy: Callable[[str], bool] = lambda _: False,
    ) -> None:
        """``refusal`` is said in the place of the banner, and before TLS not at all, when too many are connected.

        ``later`` calls a function when the reactor has served everybody else; without it nobody ever gives way.
        ``is_proxy`` knows the addresses of balancers that say in a PROXY header who comes through them.
        """
        if implicit_tls and tls is None:
            raise ValueError(f"{name}: implicit TLS needs a certificate")
        self.name = name
        self.new_session = new_session
        self.answers = answers
        self.doors = doors
        self.connections = connections
        self.tls = tls
        self.implicit_tls = implicit_tls
        self.refusal = refusal
        self.later = later
        self.is_proxy = is_proxy

    def buildProtocol(self, address: IAddress | None) -> "Connection | Refusal | None":  # noqa: N802
        """Return a connection, a refusal, or ``None`` (closed at once) for a blocked address."""
        host = plain_address(getattr(address, "host", "127.0.0.1"))
        proxy = self.is_proxy(host)  # then only who is behind it counts
        if not proxy and self.connections.blocked(host):
            figures.count(f"{self.name}.blocked")
            return None
        if self.connections.draining or self.connections.full or (not proxy and self.connections.crowded(host)):
            figures.count(f"{self.name}.refused")
            return None if self.implicit_tls else Refusal(self.refusal)
        figures.count(f"{self.name}.connections")
        return Connection(self, Peer(host, getattr(address, "port", 0)))

    def welcomes(self, connection: Connection) -> bool:
        """Say whether who has come through a balancer may stay; end the connection otherwise."""
        address = connection.peer.address
        if self.connections.blocked(address):
            figures.count(f"{self.name}.blocked")
            connection.abort()
            return False
        if self.connections.crowded(address, others=0):
            figures.count(f"{self.name}.refused")
            connection.refuse(b"" if self.implicit_tls else self.refusal)
            return False
        return True

    def doStart(self) -> None:  # noqa: N802
        """Part of the interface."""

    def doStop(self) -> None:  # noqa: N802
        """Part of the interface."""


@implementer(IProtocol)
class Refusal:
    """Says one sentence and closes."""

    __slots__ = ("_text",)

    def __init__(self, text: bytes) -> None:
        self._text = text

    def makeConnection(self, transport: Any) -> None:  # noqa: N802
        """Say it."""
        transport.write(self._text)
        transport.loseConnection()

    def connectionMade(self) -> None:  # noqa: N802
        """Part of the interface."""

    def dataReceived(self, data: bytes) -> None:  # noqa: N802
        """Whatever the peer says, it is not heard."""

    def connectionLost(self, reason: Failure) -> None:  # noqa: N802
        """Part of the interface."""
