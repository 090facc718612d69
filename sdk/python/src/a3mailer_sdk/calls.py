"""A call as a value, and the conversation that carries it out. Reads and waits for nothing: drivers do.

A driver runs ``converse`` and does what it yields: a ``Request`` is answered with a ``Reply`` or the error that came
instead, a number is so many seconds to wait.
"""

import json
import uuid
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar
from urllib.parse import quote, urlencode

from a3mailer_sdk.errors import KINDS, A3MailerError, APIError, ConnectionFailedError
from a3mailer_sdk.records import build
from a3mailer_sdk.retries import Retries, retry_after

T_co = TypeVar("T_co", covariant=True)

USER_AGENT = "a3mailer-sdk-python/0.1.0"


@dataclass(frozen=True)
class Options:
    """How calls are made. ``timeout`` is in seconds, for each try."""

    timeout: float = 30
    retries: Retries = field(default_factory=Retries)
    language: str | None = None
    request_id: str | None = None
    idempotency_key: str | None = None
    user_agent: str = USER_AGENT


@dataclass(frozen=True)
class Call(Generic[T_co]):
    """One operation: what is asked, and what the answer is. ``also`` are error statuses that are answers as well."""

    method: str
    path: str
    kind: type[T_co] | None = None
    query: Mapping[str, Any] = field(default_factory=dict)
    body: Any = None
    csv: str | None = None
    if_match: str | None = None
    accept: str = "application/json"
    also: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Request:
    """What goes over the wire. ``target`` is path and query."""

    method: str
    target: str
    headers: dict[str, str]
    content: bytes | None


@dataclass(frozen=True)
class Reply:
    """What came back. Names of ``headers`` are in lower case."""

    status: int
    headers: Mapping[str, str]
    content: bytes


def path(template: str, **names: str) -> str:
    """Fill a path. A name stays within its segment: it may contain a slash, but cannot be ``..`` or nothing."""
    for name, value in names.items():
        if value in {"", ".", ".."}:
            raise ValueError(f"{name} is {value!r}")
    return "/api/v1/" + template.format(**{name: quote(value, safe="") for name, value in names.items()})


def given(**members: Any) -> dict[str, Any]:
    """Return the members that were given; ``None`` is none. ``global_`` is ``global``, a word that Python keeps."""
    return {name.rstrip("_"): _plain(value) for name, value in members.items() if value is not None}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError("a time needs its zone: datetime(…, tzinfo=UTC)")
        return value.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    if isinstance(value, Sequence) and not isinstance(value, str):
        return list(value)
    return value


def converse(
    call: Call[T_co], api_key: str, options: Options
) -> Generator[Request | float, Reply | A3MailerError, T_co]:
    """Carry out a call: ask, wait and ask again as often as the options allow, return the answer or raise the error."""
    request = _request(call, api_key, options)
    tries = 0
    while True:
        outcome = yield request
        tries += 1
        if isinstance(outcome, Reply):
            outcome = _judged(call, outcome) or outcome
        if isinstance(outcome, Reply):
            answer: T_co = _answer(call, outcome)
            return answer
        pause = options.retries.pause(tries, outcome)
        if pause is None:
            raise outcome
        yield pause


def _request(call: Call[Any], api_key: str, options: Options) -> Request:
    headers = {"Accept": call.accept, "User-Agent": options.user_agent}
    content = None
    if api_key:
        headers["Authorization"] = f"Bearer {api_key}"
    if call.csv is not None:
        headers["Content-Type"], content = "text/csv; charset=utf-8", call.csv.encode()
    elif call.body is not None:
        headers["Content-Type"], content = "application/json", json.dumps(call.body, allow_nan=False).encode()
    if call.method == "POST":
        # All tries have one key, so that the server does once what it hears twice.
        headers["Idempotency-Key"] = options.idempotency_key or str(uuid.uuid4())
    wished = {"Accept-Language": options.language, "X-Request-ID": options.request_id, "If-Match": call.if_match}
    headers.update({name: value for name, value in wished.items() if value})
    for name, value in headers.items():
        if not value.isprintable():
            raise ValueError(f"the header {name} cannot be {value!r}")
    query = {name: int(value) if isinstance(value, bool) else value for name, value in call.query.items()}
    return Request(call.method, call.path + (f"?{urlencode(query)}" if query else ""), headers, content)


def _judged(call: Call[Any], reply: Reply) -> A3MailerError | None:
    """Return the error that a reply is, if it is one."""
    if reply.status < 300:
        return None
    try:
        body = json.loads(reply.content)
    except ValueError:
        body = None
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict):
        if reply.status in call.also and isinstance(body, dict):
            return None
        # Not in the server's words: something between has answered.
        error = {"request_id": reply.headers.get("x-request-id")}
    wait = retry_after(reply.headers.get("retry-after"), datetime.now(UTC))
    return KINDS.get(reply.status, APIError)(reply.status, error, wait)


def _answer(call: Call[Any], reply: Reply) -> Any:
    if call.kind is None or not reply.content:
        return None
    if call.kind is str:
        return reply.content.decode()
    try:
        body = json.loads(reply.content)
    except ValueError as error:
        raise ConnectionFailedError("The answer is not JSON: is there a mail server at this address?") from error
    return build(call.kind, body, reply.headers.get("etag"))
