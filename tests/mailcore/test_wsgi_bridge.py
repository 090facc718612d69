"""From ASGI to WSGI: the environment, answers short and long, and what happens when too many come."""

import asyncio
import json
import threading

import pytest

from mailcore.wsgi_bridge import TooManyHeadersError, WsgiBridge, environment

SCOPE = {
    "type": "http",
    "method": "POST",
    "path": "/caffè/x",
    "query_string": b"a=1&b=%20",
    "http_version": "1.1",
    "scheme": "https",
    "server": ["192.0.2.1", 8080],
    "client": ["192.0.2.9", 4000],
    "headers": [(b"host", b"mail.example.com"), (b"content-type", b"text/plain")],
}


def ask(application, body=(b"",), scope=SCOPE, disconnect=False, **limits):
    """Send one request; return status, headers and body, and how many messages the answer took."""
    bridge = WsgiBridge(application, **{"threads": 2, "waiting": 2, **limits})

    async def talk():
        incoming = [{"type": "http.request", "body": part, "more_body": True} for part in body]
        incoming[-1]["more_body"] = False
        if disconnect:
            incoming = [{"type": "http.disconnect"}]
        sent = []

        async def receive():
            return incoming.pop(0)

        async def send(message):
            sent.append(message)

        await bridge(scope, receive, send)
        return sent

    sent = asyncio.run(talk())
    bridge.close()
    if not sent:
        return None
    assert [message["type"] for message in sent] == ["http.response.start", *["http.response.body"] * (len(sent) - 1)]
    assert [message.get("more_body", False) for message in sent[1:]] == [True] * (len(sent) - 2) + [False]
    return sent[0]["status"], sent[0]["headers"], b"".join(message["body"] for message in sent[1:]), len(sent)


def echo(environ, start_response):
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-Name", "ö")])
    return [body.upper(), b"!"]


def test_a_short_answer_is_two_messages():
    status, headers, body, messages = ask(echo, [b"hel", b"lo"])
    assert (status, body, messages) == (200, b"HELLO!", 2)
    assert headers == [(b"content-type", b"text/plain"), (b"x-name", b"\xf6")]


def test_a_long_answer_comes_in_pieces_and_is_closed():
    closed = []

    class Answer:
        def __iter__(self):
            return iter([b"x" * 50_000] * 10)

        def close(self):
            closed.append(threading.current_thread().name)

    def application(environ, start_response):
        start_response("200 OK", [])
        return Answer()

    status, _, body, messages = ask(application)
    assert (status, len(body)) == (200, 500_000)
    assert messages > 4
    assert closed[0].startswith("http")


def test_a_view_runs_outside_of_the_event_loop():
    names = []

    def application(environ, start_response):
        names.append(threading.current_thread().name)
        start_response("204 No Content", [])
        return []

    assert ask(application)[0] == 204
    assert names[0].startswith("http")


def test_an_error_of_the_application_is_raised_for_the_server_to_answer_and_log():
    def application(environ, start_response):
        raise RuntimeError("bug")

    with pytest.raises(RuntimeError, match="bug"):
        ask(application)


def test_a_client_that_went_away_is_not_served():
    called = []
    assert ask(lambda *args: called.append(args), disconnect=True) is None
    assert called == []


def test_one_too_many_is_told_to_come_back():
    status, headers, _, _ = ask(echo, threads=1, waiting=-1)
    assert status == 503
    assert (b"retry-after", b"5") in headers


def test_the_environment_is_that_of_pep_3333():
    environ = environment(SCOPE, "body")
    assert environ["PATH_INFO"] == "/caffè/x".encode().decode("latin-1")
    assert environ["QUERY_STRING"] == "a=1&b=%20"
    assert environ["REMOTE_ADDR"] == "192.0.2.9"
    assert environ["wsgi.url_scheme"] == "https"
    assert environ["HTTP_HOST"] == "mail.example.com"
    assert environ["CONTENT_TYPE"] == "text/plain"
    assert environ["SCRIPT_NAME"] == ""


@pytest.mark.parametrize(
    ("headers", "name", "value"),
    [
        ([(b"cookie", b"a=1"), (b"cookie", b"b=2")], "HTTP_COOKIE", "a=1; b=2"),
        ([(b"x-forwarded-for", b"1"), (b"x-forwarded-for", b"2")], "HTTP_X_FORWARDED_FOR", "1,2"),
        ([(b"x-name", b"\xf6")], "HTTP_X_NAME", "ö"),
        ([(b"content-length", b"5")], "CONTENT_LENGTH", "5"),
    ],
)
def test_repeated_headers_are_one(headers, name, value):
    assert environment({**SCOPE, "headers": headers}, None)[name] == value


def test_a_body_in_chunks_gets_a_length():
    status, _, body, _ = ask(
        lambda environ, start: (start("200 OK", []), [environ["CONTENT_LENGTH"].encode()])[1],
        [b"12345", b"678"],
        {**SCOPE, "headers": [(b"transfer-encoding", b"chunked")]},
    )
    assert (status, body) == (200, b"8")


def test_a_header_repeated_without_end_is_refused():
    scope = {**SCOPE, "headers": [(b"x", b"1")] * 101}
    with pytest.raises(TooManyHeadersError):
        environment(scope, None)
    assert ask(echo, scope=scope)[0] == 400


@pytest.mark.parametrize(
    ("scope", "limits", "expected"),
    [
        ({}, {"threads": 1, "waiting": -1}, (503, "SERVICE_UNAVAILABLE")),
        ({"headers": [(b"x-a", b"1")] * 101}, {}, (400, "INVALID_REQUEST")),
    ],
)
def test_programs_are_refused_in_the_form_of_the_api(scope, limits, expected):
    asked = {**SCOPE, "path": "/api/v1/users", **scope}
    status, headers, body, _ = ask(echo, scope=asked, **limits)
    error = json.loads(body)["error"]
    assert (status, error["code"]) == expected
    assert dict(headers)[b"content-type"] == b"application/json; charset=utf-8"
    assert dict(headers)[b"x-request-id"].decode() == error["request_id"]
    assert (dict(headers).get(b"retry-after") == b"5") == (status == 503)
