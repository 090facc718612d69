"""One question to one server: by UDP, and by TCP when the answer did not fit.

Waits as long as its caller does (cancel the Deferred to give up) and judges nothing but whether what came is an answer
to what was asked. Which server to ask, and what the answer means, is ``stub.py``'s.
"""

import typing
from typing import cast

import dns.exception
import dns.message
import dns.rcode
from dns.flags import Flag
from dns.message import Message, Truncated
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IConnector, IReactorTCP, IReactorTime, IReactorUDP, ITCPTransport
from twisted.internet.protocol import ClientFactory, DatagramProtocol, Protocol, connectionDone
from twisted.python.failure import Failure

from mailcore.resolver.cache import Question
from mailcore.resolver.servers import Server

# RFC 9715 (and the DNS flag day 2020): a size that crosses every usual path in one piece.
UDP_PAYLOAD = 1232
TCP_CONNECT_SECONDS = 3.0
_REFUSES_EDNS = frozenset({dns.rcode.FORMERR, dns.rcode.NOTIMP, dns.rcode.BADVERS})


class ConnectedPort(typing.Protocol):
    """A UDP port as Twisted makes it: once connected, ``write`` needs no address."""

    def connect(self, host: str, port: int) -> None:
        """Send to this address, and hear it alone."""

    def write(self, datagram: bytes) -> None:
        """Send a datagram."""


class Reactor(IReactorTCP, IReactorUDP, IReactorTime):
    """What the resolver needs of a reactor."""


class ExchangeError(Exception):
    """This server gave no usable answer: unreachable, or the connection broke."""


async def ask(reactor: Reactor, server: Server, question: Question) -> Message:
    """Ask one server and return its whole answer; raises ``ExchangeError`` when it cannot be reached.

    A server that takes EDNS(0) for an error is asked again without (RFC 6891 section 7), now and from now on.
    """
    reply = await _ask_once(reactor, server, question)
    if server.edns and reply.rcode() in _REFUSES_EDNS:
        server.edns = False
        reply = await _ask_once(reactor, server, question)
    return reply


async def _ask_once(reactor: Reactor, server: Server, question: Question) -> Message:
    query = dns.message.make_query(
        question.name, question.rdtype, use_edns=0 if server.edns else -1, payload=UDP_PAYLOAD
    )
    # Asks whether the answer is authentic without asking for the signatures (RFC 6840 section 5.7).
    query.flags |= Flag.AD
    reply = await _by_udp(reactor, server, query)
    return await _by_tcp(reactor, server, query) if reply is None else reply


def _read(query: Message, wire: bytes) -> Message | None:
    """Return the message when it answers the query; ``None`` for anything else. Raises ``Truncated``."""
    try:
        reply = dns.message.from_wire(wire, raise_on_truncation=True)
    except Truncated as error:
        if query.is_response(error.kwargs["message"]):
            raise
        return None
    except (dns.exception.DNSException, ValueError, IndexError):
        return None
    return reply if query.is_response(reply) else None


class _Datagrams(DatagramProtocol):
    """Sends one query from a port of its own and takes the first answer to it."""

    def __init__(self, server: Server, query: Message) -> None:
        self._server = server
        self._query = query
        self.answered: Deferred[Message | None] = Deferred(lambda _: None)

    def startProtocol(self) -> None:  # noqa: N802 (Twisted's name)
        """Connect, so that the kernel drops whatever comes from elsewhere, and send."""
        port = cast("ConnectedPort", self.transport)
        port.connect(self._server.host, self._server.port)
        try:
            port.write(self._query.to_wire())
        except OSError as error:
            self._fail(str(error))

    def datagramReceived(self, datagram: bytes, addr: object) -> None:  # noqa: ARG002, N802
        """Take the answer; what is no answer to our question may be a forgery, and the true one may yet come."""
        try:
            reply = _read(self._query, datagram)
        except Truncated:
            self._finish(None)
        else:
            if reply is not None:
                self._finish(reply)

    def connectionRefused(self) -> None:  # noqa: N802
        """Nobody listens there: no need to wait."""
        self._fail("connection refused")

    def stopProtocol(self) -> None:  # noqa: N802
        """The epoll reactor takes the same refusal for the end of the socket, and says it so."""
        self._fail("connection refused")

    def _finish(self, reply: Message | None) -> None:
        if not self.answered.called:
            self.answered.callback(reply)

    def _fail(self, reason: str) -> None:
        if not self.answered.called:
            self.answered.errback(ExchangeError(f"{self._server.host}: {reason}"))


async def _by_udp(reactor: Reactor, server: Server, query: Message) -> Message | None:
    """Return the answer, or ``None`` when it was cut off.

    The port is the kernel's choice out of its ephemeral range, at random, a new one for each query: with the random id
    that is what a forger has to guess (RFC 5452 section 4.5).
    """
    protocol = _Datagrams(server, query)
    port = reactor.listenUDP(0, protocol, interface="::" if ":" in server.host else "", maxPacketSize=65535)
    try:
        return await protocol.answered
    finally:
        port.stopListening()


class _Stream(Protocol):
    """Sends one query with its length in front (RFC 1035 section 4.2.2) and takes one answer."""

    transport: ITCPTransport

    def __init__(self, server: Server, query: Message, answered: "Deferred[Message]") -> None:
        self._server = server
        self._query = query
        self._answered = answered
        self._buffer = b""

    def connectionMade(self) -> None:  # noqa: N802
        """Send the query."""
        wire = self._query.to_wire()
        self.transport.write(len(wire).to_bytes(2, "big") + wire)

    def dataReceived(self, data: bytes) -> None:  # noqa: N802
        """Collect the answer: at most the 65,535 octets that its length can say."""
        self._buffer += data
        if len(self._buffer) < 2:
            return
        length = int.from_bytes(self._buffer[:2], "big")
        if len(self._buffer) < 2 + length:
            return
        try:
            reply = _read(self._query, self._buffer[2 : 2 + length])
        except Truncated:
            reply = None
        self.transport.loseConnection()
        if self._answered.called:
            return
        if reply is None:
            self._answered.errback(ExchangeError(f"{self._server.host}: what it said by TCP is no answer"))
        else:
            self._answered.callback(reply)

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: N802
        """Say so when it came before the answer."""
        if not self._answered.called:
            self._answered.errback(ExchangeError(f"{self._server.host}: {reason.getErrorMessage()}"))


class _StreamFactory(ClientFactory):
    """Makes the one protocol, and hears when there is no connection."""

    noisy = False

    def __init__(self, server: Server, query: Message) -> None:
        self._server = server
        self._query = query
        self.answered: Deferred[Message] = Deferred(lambda _: None)

    def buildProtocol(self, addr: IPv4Address | IPv6Address) -> Protocol:  # type: ignore[override]  # noqa: ARG002, N802
        """Return the protocol of the connection."""
        return _Stream(self._server, self._query, self.answered)

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:  # noqa: ARG002, N802
        """No connection."""
        if not self.answered.called:
            self.answered.errback(ExchangeError(f"{self._server.host}: {reason.getErrorMessage()}"))


async def _by_tcp(reactor: Reactor, server: Server, query: Message) -> Message:
    factory = _StreamFactory(server, query)
    connector = reactor.connectTCP(server.host, server.port, factory, timeout=TCP_CONNECT_SECONDS)
    try:
        return await factory.answered
    finally:
        connector.disconnect()
