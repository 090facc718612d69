"""The Python client says on the wire what the description says, keeps its promises about errors and retries, and is
one in both ways: blocking and async.
"""

import asyncio
import inspect
import json
import keyword
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from typing import get_type_hints
from urllib.parse import parse_qsl

import httpx
import pytest
from operations import OPERATIONS, SDK

import a3mailer_sdk as sdk
from a3mailer_sdk.operations import Group, Iteration, Operation
from a3mailer_sdk.records import Record
from a3mailer_sdk.retries import Retries, retry_after

URL = "https://mail.example.com"
NOW = datetime(2024, 1, 15, 10, 30, tzinfo=UTC)


class Server:
    """Answers what it is given, in turn, and keeps what it was asked. The last answer holds on."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.requests = []

    def __call__(self, request):
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        status, body, *headers = answer
        if isinstance(body, str):
            return httpx.Response(status, text=body, headers=dict(*headers))
        return httpx.Response(status, json=body, headers=dict(*headers)) if body is not None else httpx.Response(status)

    def client(self, **options):
        return sdk.A3MailerClient(URL, "key", http_client=httpx.Client(transport=httpx.MockTransport(self)), **options)

    def async_client(self, **options):
        transport = httpx.MockTransport(self)
        return sdk.AsyncA3MailerClient(URL, "key", http_client=httpx.AsyncClient(transport=transport), **options)


@pytest.fixture
def waits(monkeypatch):
    """Seconds that a blocking client has waited; no test waits for them."""
    seconds = []
    monkeypatch.setattr("time.sleep", seconds.append)
    return seconds


def error(code="INVALID_REQUEST", **more):
    return {"error": {"code": code, "message": "No.", "details": "", "request_id": "req_1", **more}}


def called(client, operation):
    """Call an operation as its sample says: an object is keyword arguments."""
    positional = [one for one in operation.arguments if not isinstance(one, dict)]
    named = {
        f"{name}_" if keyword.iskeyword(name) else name: value
        for one in operation.arguments
        if isinstance(one, dict)
        for name, value in one.items()
    }
    group, _, method = operation.operation.partition(".")
    return getattr(getattr(client, group), method)(*positional, **named)


@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
def test_every_operation_is_on_the_wire_what_the_description_says(operation):
    server = Server((operation.status, operation.answer))
    answer = called(server.client(), operation)
    (request,) = server.requests
    assert (request.method, request.url.raw_path.decode().partition("?")[0]) == (operation.method, operation.target)
    assert dict(parse_qsl(request.url.query.decode())) == {name: str(value) for name, value in operation.query.items()}
    if operation.content is not None:
        assert request.content.decode() == operation.content
    else:
        assert (json.loads(request.content) if request.content else None) == operation.body
    assert ("idempotency-key" in request.headers) == (operation.method == "POST")
    assert request.headers["authorization"] == "Bearer key"
    assert (answer.to_dict() if isinstance(answer, Record) else answer) == operation.answer


@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
def test_every_member_of_an_answer_has_a_type(operation):
    def untyped(record):
        hints = get_type_hints(type(record))
        for name in record:
            if name not in hints and name != "global":
                yield f"{type(record).__name__}.{name}"
            inner = record[name]
            values = inner if isinstance(inner, list) else inner.values() if isinstance(inner, dict) else [inner]
            for one in values:
                if isinstance(one, Record):
                    yield from untyped(one)

    answer = called(Server((operation.status, operation.answer)).client(), operation)
    if isinstance(answer, Record) and operation.operation != "server.get_schema":
        assert list(untyped(answer)) == []


def test_the_client_has_the_operations_of_the_description_and_no_others():
    client = Server().client()
    surface = {
        f"{name}.{method}"
        for name, group in vars(client).items()
        if isinstance(group, Group)
        for method, value in vars(type(group)).items()
        if isinstance(value, Operation)
    }
    assert surface == {operation.operation for operation in OPERATIONS}


def test_every_list_can_be_walked():
    client = Server().client()
    for operation in OPERATIONS:
        if "page" in operation.query:
            group, _, method = operation.operation.partition(".")
            name = f"iterate{method.removeprefix('list').removeprefix('search')}"
            assert isinstance(vars(type(getattr(client, group)))[name], Iteration), operation


def test_the_async_client_asks_the_same():
    async def ask():
        for operation in OPERATIONS:
            server, twin = Server((operation.status, operation.answer)), Server((operation.status, operation.answer))
            assert await called(server.async_client(), operation) == called(twin.client(), operation)
            assert [(one.method, one.url, one.content) for one in server.requests] == [
                (one.method, one.url, one.content) for one in twin.requests
            ]

    asyncio.run(ask())


def test_an_answer_has_members_with_types_keeps_those_it_does_not_know_and_its_etag():
    body = {"id": "user_1", "created_at": "2024-01-15T10:30:00Z", "last_login": None, "shoe_size": 43}
    user = Server((200, body, {"ETag": '"7"'})).client().users.get("user_1")
    assert (user.id, user.created_at, user.last_login, user["shoe_size"], user.etag) == ("user_1", NOW, None, 43, '"7"')
    assert user.to_dict() == body
    assert "shoe_size" in user
    with pytest.raises(KeyError):
        user["quota"]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, sdk.InvalidRequestError),
        (401, sdk.UnauthorizedError),
        (403, sdk.ForbiddenError),
        (404, sdk.NotFoundError),
        (405, sdk.APIError),
        (409, sdk.ConflictError),
        (412, sdk.PreconditionFailedError),
        (413, sdk.APIError),
        (429, sdk.RateLimitedError),
        (500, sdk.InternalError),
        (502, sdk.ServiceUnavailableError),
        (503, sdk.ServiceUnavailableError),
        (504, sdk.ServiceUnavailableError),
    ],
)
def test_every_refusal_has_its_type(status, kind, waits):
    body = error("A_WORD", details="Field 'email': No.", fields={"email": ["No."]})
    with pytest.raises(kind) as caught:
        Server((status, body)).client().server.get_info()
    got = caught.value
    assert type(got) is kind
    assert (got.status, got.code, got.message, got.details) == (status, "A_WORD", "No.", "Field 'email': No.")
    assert (got.fields, got.request_id) == ({"email": ["No."]}, "req_1")


@pytest.mark.parametrize("body", ["<html>Bad Gateway</html>", "", "[]", '{"error": "no"}', '{"error": null}'])
def test_an_error_of_something_between_is_an_error_too(body, waits):
    with pytest.raises(sdk.ServiceUnavailableError) as caught:
        Server((502, body)).client().server.get_info()
    assert (caught.value.status, caught.value.code) == (502, "")


def test_a_redirect_is_not_followed_and_no_answer():
    server = Server((302, "", {"Location": "https://evil.example/"}))
    with pytest.raises(sdk.APIError):
        server.client().server.get_info()
    assert len(server.requests) == 1


def test_what_is_no_json_is_no_answer():
    with pytest.raises(sdk.ConnectionFailedError):
        Server((200, "<html>")).client().server.get_info()


@pytest.mark.parametrize("outcome", [(429, error()), (503, error()), httpx.ConnectError("no"), httpx.ReadTimeout("no")])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_what_passes_is_tried_again_with_growing_pauses_and_one_idempotency_key(outcome, method, waits):
    server = Server(outcome, outcome, outcome, (200, {}))
    operation = next(one for one in OPERATIONS if one.method == method)
    called(server.client(), operation)
    assert len(server.requests) == 4
    assert len({request.headers.get("idempotency-key") for request in server.requests}) == 1
    assert [low <= wait <= high for wait, low, high in zip(waits, (0.25, 0.5, 1), (0.5, 1, 2), strict=True)] == [
        True
    ] * 3


def test_a_post_whose_first_try_still_runs_gets_its_answer(waits):
    server = Server(httpx.ReadTimeout("slow"), (409, error("CONFLICT"), {"Retry-After": "1"}), (201, {"id": "user_1"}))
    assert server.client().users.create(username="a", email="b", password="c").id == "user_1"
    assert waits[1] == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 412, 500])
def test_what_does_not_pass_is_not_tried_again(status, waits):
    server = Server((status, error()))
    with pytest.raises(sdk.APIError):
        server.client().server.get_info()
    assert len(server.requests) == 1
    assert waits == []


def test_after_the_last_try_the_error_is_raised(waits):
    server = Server(httpx.ReadTimeout("slow"))
    with pytest.raises(sdk.TimedOutError):
        server.client(retries=Retries(most=2)).server.get_info()
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, None),
        ("", None),
        ("7", 7),
        ("0", 0),
        ("-1", None),
        ("soon", None),
        ("9" * 400, float("inf")),
        ("Mon, 15 Jan 2024 10:30:30 GMT", 30),
        ("Mon, 15 Jan 2024 10:29:00 GMT", 0),
    ],
)
def test_retry_after_is_seconds_or_a_date(text, seconds):
    assert retry_after(text, NOW) == seconds


def test_a_server_that_says_when_is_taken_at_its_word(waits):
    later = (datetime.now(UTC) + timedelta(seconds=40)).strftime("%a, %d %b %Y %H:%M:%S GMT")
    server = Server((429, error(), {"Retry-After": "7"}), (503, error(), {"Retry-After": later}), (200, {}))
    server.client().server.get_info()
    assert waits[0] == 7
    assert 20 < waits[1] <= 40


def test_a_server_that_asks_for_more_than_the_longest_pause_is_not_asked_again(waits):
    with pytest.raises(sdk.RateLimitedError) as caught:
        Server((429, error(), {"Retry-After": "61"})).client().server.get_info()
    assert caught.value.retry_after == 61
    assert waits == []


def test_an_unhealthy_server_is_an_answer_and_one_that_is_away_is_an_error(waits):
    server = Server((503, {"status": "unhealthy", "timestamp": "2024-01-15T10:30:00Z"}))
    assert server.client().health.get_status().status == "unhealthy"
    assert len(server.requests) == 1
    with pytest.raises(sdk.ServiceUnavailableError):
        Server((503, error("SERVICE_UNAVAILABLE"))).client().health.get_status()


def test_options_become_headers():
    server = Server((200, {}))
    client = server.client(language="zh-Hans", user_agent="mine/1")
    client.with_options(request_id="r-1", idempotency_key="k-1").users.create(username="a", email="b", password="c")
    client.users.update("user_1", quota=1, if_match='"7"')
    first, second = server.requests
    assert first.headers["x-request-id"] == "r-1"
    assert first.headers["idempotency-key"] == "k-1"
    assert first.headers["accept-language"] == "zh-Hans"
    assert first.headers["user-agent"] == "mine/1"
    assert second.headers["if-match"] == '"7"'
    assert "x-request-id" not in second.headers


def pages(request):
    number = int(dict(request.url.params)["page"])
    rows = [{"id": f"user_{n}"} for n in range(1, 8)][(number - 1) * 3 : number * 3]
    return httpx.Response(200, json={"users": rows, "total": 7, "page": number, "limit": 3})


def test_a_walk_goes_through_all_pages():
    with sdk.A3MailerClient(URL, "key", http_client=httpx.Client(transport=httpx.MockTransport(pages))) as client:
        assert [user.id for user in client.users.iterate(limit=3)] == [f"user_{n}" for n in range(1, 8)]
        assert [user.id for user in client.users.iterate(limit=3, page=3)] == ["user_7"]

    async def walk():
        http = httpx.AsyncClient(transport=httpx.MockTransport(pages))
        async with sdk.AsyncA3MailerClient(URL, "key", http_client=http) as client:
            return [user.id async for user in client.users.iterate(limit=3)]

    assert asyncio.run(walk()) == [f"user_{n}" for n in range(1, 8)]


@pytest.mark.parametrize("options", [{"request_id": "a\r\nX: b"}, {"language": "a\nb"}, {"user_agent": "a\0b"}])
def test_an_option_cannot_become_another_header(options):
    with pytest.raises(ValueError, match="header"):
        sdk.A3MailerClient("http://127.0.0.1:1", "key", **options).server.get_info()


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_a_name_cannot_leave_its_place_in_the_path(name):
    server = Server((204, None))
    with pytest.raises(ValueError, match="user_id"):
        server.client().users.delete(name)
    assert server.requests == []


def test_a_name_with_a_slash_stays_one_segment():
    server = Server((204, None))
    server.client().security.unblock_ip("2001:db8::/32")
    assert server.requests[0].url.raw_path == b"/api/v1/security/blocked-ips/2001%3Adb8%3A%3A%2F32"


@pytest.mark.parametrize(
    "url", ["http://mail.example.com", "mail.example.com", "ftp://mail.example.com", "https://", ""]
)
def test_a_key_is_not_sent_in_clear_text_to_another_machine(url):
    with pytest.raises(ValueError, match=r"address|clear text"):
        sdk.A3MailerClient(url, "key")


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8080", "http://localhost", "http://[::1]:8080/", "https://a.example"]
)
def test_this_machine_needs_no_tls(url):
    assert "key" not in repr(sdk.A3MailerClient(url, "key"))


def test_times_are_sent_in_utc_and_need_a_zone():
    server = Server((200, {}))
    client = server.client()
    client.security.list_audit_logs(start_date=date(2024, 1, 1), end_date=NOW)
    assert dict(server.requests[0].url.params) == {"start_date": "2024-01-01", "end_date": "2024-01-15T10:30:00Z"}
    with pytest.raises(ValueError, match="zone"):
        client.messages.search(since=datetime(2024, 1, 15))  # noqa: DTZ001 - the point


def test_signatures_and_docstrings_can_be_asked_for():
    client = Server().client()
    assert list(inspect.signature(client.users.get).parameters) == ["user_id"]
    assert client.users.get.__doc__ == "Show a user."


def test_the_reference_snippet_names_the_same_client():
    import stalwart

    assert stalwart.StalwartClient is sdk.A3MailerClient
    assert stalwart.RateLimitedError is sdk.RateLimitedError


def test_the_client_imports_nothing_of_the_server_and_is_typed():
    code = "import sys, stalwart; sys.exit(any(n.split('.')[0] in {'django', 'twisted'} for n in sys.modules))"
    source = SDK / "python" / "src"
    subprocess.run([sys.executable, "-c", code], cwd=source, env={"PYTHONPATH": str(source)}, check=True)
    mypy = [sys.executable, "-m", "mypy", "--config-file", "pyproject.toml"]
    done = subprocess.run(mypy, cwd=SDK / "python", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
