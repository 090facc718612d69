"""One connection to another mail server: performs what an SMTP client session says, and keeps time.

Knows no queue and no recipients' fates: it hands over envelope and bytes, and reports outcomes.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

import structlog
from OpenSSL import SSL
from OpenSSL.crypto import X509
from service_identity import CertificateError, VerificationError
from service_identity.pyopenssl import verify_hostname, verify_ip_address
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IAddress,
    IConnector,
    IHandshakeListener,
    IOpenSSLClientConnectionCreator,
    IPushProducer,
    IReactorTCP,
    IReactorTime,
)
from twisted.internet.protocol import ClientFactory, Protocol, connectionDone
from twisted.internet.ssl import TLSVersion, optionsForClientTLS
from twisted.python.failure import Failure
from zope.interface import implementer

from a3mailer_site.figures import figures
from mailcore.delivery.dane import UNREADABLE, Dane
from mailcore.delivery.jobs import own_outcome
from mailcore.dialogue import Close, Send
from mailcore.message.envelope import Envelope
from mailcore.smtp.client import (
    Action,
    BeginTls,
    ClientPolicy,
    ClientSession,
    Finished,
    GaveUp,
    NextPiece,
    Outcome,
    Phase,
    Ready,
    Tls,
    Verdict,
)
from mailcore.transport import tls_facts

log = structlog.get_logger("mailcore.delivery.connection")

CONNECT_PATIENCE = 30.0  # seconds
# Seconds after our last words for the peer to take them.
CLOSE_PATIENCE = 10.0

# Seconds in all, whatever goes forward meanwhile: to get as far as a message, and for a message besides a second for so
# many octets. A host that says a byte now and then is never silent for as long as RFC 5321 section 4.5.3.2 allows.
OPENING_PATIENCE = 900.0
MESSAGE_PATIENCE = 1800.0
SLOWEST = 2000

# Gives the next bytes of a message, ``None`` after the last.
Pieces = Callable[[], Awaitable[bytes | None]]


# How a host can prove that it is the one that is meant.
DANE, MTA_STS, CERTIFICATE = "DANE", "MTA-STS", "its certificate"


@dataclass(frozen=True, slots=True)
class Target:
    """An address to connect to, and how to speak there."""

    host: str
    address: str
    port: int
    policy: ClientPolicy
    implicit_tls: bool = False
    dane: Dane | None = None  # what the host has to prove
    # By what the host proves that it is the one that is meant, for people to read; empty: by nothing.
    proof: str = ""


class Reactor(IReactorTCP, IReactorTime):
    """What a connection needs of a reactor."""


class ConnectError(Exception):
    """There is no connection that could take a message; ``outcome`` says why."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.text)
        self.outcome = outcome


def connect(reactor: Reactor, target: Target) -> "Deferred[OutboundConnection]":
    """Connect and say hello; fires when a message can be sent, fails with ``ConnectError``."""
    factory = _Factory(reactor, target)
    connector = reactor.connectTCP(target.address, target.port, factory, timeout=CONNECT_PATIENCE)
    factory.connection.hang_up = connector.disconnect
    return factory.connection.opened


@implementer(IHandshakeListener, IPushProducer)
class OutboundConnection(Protocol):
    """A connection; ``opened`` fires once, then ``deliver`` may be called again and again while it is ``usable``."""

    def __init__(self, reactor: Reactor, target: Target) -> None:
        self.target = target
        self.session = ClientSession(target.policy)
        self.hang_up: Callable[[], object] = lambda: None
        self.opened: Deferred[OutboundConnection] = Deferred(self._cancelled)
        self.gone: Deferred[None] = Deferred()
        self.messages = 0  # handed over
        self._reactor = reactor
        self._timer = reactor.callLater(CONNECT_PATIENCE + 1, self._look_at_the_clock)
        self._deadline = reactor.seconds() + CONNECT_PATIENCE + 1
        self._end = reactor.seconds() + OPENING_PATIENCE
        self._finished: Deferred[tuple[Outcome, ...]] | None = None
        self._outcomes: tuple[Outcome, ...] | None = None  # known, but the session is not ready for more yet
        self._pieces: Pieces | None = None
        self._todo: list[Action] = []
        self._blocked = False  # the peer has not taken what was written
        self._fetching = False  # the next piece is on its way to us
        self._closing = False
        self._acting = False
        self._tls: Any = None  # how TLS is begun, once it is
        self._certificate_problems: list[str] = []  # why the certificate that was shown is not valid

    @property
    def usable(self) -> bool:
        """Whether the next message can be sent over it."""
        return not self._closing and self.session.phase is Phase.IDLE

    def deliver(self, envelope: Envelope, pieces: Pieces) -> "Deferred[tuple[Outcome, ...]]":
        """Send a message; fires with one outcome a recipient, when the next one could be sent or the end has come.

        Fails only when the message itself cannot be read.
        """
        finished: Deferred[tuple[Outcome, ...]] = Deferred()
        self._finished = finished
        self._pieces = pieces
        self.messages += 1
        self._end = self._reactor.seconds() + MESSAGE_PATIENCE + envelope.size / SLOWEST
        self._do(self.session.send(envelope))
        return finished

    def quit(self) -> None:
        """Say goodbye and close; a message in hand is given up."""
        if not self._closing:
            self._do(self.session.quit())

    def failed_to_connect(self, reason: str) -> None:
        """Nobody took the call."""
        self._stop_timer()
        self._closing = True
        self._open_fails(own_outcome(Verdict.DEFERRED, "4.4.1", f"cannot connect: {reason}"))
        self.gone.callback(None)

    # What the reactor tells.

    def connectionMade(self) -> None:  # noqa: N802
        """Begin; with the handshake where TLS comes first."""
        transport = cast("Any", self.transport)
        transport.setTcpNoDelay(True)
        transport.registerProducer(self, True)
        if self.target.implicit_tls:
            self._begin_tls()
        else:
            self._do(self.session.connected())
            self._be_patient()

    def dataReceived(self, data: bytes) -> None:  # noqa: N802
        """Feed the session."""
        if not self._closing:
            self._do(self.session.receive(data))

    def handshakeCompleted(self) -> None:  # noqa: N802
        """Go on inside TLS, if it is the host that was meant."""
        handle = cast("Any", self.transport).getHandle()
        facts = tls_facts(handle)
        if isinstance(self._tls, _ValidCertificate) and (other := self._tls.refusal(handle)):
            self._do(self.session.distrust(other))
            return
        refusal = _refusal(self.target, handle)
        if refusal is not None:
            figures.count("delivery.dane.refused")
            self._do(self.session.distrust(f"DANE: {refusal}"))
            return
        if self.target.dane is not None:
            figures.count("delivery.dane.proved" if self.target.dane.records else "delivery.dane.unusable")
        self._do(self.session.connected(facts) if self.target.implicit_tls else self.session.tls_started(facts))

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: N802
        """Tell the session, which tells who waits."""
        words = "" if reason.check(type(connectionDone.value)) else _words(reason)  # type: ignore[no-untyped-call]
        # Why our side has broken the handshake off says more than that it did.
        problem = self._certificate_problems[0] if self._certificate_problems else ""
        ended = self.session.distrust(problem) if problem else self.session.disconnected(words)
        self._todo, self._fetching = [], False
        self._do([action for action in ended if not isinstance(action, Close)])
        self._closing = True
        self._stop_timer()
        self._report()
        if not self.gone.called:
            self.gone.callback(None)

    # The transport's word on what was written (IPushProducer).

    def pauseProducing(self) -> None:  # noqa: N802
        """Hold back."""
        self._blocked = True

    def resumeProducing(self) -> None:  # noqa: N802
        """Go on: the peer takes what we send, so it is alive."""
        self._blocked = False
        self._be_patient()
        self._do([])

    def stopProducing(self) -> None:  # noqa: N802
        """The connection is about to be lost; ``connectionLost`` says so."""

    # Actions.

    def _do(self, actions: list[Action]) -> None:
        if actions:
            self._be_patient()
        self._todo += actions
        if self._acting:
            return
        self._acting = True
        try:
            while self._todo and not self._closing and not self._fetching:
                if isinstance(self._todo[0], NextPiece) and self._blocked:
                    return
                self._act(self._todo.pop(0))
        finally:
            self._acting = False

    def _act(self, action: Action) -> None:
        transport = cast("Any", self.transport)
        if isinstance(action, Send):
            transport.write(action.data)
        elif isinstance(action, NextPiece):
            self._fetch()
        elif isinstance(action, Finished):
            self._outcomes = action.outcomes
        elif isinstance(action, Ready):
            self._ready()
        elif isinstance(action, BeginTls):
            self._begin_tls()
        elif isinstance(action, GaveUp):
            self._open_fails(action.outcome)
        else:
            self._close()

    def _begin_tls(self) -> None:
        try:
            self._tls = _tls(self.target, self._certificate_problems)
        except ValueError as error:
            # The DNS has names that cannot be a host's (RFC 5891 section 4.2.3), such as those with an underscore.
            self._do(self.session.distrust(f"no certificate for {self.target.host} can be checked: {error}"))
            return
        cast("Any", self.transport).startTLS(self._tls)

    def _fetch(self) -> None:
        """Ask for the next piece; it may take a while to read it."""
        if self._pieces is None:
            return
        self._fetching = True
        fetched = Deferred.fromCoroutine(_awaited(self._pieces()))
        fetched.addCallbacks(self._take_piece, self._no_piece)

    def _take_piece(self, piece: bytes | None) -> None:
        self._fetching = False
        self._do(self.session.body(piece))

    def _no_piece(self, failure: Failure) -> None:
        """We cannot read our own message. Without its end the server forgets it; who waits hears of the error."""
        self._fetching = False
        finished, self._finished = self._finished, None
        cast("Any", self.transport).abortConnection()
        if finished is not None:
            finished.errback(failure)

    def _ready(self) -> None:
        if self.opened.called:
            self._report()
        else:
            self.opened.callback(self)

    def _report(self) -> None:
        """Tell who waits what came of the message."""
        finished, self._finished = self._finished, None
        outcomes, self._outcomes = self._outcomes, None
        self._pieces = None
        if finished is not None and outcomes is not None:
            # Not from here: who waits may send the next message, and we are in the middle of our actions.
            self._reactor.callLater(0, finished.callback, outcomes)

    def _open_fails(self, outcome: Outcome) -> None:
        if not self.opened.called:
            self.opened.errback(ConnectError(outcome))

    def _close(self) -> None:
        self._closing = True
        self._report()
        transport = cast("Any", self.transport)
        transport.unregisterProducer()
        transport.loseConnection()
        self._deadline = self._reactor.seconds() + CLOSE_PATIENCE

    # Time.

    def _be_patient(self) -> None:
        """Something went forward: the patience begins anew. Mere bytes that lead to nothing do not count."""
        if self._closing:
            return
        patience = self._patience()
        self._deadline = self._reactor.seconds() + patience
        if self._timer.active() and self._timer.getTime() > self._deadline:
            self._timer.reset(patience)

    def _patience(self) -> float:
        """Seconds to wait from now on. The answer to a whole message is always waited for, or it would come twice."""
        patience = self.session.patience
        if self.session.phase in {Phase.IDLE, Phase.END_OF_DATA}:
            return patience
        return max(0.0, min(patience, self._end - self._reactor.seconds()))

    def _look_at_the_clock(self) -> None:
        left = self._deadline - self._reactor.seconds()
        if left > 0:
            self._timer = self._reactor.callLater(max(left, 0.1), self._look_at_the_clock)
        elif self._closing:
            cast("Any", self.transport).abortConnection()
        elif self.transport is not None:
            log.info("time-out", host=self.target.host, phase=self.session.phase.value)
            actions = self.session.timed_out()
            self._todo, self._fetching = [], False
            self._timer = self._reactor.callLater(CLOSE_PATIENCE, self._look_at_the_clock)
            self._do(actions)

    def _stop_timer(self) -> None:
        if self._timer.active():
            self._timer.cancel()

    def _cancelled(self, _opened: object) -> None:
        self.hang_up()


class _Factory(ClientFactory):
    """Gives the connection its protocol, and hears when there is none."""

    noisy = False

    def __init__(self, reactor: Reactor, target: Target) -> None:
        self.connection = OutboundConnection(reactor, target)

    def buildProtocol(self, addr: IAddress) -> OutboundConnection:  # type: ignore[override]  # noqa: ARG002, N802
        """Return the connection."""
        return self.connection

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:  # noqa: ARG002, N802
        """Nobody took the call."""
        self.connection.failed_to_connect(_words(reason))


def _words(reason: Failure) -> str:
    """Say in one line why a connection failed."""
    if isinstance(reason.value, SSL.Error):
        return "TLS: " + ("; ".join(error[2] for error in reason.value.args[0]) if reason.value.args else "failed")
    return reason.getErrorMessage().removesuffix(".")


async def _awaited(waiting: Awaitable[bytes | None]) -> bytes | None:
    return await waiting


# Of X509_verify_cert_error_string(3).
_CERTIFICATE_ERRORS = {
    9: "the certificate is not valid yet",
    10: "the certificate has expired",
    18: "the certificate is self-signed",
    19: "the certificate is by an authority that is not trusted",
    20: "the certificate is by an authority that is not trusted",
    21: "the certificate is by an authority that is not trusted",
    23: "the certificate has been revoked",
}


def _tls(target: Target, problems: list[str]) -> IOpenSSLClientConnectionCreator:
    """Say how to begin TLS: with a valid certificate where it is required, with any where it is only better than none.

    Raises ``ValueError`` when it is required, and the host's name is none that a certificate can be checked for.

    Opportunistic TLS protects against listening, not against an impostor: without DANE or MTA-STS the name in the MX
    record is unproven anyway, so a certificate check would only lose mail (RFC 7435 section 3).
    """
    if target.dane is not None and target.proof in {"", DANE}:
        return _AnyCertificate(target.dane.base)  # ``_refusal`` looks at it
    if target.policy.tls is Tls.REQUIRED:
        return _ValidCertificate(target.host, problems)
    return _AnyCertificate(target.host)


def _refusal(target: Target, handle: SSL.Connection) -> str | None:
    """Say why this is not the host that the DNS names; ``None``: it is, or nothing is known of that."""
    if target.dane is None or not target.dane.records:
        return None
    try:
        shown = handle.get_peer_cert_chain(as_cryptography=True) or []
    except UNREADABLE as error:
        return f"the host shows a certificate that cannot be read: {error}"
    return target.dane.refusal(shown, datetime.now(UTC))


@implementer(IOpenSSLClientConnectionCreator)
class _ValidCertificate:
    """TLS 1.2 or newer with whoever has a valid certificate; says in plain words what is wrong with another.

    While the handshake goes on, it is held against the authorities that are trusted. When that is over, ``refusal``
    must be asked whether it is the right host's.
    """

    def __init__(self, host: str, problems: list[str]) -> None:
        """``problems`` is told why a handshake is broken off. Raises ``ValueError`` for what is no host's name."""
        self._host = host
        self._problems = problems
        self._options = optionsForClientTLS(host, extraCertificateOptions={"raiseMinimumTo": TLSVersion.TLSv1_2})

    def clientConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:  # noqa: N802, N803
        """Make the connection."""
        connection: SSL.Connection = self._options.clientConnectionForTLS(tlsProtocol)
        connection.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, self._verify)
        return connection

    def _verify(self, _connection: SSL.Connection, _certificate: X509, error: int, _depth: int, valid: int) -> bool:
        if not valid:
            self._problems.append(
                _CERTIFICATE_ERRORS.get(error, f"the certificate is not valid (OpenSSL error {error})")
            )
        return bool(valid)

    def refusal(self, handle: SSL.Connection) -> str:
        """Say why this is not the host that was meant; empty: it is (RFC 6125)."""
        verify = verify_ip_address if isIPAddress(self._host) or isIPv6Address(self._host) else verify_hostname
        try:
            verify(handle, self._host)
        except (VerificationError, CertificateError):
            return f"the certificate is for another name than {self._host}"
        return ""


@implementer(IOpenSSLClientConnectionCreator)
class _AnyCertificate:
    """TLS 1.2 or newer with whoever answers."""

    def __init__(self, host: str) -> None:
        self._host = host

    def clientConnectionForTLS(self, tlsProtocol: object) -> SSL.Connection:  # noqa: ARG002, N802, N803
        """Make the connection, with the host's name for servers that have several (SNI; not for addresses)."""
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_min_proto_version(SSL.TLS1_2_VERSION)
        context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION)
        connection = SSL.Connection(context, None)
        if any(letter.isalpha() for letter in self._host) and ":" not in self._host and self._host.isascii():
            connection.set_tlsext_host_name(self._host.encode("ascii"))
        return connection
