"""The edges of HTTP, over a real socket: what daphne, Twisted and the bridge refuse before Django sees it."""

import http.client
import json
import socket

import pytest

from wire import until

pytestmark = pytest.mark.flow
API = "/api/v1/users"


def raw(server, data, more=b""):
    """Send octets, read until the other side closes; return status, headers and body."""
    with socket.create_connection(("127.0.0.1", server.ports["http"]), timeout=30) as sock:
        sock.sendall(data)
        if more:
            sock.sendall(more)
        response = http.client.HTTPResponse(sock)
        response.begin()
        return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()


def head(method="GET", path=API, **headers):
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


REFUSED = [
    ("a body that says it is too large", head("POST", Content_Length=10**12), 413),
    ("a header repeated too often", head()[:-2] + b"X-A: 1\r\n" * 150 + b"\r\n", 400),
    ("a control character in a header", head(X_A="a\x00b"), 400),
    ("a header that is no header", head()[:-2] + b"nonsense\r\n\r\n", 400),
    ("headers longer than anybody needs", head(X_A="x" * 20_000), 400),
    ("two lengths", head("POST")[:-2] + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\n", 400),
    ("a length that is none", head("POST", Content_Length="x"), 400),
    ("a host that is not ours", head().replace(b"localhost", b"evil.example"), 400),
    ("percent-encoding that is none", head(path="/api/v1/%ff%zz"), 404),
    ("a slash too many", head(path=f"{API}/"), 404),
    ("no key", head(), 401),
    ("a method that nobody has", head("BREW"), 401),
]


@pytest.mark.parametrize(("what", "data", "status"), REFUSED, ids=[row[0] for row in REFUSED])
def test_it_is_refused_in_the_envelope(server, what, data, status):
    got, headers, body = raw(server, data)
    assert got == status, body
    assert headers["content-type"] == "application/json; charset=utf-8"
    error = json.loads(body)["error"]
    assert set(error) == {"code", "message", "details", "timestamp", "request_id"}
    assert error["request_id"] == headers["x-request-id"]


def test_a_body_in_chunks_that_becomes_too_large_is_413(server):
    """One that lies about nothing: it never says how long it will be."""
    with socket.create_connection(("127.0.0.1", server.ports["http"]), timeout=60) as sock:
        sock.sendall(head("POST", Transfer_Encoding="chunked", Content_Type="application/json"))
        piece = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
        try:
            for _ in range(80):
                sock.sendall(piece)
        except OSError:
            pass  # it stopped listening
        try:
            response = http.client.HTTPResponse(sock)
            response.begin()
        except ConnectionError:
            return  # what was sent after the refusal made the kernel drop it
        assert response.status == 413
        assert json.loads(response.read())["error"]["code"] == "PAYLOAD_TOO_LARGE"


def test_a_chunked_body_over_a_mebibyte_is_413(server):
    chunk = b"x" * 0x200000
    body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(chunk), chunk)
    got, _headers, answer = raw(
        server, head("POST", Transfer_Encoding="chunked", Content_Type="application/json"), body
    )
    assert got == 413
    assert json.loads(answer)["error"]["code"] == "PAYLOAD_TOO_LARGE"


def test_pages_for_people_are_refused_as_before(server):
    got, headers, _body = raw(server, head(path="/admin/", X_A="a\x00b"))
    assert got == 400
    assert not headers.get("content-type", "").startswith("application/json")


def test_the_request_id_is_in_the_log(server):
    secret = server.credentials["api_key"]
    got, _headers, _body = raw(
        server, head(path="/api/v1/nothing", X_Request_ID="find-me-1", Authorization=f"Bearer {secret}")
    )
    assert got == 404
    text = until(lambda: (log := server.log.read_text()).count("find-me-1") and log, 10, "no log line has the id")
    line = next(json.loads(line) for line in text.splitlines() if "find-me-1" in line)
    assert line["request_id"] == "find-me-1"
    assert secret not in text
