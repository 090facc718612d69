"""The two clients: the network, the groups of operations, and the drivers of conversations."""

import copy
import ipaddress
import time
from collections.abc import Coroutine, Generator
from dataclasses import replace
from types import TracebackType
from typing import Any, Generic, Self, TypedDict, TypeVar, Unpack

import anyio
import httpx

from a3mailer_sdk import groups
from a3mailer_sdk.calls import Call, Options, Reply, Request, converse
from a3mailer_sdk.errors import A3MailerError, ConnectionFailedError, TimedOutError
from a3mailer_sdk.operations import Awaiting, Blocking, Way
from a3mailer_sdk.retries import Retries

T = TypeVar("T")


class OptionNames(TypedDict, total=False):
    """The options of a client, as ``Options`` describes them."""

    timeout: float
    retries: Retries
    language: str | None
    request_id: str | None
    idempotency_key: str | None
    user_agent: str


class _Client(Generic[Way]):
    """What both clients have: an address, a key, options, and the operations."""

    is_async: bool

    def __init__(
        self, base_url: str, api_key: str, *, allow_http: bool = False, **options: Unpack[OptionNames]
    ) -> None:
        self.base_url = _checked(base_url, allow_http)
        self._api_key = api_key
        self._options = Options(**options)
        self._join()

    def _join(self) -> None:
        self.keys = groups.Keys[Way](self)
        self.server = groups.Server[Way](self)
        self.users = groups.Users[Way](self)
        self.domains = groups.Domains[Way](self)
        self.aliases = groups.Aliases[Way](self)
        self.groups = groups.Groups[Way](self)
        self.queue = groups.Queue[Way](self)
        self.messages = groups.Messages[Way](self)
        self.webhooks = groups.Webhooks[Way](self)
        self.metrics = groups.Metrics[Way](self)
        self.security = groups.Security[Way](self)
        self.performance = groups.Performance[Way](self)
        self.health = groups.Health[Way](self)

    def with_options(self, **options: Unpack[OptionNames]) -> Self:
        """Return this client with other options, over the same connections."""
        other = copy.copy(self)
        other._options = replace(self._options, **options)
        other._join()
        return other

    def send(self, call: Call[Any]) -> Any:
        """Carry out a call."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base_url!r})"

    def _talk(self, call: Call[T]) -> Generator[Request | float, Reply | A3MailerError, T]:
        return converse(call, self._api_key, self._options)

    def _wire(self, request: Request) -> dict[str, Any]:
        return {
            "method": request.method,
            "url": self.base_url + request.target,
            "headers": request.headers,
            "content": request.content,
            "timeout": self._options.timeout,
            # A redirect would take the key to an address that nobody chose.
            "follow_redirects": False,
        }


class A3MailerClient(_Client[Blocking]):
    """Calls return answers. May be used by many threads.

    with A3MailerClient("https://mail.example.com", "sk_live_…") as client:
        client.users.create(username="jane", email="jane@example.com", password="…")
    """

    is_async = False

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        http_client: httpx.Client | None = None,
        allow_http: bool = False,
        **options: Unpack[OptionNames],
    ) -> None:
        """``http_client`` brings proxies, certificates and limits of its own; ``options`` are those of ``Options``.

        Raises ``ValueError`` for an address of clear-text HTTP that is not this machine, unless ``allow_http``.
        """
        super().__init__(base_url, api_key, allow_http=allow_http, **options)
        self._http = http_client or httpx.Client()

    def send(self, call: Call[T]) -> T:
        """Carry out a call."""
        talk = self._talk(call)
        step = next(talk)
        try:
            while True:
                step = talk.send(self._do(step))
        except StopIteration as end:
            answer: T = end.value
            return answer

    def _do(self, step: Request | float) -> Any:
        if isinstance(step, float):
            return time.sleep(step)
        try:
            response = self._http.request(**self._wire(step))
        except httpx.TransportError as error:
            return _failure(error)
        return _reply(response)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncA3MailerClient(_Client[Awaiting]):
    """Calls return something to await, iterations are for ``async for``; under asyncio and trio.

    async with AsyncA3MailerClient("https://mail.example.com", "sk_live_…") as client:
        await client.users.create(username="jane", email="jane@example.com", password="…")
    """

    is_async = True

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        http_client: httpx.AsyncClient | None = None,
        allow_http: bool = False,
        **options: Unpack[OptionNames],
    ) -> None:
        """Take what ``A3MailerClient`` takes."""
        super().__init__(base_url, api_key, allow_http=allow_http, **options)
        self._http = http_client or httpx.AsyncClient()

    def send(self, call: Call[T]) -> Coroutine[Any, Any, T]:
        """Carry out a call."""
        return self._send(call)

    async def _send(self, call: Call[T]) -> T:
        talk = self._talk(call)
        step = next(talk)
        try:
            while True:
                step = talk.send(await self._do(step))
        except StopIteration as end:
            answer: T = end.value
            return answer

    async def _do(self, step: Request | float) -> Any:
        if isinstance(step, float):
            return await anyio.sleep(step)
        try:
            response = await self._http.request(**self._wire(step))
        except httpx.TransportError as error:
            return _failure(error)
        return _reply(response)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def _reply(response: httpx.Response) -> Reply:
    return Reply(response.status_code, response.headers, response.content)


def _failure(error: httpx.TransportError) -> ConnectionFailedError:
    kind = TimedOutError if isinstance(error, httpx.TimeoutException) else ConnectionFailedError
    failure = kind(str(error) or type(error).__name__)
    failure.__cause__ = error
    return failure


def _checked(base_url: str, allow_http: bool) -> str:
    """Return an address that a key may be sent to; raises ``ValueError`` for any other."""
    url = httpx.URL(base_url)
    if url.scheme not in {"http", "https"} or not url.host:
        raise ValueError(f"{base_url!r} is no address such as https://mail.example.com")
    if url.scheme == "http" and not allow_http and not _is_loopback(url.host):
        raise ValueError(f"{base_url!r} would send the key in clear text; use https, or allow_http=True")
    return base_url.rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
