"""From ASGI, which daphne speaks, to WSGI, which runs Django's views in threads.

asgiref has such a bridge, but its views all share one thread. This one has a pool, says 503 when too many wait
before it, and hands a short answer over in one step.
"""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from tempfile import SpooledTemporaryFile
from typing import Any, TypeAlias

from a3mailer_site.api.errors import bare_error
from a3mailer_site.figures import figures

Scope: TypeAlias = dict[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[dict[str, Any]]]
Send: TypeAlias = Callable[[dict[str, Any]], Awaitable[None]]
Environ: TypeAlias = dict[str, Any]
Refusal: TypeAlias = tuple[int, bytes, list[tuple[bytes, bytes]]]  # status, text, more headers

# Bytes of a request's body that stay in memory; of an answer that are handed over at once.
_IN_MEMORY = 256 * 1024
_PIECE = 64 * 1024
# A header that is repeated more often than this is an attack (each is joined to the others).
_REPEATS = 100

OVERLOADED: Refusal = (503, b"The server is busy, try again in a moment.\n", [(b"retry-after", b"5")])
BAD_HEADERS: Refusal = (400, b"Too many headers of one name.\n", [])


class TooManyHeadersError(ValueError):
    """One header is repeated too often."""


class WsgiBridge:
    """An ASGI application for plain HTTP that runs a WSGI application in a pool of threads."""

    def __init__(self, application: Callable[..., Iterable[bytes]], *, threads: int, waiting: int) -> None:
        self._application = application
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="http")
        self._limit = threads + waiting
        self.in_flight = 0
        figures.gauge("http.in_flight", lambda: self.in_flight)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if self.in_flight >= self._limit:
            figures.count("http.overloaded")
            await _say(send, OVERLOADED, scope)
            return
        self.in_flight += 1
        started = time.monotonic()
        try:
            with SpooledTemporaryFile(max_size=_IN_MEMORY) as body:
                if not await _receive_body(receive, body):
                    return
                await self._answer(scope, body, send)
        finally:
            self.in_flight -= 1
            figures.observe("http.seconds", time.monotonic() - started)

    async def _answer(self, scope: Scope, body: Any, send: Send) -> None:
        try:
            environ = environment(scope, body)
        except TooManyHeadersError:
            await _say(send, BAD_HEADERS, scope)
            return
        loop = asyncio.get_running_loop()
        exchange = _Exchange(self._application, environ, loop, send)
        await loop.run_in_executor(self._pool, exchange.run)
        for message in exchange.rest:
            await send(message)

    def close(self) -> None:
        """Let the threads go when their work is done."""
        self._pool.shutdown(wait=False, cancel_futures=True)


class _Exchange:
    """One call of the WSGI application, in a thread of the pool."""

    def __init__(
        self,
        application: Callable[..., Iterable[bytes]],
        environ: Environ,
        loop: asyncio.AbstractEventLoop,
        send: Send,
    ) -> None:
        self._application = application
        self._environ = environ
        self._loop = loop
        self._send = send
        self._start: dict[str, Any] = {}
        self._started = False
        self.rest: list[dict[str, Any]] = []  # what the event loop has to send in the end

    def run(self) -> None:
        """Call the application; large answers are sent from here piece by piece, the last piece is left in ``rest``."""
        answer = self._application(self._environ, self._start_response)
        try:
            self._collect(answer)
        finally:
            close = getattr(answer, "close", None)
            if close is not None:
                close()

    def _collect(self, answer: Iterable[bytes]) -> None:
        parts: list[bytes] = []
        size = 0
        for part in answer:
            parts.append(part)
            size += len(part)
            if size >= _PIECE:
                self._send_now(b"".join(parts))
                parts = []
                size = 0
        self.rest = [self._body(b"".join(parts), more=False)]
        if not self._started:
            self.rest.insert(0, self._start)
        figures.count(f"http.status.{self._start.get('status', 0) // 100}xx")

    def _send_now(self, data: bytes) -> None:
        if not self._started:
            self._started = True
            self._wait_for(self._start)
        self._wait_for(self._body(data, more=True))

    def _wait_for(self, message: dict[str, Any]) -> None:
        sending: Any = self._send(message)
        asyncio.run_coroutine_threadsafe(sending, self._loop).result()

    @staticmethod
    def _body(data: bytes, *, more: bool) -> dict[str, Any]:
        return {"type": "http.response.body", "body": data, "more_body": more}

    def _start_response(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[..., None]:
        if self._started and exc_info is not None:
            raise exc_info[1]
        self._start = {
            "type": "http.response.start",
            "status": int(status.split(" ", 1)[0]),
            "headers": [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers],
        }
        return self._send_now


def environment(scope: Scope, body: Any) -> Environ:
    """Write an ASGI scope as a WSGI environment (PEP 3333). Raises ``TooManyHeadersError``."""
    host, port = scope.get("server") or ("localhost", 80)
    environ: Environ = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": scope["path"].encode().decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_NAME": host,
        "SERVER_PORT": str(port or 0),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.get("scheme", "http"),
        "wsgi.input": body,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    if scope.get("client"):
        environ["REMOTE_ADDR"] = scope["client"][0]
    _add_headers(environ, scope["headers"])
    return environ


def _add_headers(environ: Environ, headers: Iterable[tuple[bytes, bytes]]) -> None:
    values: dict[str, list[str]] = {}
    for name, value in headers:
        variable = name.decode("latin-1").upper().replace("-", "_")
        if variable not in {"CONTENT_LENGTH", "CONTENT_TYPE"}:
            variable = f"HTTP_{variable}"
        same = values.setdefault(variable, [])
        if len(same) >= _REPEATS:
            raise TooManyHeadersError(variable)
        same.append(value.decode("latin-1"))
    for variable, same in values.items():
        # RFC 6265 section 5.4: several Cookie fields are one with semicolons.
        environ[variable] = ("; " if variable == "HTTP_COOKIE" else ",").join(same)
    # A body that came in chunks has no length of its own, and WSGI knows no other way to say where it ends.
    if environ.pop("HTTP_TRANSFER_ENCODING", None) is not None:
        body = environ["wsgi.input"]
        environ["CONTENT_LENGTH"] = str(body.seek(0, 2))
        body.seek(0)


async def _receive_body(receive: Receive, body: Any) -> bool:
    """Take the whole body; ``False`` when the client went away."""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return False
        body.write(message.get("body", b""))
        if not message.get("more_body"):
            body.seek(0)
            return True


async def _say(send: Send, what: Refusal, scope: Scope) -> None:
    """Refuse, in the API's form where a program asks."""
    status, text, headers = what
    head = [(b"content-type", b"text/plain"), (b"content-length", str(len(text)).encode()), *headers]
    error = bare_error(scope["path"], scope["headers"], status)
    if error is not None:
        head, text = [(name.lower(), value) for name, value in error[0]], error[1]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": text})
