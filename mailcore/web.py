"""The web process: daphne on the sockets that it was given, and Django's views in a pool of threads.

WebSockets will be Channels'. Plain HTTP goes through WSGI, which is several times faster than Django's ASGI path for
views that block. Daphne's server is used and its command line is not: the sockets come from the supervisor, the end is
orderly, and a request's body has a limit before it fills the disk.
"""

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import structlog
from daphne.http_protocol import HTTPFactory, WebRequest
from daphne.server import Server
from daphne.ws_protocol import WebSocketFactory
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from twisted.internet import reactor as default_reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.internet.threads import deferToThread
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.web import http

from a3mailer_site import cores
from a3mailer_site.api.errors import bare_error
from a3mailer_site.env import current
from a3mailer_site.figures import figures
from mailcore import tls
from mailcore.child import Child
from mailcore.database import in_database_thread
from mailcore.threads import WayBack
from mailcore.transport import plain_address
from mailcore.tuning import Tuning
from mailcore.wsgi_bridge import Receive, Scope, Send, WsgiBridge, count_answer
from security import blocklist, tallies

log = structlog.get_logger("mailcore.web")

THREADS = 8
# Requests that may wait for a thread; one more is told to come back.
WAITING = 200
# Bytes of a request's body. A larger one is refused before it is read (413); no view of ours takes more.
BODY_LIMIT = 64 * 1024 * 1024
# Seconds between two looks at the block list.
LOOK_AT_BLOCKS_EVERY = 0.25
# Seconds that a view may take, and between two looks whether all views are done at the end.
VIEW_PATIENCE = 120
LOOK_EVERY = 0.05

_TOO_LARGE = b"HTTP/1.1 413 Content Too Large\r\n"
_BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\n"
_EMPTY = [(b"Content-Length", b"0")]


class BoundedRequest(WebRequest):  # type: ignore[misc] # daphne has no types
    """A request whose body has a limit, and that believes no header about where the application is mounted."""

    received = 0
    refused = False

    def gotLength(self, length: int | None) -> None:  # noqa: N802
        """Refuse a body that says itself that it is too long."""
        super().gotLength(length)
        if length is not None and length > BODY_LIMIT:
            self._refuse()

    def handleContentChunk(self, data: bytes) -> None:  # noqa: N802
        """Refuse a body that becomes too long; one in chunks does not say beforehand."""
        self.received += len(data)
        if self.received > BODY_LIMIT:
            self._refuse()
        elif not self.refused:
            super().handleContentChunk(data)

    def process(self) -> Any:
        """Hand the request on."""
        if self.refused:
            return None
        # Daphne would let any client name the path that the application is mounted under.
        self.requestHeaders.removeHeader(b"daphne-root-path")
        return super().process()

    def finish(self) -> None:
        """Close the connection afterwards where the answer says so: twisted.web looks at the request only."""
        if self.channel is not None and b"close" in (self.responseHeaders.getRawHeaders(b"connection") or ()):
            self.channel.persistent = 0
        super().finish()

    def _refuse(self) -> None:
        if not self.refused and self.channel is not None:
            self.refused = True
            figures.count("http.body_too_large")
            # The request has no path or method of its own yet: they come with the end of the body.
            method = getattr(self.channel, "_command", None) or b""
            count_answer(method.decode("latin-1"), 413, self.duration())
            write_refusal(self.channel, _TOO_LARGE, 413, self.requestHeaders.getAllRawHeaders())

    def basic_error(self, status: int, status_text: bytes, body: str) -> None:
        """Answer what daphne itself refuses, what a view never answered, and what ended in an error nobody caught.

        Where a program asks, in the API's form.
        """
        if not (self.finished or self.channel is None or self._response_started):
            count_answer(self.method.decode("latin-1"), status, self.duration())
        headers = [(name, value) for name, values in self.requestHeaders.getAllRawHeaders() for value in values]
        error = bare_error(path_of(self.path or b""), headers, status)
        if error is None:
            super().basic_error(status, status_text, body)
            return
        self.handle_reply({"type": "http.response.start", "status": status, "headers": error[0]})
        self.handle_reply({"type": "http.response.body", "body": error[1]})


def path_of(target: bytes) -> str:
    """Return the path in a request's target, decoded."""
    return unquote(target.partition(b"?")[0].decode("latin-1"))


def write_refusal(channel: Any, status_line: bytes, status: int, headers: Iterable[tuple[bytes, list[bytes]]]) -> None:
    """Refuse what is not even a whole request, and close: whatever else comes on the connection is part of it."""
    flat = [(name, value) for name, values in headers for value in values]
    head, body = bare_error(path_of(getattr(channel, "_path", b"")), flat, status) or (_EMPTY, b"")
    lines = [name + b": " + value + b"\r\n" for name, value in [*head, (b"Connection", b"close")]]
    channel.transport.write(status_line + b"".join(lines) + b"\r\n" + body)
    channel.transport.loseConnection()


class Channel(http._GenericHTTPChannelProtocol):
    """An HTTP connection whose socket the factory knows."""

    def makeConnection(self, transport: Any) -> None:  # noqa: N802
        """Begin."""
        self.factory.sockets.add(_socket_of(transport))
        super().makeConnection(transport)


class Spoken(http.HTTPChannel):
    """HTTP as it is spoken on a connection. What is no request never becomes an answered one: it is counted apart."""

    def _respondToBadRequestAndDisconnect(self) -> None:  # noqa: N802
        figures.count("http.malformed")
        write_refusal(self, _BAD_REQUEST, 400, [])

    def lineLengthExceeded(self, line: bytes) -> None:  # noqa: ARG002, N802
        """Refuse a line that is too long."""
        self._respondToBadRequestAndDisconnect()


def _socket_of(transport: Any) -> Any:
    """Return the TCP transport under all wrappers (TLS)."""
    while hasattr(transport, "transport"):
        transport = transport.transport
    return transport


class BoundedFactory(HTTPFactory):  # type: ignore[misc] # daphne has no types
    """Makes daphne's HTTP connections, with our requests and without an access log."""

    noisy = False

    def __init__(self, server: Any) -> None:
        super().__init__(server)
        self.protocol = lambda: Channel(Spoken())  # type: ignore[no-untyped-call]
        # Their protocol changes when they become WebSockets; the sockets stay, and know when they are closed.
        self.sockets: set[Any] = set()
        figures.gauge("http.open", self.open)

    def open(self) -> int:
        """Count the open connections."""
        closed = {one for one in tuple(self.sockets) if one.disconnected}
        self.sockets -= closed
        return len(self.sockets)

    def buildProtocol(self, address: Any) -> Any:  # noqa: N802
        """Return an HTTP connection."""
        protocol = super().buildProtocol(address)
        protocol.requestFactory = BoundedRequest
        figures.count("http.connections")
        return protocol

    def abort_where(self, unwanted: Callable[[str], bool]) -> None:
        """End the connections from unwanted addresses. A proxy's go on: who is behind it is each request's matter."""
        for one in tuple(self.sockets):
            if not one.disconnected and unwanted(plain_address(getattr(one.getPeer(), "host", "127.0.0.1"))):
                one.abortConnection()

    def log(self, request: Any) -> None:
        """Write nothing: what is worth a line is logged where it happens."""


class WebServer(Server):  # type: ignore[misc] # daphne has no types
    """Daphne's server, for sockets that are open already."""

    def __init__(self, application: Any) -> None:
        super().__init__(application, endpoints=["inherited"], http_timeout=VIEW_PATIENCE, server_name="")
        self.connections: dict[Any, dict[str, Any]] = {}
        self.http_factory = BoundedFactory(self)
        self.ws_factory = WebSocketFactory(self, server="")
        self.ws_factory.setProtocolOptions(
            autoPingTimeout=self.ping_timeout,
            allowNullOrigin=True,
            openHandshakeTimeout=self.websocket_handshake_timeout,
            maxMessagePayloadSize=self.websocket_max_message_size,
            maxFramePayloadSize=self.websocket_max_frame_size,
        )

    def begin(self, reactor: Any) -> None:
        """Start daphne's own rounds (finished applications, time-outs)."""
        asyncio.set_event_loop(reactor._asyncioEventloop)
        reactor.callLater(1, self.application_checker)
        reactor.callLater(2, self.timeout_checker)


class WebProcess:
    """The parts of the web process, and how they begin and end."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        Path(settings.STATIC_ROOT).mkdir(exist_ok=True)  # or whitenoise complains
        self._bridge = WsgiBridge(get_wsgi_application(), threads=THREADS, waiting=WAITING)
        self._server = WebServer(self._application)
        self._certificates = tls.Certificates(current())
        self._tuning = Tuning(reactor, WayBack(reactor))
        self.child = Child(reactor, "web")
        self.child.listen("http", self._server.http_factory)
        self.child.listen("https", TLSMemoryBIOFactory(self._certificates, False, self._server.http_factory))
        self.child.on_start(lambda: self._server.begin(reactor))
        self.child.on_start(self._tuning.start)
        self.child.on_drain(self._drain)
        self.child.serve_tls(self._certificates)
        self.child.on_reload(lambda _: self._tuning.look())
        reactor.addSystemEventTrigger("during", "shutdown", self._tuning.stop)
        reactor.addSystemEventTrigger("during", "shutdown", self._bridge.close)
        self._blocks = LoopingCall(self._look_at_blocks)
        self._cut_by = blocklist.guard.in_force
        self.child.on_start(self._start_looking)

    def _start_looking(self) -> None:
        self._blocks.start(LOOK_AT_BLOCKS_EVERY)

    def _look_at_blocks(self) -> Deferred[Any]:
        """Keep the block list true."""
        looked: Deferred[Any] = deferToThread(in_database_thread, _look)
        looked.addCallback(lambda _: self._cut())
        looked.addErrback(lambda failure: log.error("the block list was not looked at", exc_info=failure.value))
        return looked

    def _cut(self) -> None:
        """When the list has changed, end open connections from addresses on it. Who comes later is told why (403)."""
        if self._cut_by is not blocklist.guard.in_force:
            self._cut_by = blocklist.guard.in_force
            self._server.http_factory.abort_where(blocklist.guard.covers)

    async def _application(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._bridge(scope, receive, send)
        else:
            await send({"type": "websocket.close"})

    def _drain(self) -> Deferred[Any]:
        """Wait for the views in flight, and then write down what they counted."""
        done: Deferred[Any] = Deferred()
        done.addCallback(lambda _: deferToThread(in_database_thread, _write_down_all))

        def look() -> None:
            if not self._bridge.in_flight and not done.called:
                waiting.stop()
                # One turn more, so that the last answers leave.
                self._reactor.callLater(LOOK_EVERY, done.callback, None)

        waiting = LoopingCall(look)
        waiting.start(LOOK_EVERY, now=False)
        return done


def _look() -> None:
    blocklist.look()
    blocklist.write_down()
    tallies.write_down()


def _write_down_all() -> None:
    """Write down what would end with the process."""
    blocklist.write_down(at_once=True)
    tallies.write_down(at_once=True)


def main() -> None:
    """Serve the web until the supervisor says to end."""
    if current().web_on_one_core:
        cores.keep_to_one()
    WebProcess(default_reactor).child.run()
