"""HTTPS with a host that somebody else names, and never with our own networks: fetching a small text, posting one.

    text = await fetch(reactor, resolver, "mta-sts.example.com", "/.well-known/mta-sts.txt", limit=65536)
    status, headers = await post(reactor, resolver, "https://example.com/hook", body, headers, allowed=is_public)

The host's addresses come from our resolver, are looked at, and are the very ones that are connected to. The certificate
must be valid for the host's name. No redirect is followed: whoever answers has the certificate of that name.
"""

import ipaddress
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast
from urllib.parse import urlsplit

from OpenSSL import SSL
from twisted.internet.defer import Deferred, succeed
from twisted.internet.defer import TimeoutError as TimedOutError
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint, wrapClientTLS
from twisted.internet.error import ConnectError as NotConnectedError
from twisted.internet.error import TimeoutError as ConnectTimeOutError
from twisted.internet.interfaces import IConsumer, IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.ssl import TLSVersion, optionsForClientTLS
from twisted.python.failure import Failure
from twisted.web.client import (
    URI,
    Agent,
    RequestGenerationFailed,
    RequestTransmissionFailed,
    ResponseDone,
    ResponseFailed,
)
from twisted.web.http import OK
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgentEndpointFactory, IBodyProducer, IResponse
from zope.interface import implementer

from mailcore.resolver.mail_hosts import find_addresses
from mailcore.resolver.stub import Resolver
from security.networks import is_public

PORT = 443
CLEAR_PORT = 80
# Seconds to connect to one address, and for all that follows.
CONNECT_PATIENCE = 5.0
PATIENCE = 10.0
# Addresses of one host that are tried.
ADDRESS_LIMIT = 2


class FetchError(Exception):
    """There is no such text to be had; the message says why."""


async def fetch(reactor: Any, resolver: Resolver, host: str, path: str, *, limit: int, port: int = PORT) -> bytes:
    """Return the body of a plain 200 answer of at most ``limit`` bytes. Raises ``FetchError``.

    Another ``port`` than 443 is for tests: then the host may be on this machine.
    """
    addresses = [address for address in await _addresses(resolver, host) if port != PORT or is_public(address)]
    if not addresses:
        raise FetchError(f"{host} is in a private network")
    reason = ""
    for address in addresses[:ADDRESS_LIMIT]:
        try:
            return await _fetch_from(reactor, address, port, host, path, limit)
        except (NotConnectedError, ConnectTimeOutError, TimedOutError) as error:
            reason = f"{address}: {error or 'no answer in time'}"
    raise FetchError(f"cannot fetch it from {reason}")


async def _fetch_from(reactor: Any, address: str, port: int, host: str, path: str, limit: int) -> bytes:
    line = _Line(reactor, address, port)
    try:
        response = await _ask(reactor, line, b"GET", f"https://{host}{path}", {"Accept": "text/plain"})
        if response.code != OK:
            raise FetchError(f"{host} answers {response.code}")
        return await _body(response, limit).addTimeout(PATIENCE, reactor)
    finally:
        line.hang_up()


async def post(
    reactor: Any,
    resolver: Resolver,
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    allowed: Callable[[str], bool],
) -> tuple[int, Mapping[str, str]]:
    """Send a body and return status and header fields (in lower case) of the answer, of which nothing more is read.

    Only addresses of the host that are ``allowed`` are spoken to. Raises ``FetchError``. ``http:`` goes in the clear.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (PORT if parts.scheme == "https" else CLEAR_PORT)
    addresses = [address for address in await _addresses(resolver, host) if allowed(address)]
    if not addresses:
        raise FetchError(f"{host} is in a network that is not allowed")
    reason = ""
    for address in addresses[:ADDRESS_LIMIT]:
        line = _Line(reactor, address, port)
        try:
            response = await _ask(reactor, line, b"POST", url, headers, body)
            fields = {name.lower(): values[-1] for name, values in response.headers.getAllRawHeaders()}
            return response.code, {name.decode("latin-1"): value.decode("latin-1") for name, value in fields.items()}
        except (NotConnectedError, ConnectTimeOutError, TimedOutError) as error:
            reason = f"{address}: {error or 'no answer in time'}"
        finally:
            line.hang_up()
    raise FetchError(f"cannot reach {reason}")


async def _addresses(resolver: Resolver, host: str) -> Sequence[str]:
    try:
        return [str(ipaddress.ip_address(host))]
    except ValueError:
        found = await find_addresses(resolver, host)
    if not found.texts:
        raise FetchError(f"cannot look up {found.failure}" if found.failure else f"{host} has no address")
    return found.texts


async def _ask(
    reactor: Any, line: "_Line", method: bytes, url: str, headers: Mapping[str, str], body: bytes | None = None
) -> IResponse:
    agent = Agent.usingEndpointFactory(reactor, line)  # type: ignore[no-untyped-call]
    said = Headers({"User-Agent": ["A3Mailer"], **{name: [value] for name, value in headers.items()}})
    host = urlsplit(url).hostname
    try:
        asked = agent.request(method, url.encode("ascii"), said, None if body is None else _Said(body))
    except ValueError as error:  # the DNS has names that cannot be a host's, such as those with an underscore
        raise FetchError(f"no certificate for {host} can be checked: {error}") from error
    try:
        response: IResponse = await asked.addTimeout(CONNECT_PATIENCE + PATIENCE, reactor)
    except (ResponseFailed, RequestGenerationFailed, RequestTransmissionFailed) as error:
        raise FetchError(f"{host}: {_words(error.reasons)}") from error
    return response


def _words(reasons: Iterable[Failure]) -> str:
    """Say what went wrong below: of TLS OpenSSL's own words, which are in a list of lists."""
    said: list[str] = []
    for reason in reasons:
        problem: Any = reason.value
        listed = isinstance(problem, SSL.Error) and problem.args and isinstance(problem.args[0], list)
        said += [entry[2] for entry in problem.args[0]] if listed else [reason.getErrorMessage()]
    return "; ".join(dict.fromkeys(said))


@implementer(IAgentEndpointFactory, IStreamClientEndpoint)
class _Line:
    """Leads a request to one address, with TLS for the name in its URL; and can hang up.

    The agent itself cannot: it waits for the end of an answer, and what it gives out with one does not break it off.
    """

    def __init__(self, reactor: Any, address: str, port: int) -> None:
        kind = TCP6ClientEndpoint if ":" in address else TCP4ClientEndpoint
        self._endpoint = kind(reactor, address, port, timeout=CONNECT_PATIENCE)
        self._transport: Any = None

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:  # noqa: N802 - Twisted's name
        """Return where to connect."""
        if uri.scheme != b"https":
            return self
        name = uri.host.decode("ascii")
        options = optionsForClientTLS(name, extraCertificateOptions={"raiseMinimumTo": TLSVersion.TLSv1_2})
        return wrapClientTLS(options, self)

    def connect(self, protocolFactory: IProtocolFactory) -> "Deferred[IProtocol]":  # noqa: N803
        """Connect, below TLS."""
        return self._endpoint.connect(protocolFactory).addCallback(self._connected)

    def _connected(self, protocol: Any) -> IProtocol:
        self._transport = protocol.transport
        return cast("IProtocol", protocol)

    def hang_up(self) -> None:
        """Break the connection off, if there still is one."""
        if self._transport is not None:
            self._transport.abortConnection()


@implementer(IBodyProducer)
class _Said:
    """A body that is small enough to be written at once."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self.length = len(body)

    def startProducing(self, consumer: IConsumer) -> "Deferred[None]":  # noqa: N802 - Twisted's name
        """Write it."""
        consumer.write(self._body)
        return succeed(None)

    def pauseProducing(self) -> None:  # noqa: N802
        """There is nothing more."""

    def resumeProducing(self) -> None:  # noqa: N802
        """There is nothing more."""

    def stopProducing(self) -> None:  # noqa: N802
        """There is nothing more."""


def _body(response: IResponse, limit: int) -> "Deferred[bytes]":
    collector = _Collector(limit)
    response.deliverBody(collector)  # type: ignore[no-untyped-call]
    return collector.whole


class _Collector(Protocol):
    """Takes a body up to a limit."""

    def __init__(self, limit: int) -> None:
        self.whole: Deferred[bytes] = Deferred()
        self._limit = limit
        self._taken = bytearray()

    def dataReceived(self, data: bytes) -> None:  # noqa: N802
        """Take what has come."""
        self._taken += data
        if len(self._taken) > self._limit and not self.whole.called:
            self.whole.errback(FetchError(f"there is more than {self._limit} bytes of it"))

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: N802
        """See whether that was all."""
        if self.whole.called:
            return
        if reason.check(ResponseDone):  # type: ignore[no-untyped-call]
            self.whole.callback(bytes(self._taken))
        else:
            # Without a length the end of the connection would be the end of the text, and anybody can cut a connection.
            self.whole.errback(FetchError("the answer was cut off"))
