"""One form for every refusal: a table over all statuses, who says them, and in which language."""

import io
import json

import pytest
from django.db import IntegrityError, OperationalError
from django.urls import get_resolver
from rest_framework.exceptions import NotAcceptable, Throttled
from rest_framework.test import APIClient
from test_error_envelope import error_of

from a3mailer_site.api import errors
from a3mailer_site.api.errors import ChangedSinceError, ConflictError, UnavailableError, bare_error
from domains.viewsets import DomainViewSet
from security.models import AuditEntry

pytestmark = pytest.mark.django_db
DOMAINS = "/api/v1/domains"

RAISED = [
    (ConflictError(), 409, "CONFLICT"),
    (IntegrityError("UNIQUE constraint failed: accounts_user.email"), 409, "CONFLICT"),
    (ChangedSinceError(), 412, "PRECONDITION_FAILED"),
    (NotAcceptable(), 406, "NOT_ACCEPTABLE"),
    (Throttled(wait=7), 429, "RATE_LIMITED"),
    (RuntimeError("/etc/passwd"), 500, "INTERNAL_ERROR"),
    (RecursionError("deep"), 500, "INTERNAL_ERROR"),
    (OperationalError("no such table: accounts_user"), 503, "SERVICE_UNAVAILABLE"),
    (UnavailableError(), 503, "SERVICE_UNAVAILABLE"),
    (OverflowError("Python int too large to convert to SQLite INTEGER"), 400, "INVALID_REQUEST"),
]


@pytest.mark.parametrize(
    ("fault", "status", "code"), RAISED, ids=lambda value: getattr(value, "__class__", value).__name__
)
def test_what_a_view_raises(read_api, monkeypatch, fault, status, code):
    def broken(self):
        raise fault

    monkeypatch.setattr(DomainViewSet, "get_queryset", broken)
    response = read_api.get(DOMAINS)
    error = error_of(response, status, code)
    for word in ("passwd", "accounts_user", "SQLite", "Traceback", "RuntimeError"):
        assert word not in json.dumps(error)
    if status in {429, 503}:
        assert int(response["Retry-After"]) > 0


ASKED = [
    ("get", "/api/v1/domains?page=0", {}, {}, 400, "INVALID_REQUEST"),
    ("post", DOMAINS, {"data": "{", "content_type": "application/json"}, {}, 400, "INVALID_REQUEST"),
    ("get", DOMAINS, {}, {"HTTP_HOST": "evil.example"}, 400, "INVALID_REQUEST"),
    ("get", "/health", {}, {"HTTP_HOST": "evil.example"}, 400, "INVALID_REQUEST"),
    ("get", "/metrics", {}, {"HTTP_HOST": "a b"}, 400, "INVALID_REQUEST"),
    ("get", DOMAINS, {}, {"HTTP_AUTHORIZATION": "Bearer sk_live_x"}, 401, "UNAUTHORIZED"),
    ("get", DOMAINS, {}, {"HTTP_AUTHORIZATION": ""}, 401, "UNAUTHORIZED"),
    ("get", "/api/v1/auth/keys", {}, {}, 403, "FORBIDDEN"),
    ("get", DOMAINS, {}, {"REMOTE_ADDR": "192.0.2.1"}, 403, "FORBIDDEN"),
    ("get", "/api", {}, {}, 404, "NOT_FOUND"),
    ("get", "/api/", {}, {}, 404, "NOT_FOUND"),
    ("get", "/api/v1/domains/", {}, {}, 404, "NOT_FOUND"),
    ("get", "/api/v1/domains/user_1", {}, {}, 404, "NOT_FOUND"),
    ("get", "/api/v1/%ff%fe", {}, {}, 404, "NOT_FOUND"),
    ("get", "/api/v1/%", {}, {}, 404, "NOT_FOUND"),
    ("get", "/api/v1/%zz", {}, {}, 404, "NOT_FOUND"),
    ("get", "/api/v1/../v1/users/x/y", {}, {}, 404, "NOT_FOUND"),
    ("post", "/api/v1/nothing", {"data": {}}, {}, 404, "NOT_FOUND"),
    ("get", "/metrics/", {}, {}, 404, "NOT_FOUND"),
    ("delete", DOMAINS, {}, {}, 405, "METHOD_NOT_ALLOWED"),
    ("trace", DOMAINS, {}, {}, 405, "METHOD_NOT_ALLOWED"),
    ("put", "/ready", {}, {}, 405, "METHOD_NOT_ALLOWED"),
    ("get", DOMAINS, {}, {"HTTP_ACCEPT": "image/png"}, 406, "NOT_ACCEPTABLE"),
    ("post", DOMAINS, {"data": "x" * 1_048_577, "content_type": "application/json"}, {}, 413, "PAYLOAD_TOO_LARGE"),
    ("post", "/api/v1/nothing", {"data": "x" * 2_097_152, "content_type": "text/x"}, {}, 413, "PAYLOAD_TOO_LARGE"),
    ("post", DOMAINS, {"data": "a=1", "content_type": "text/plain"}, {}, 415, "UNSUPPORTED_MEDIA_TYPE"),
    ("post", DOMAINS, {"data": "x", "content_type": "application/json; charset=x"}, {}, 400, "INVALID_REQUEST"),
]


@pytest.mark.parametrize(("method", "path", "body", "headers", "status", "code"), ASKED)
def test_what_is_asked_wrongly(write_api, method, path, body, headers, status, code):
    if "HTTP_AUTHORIZATION" in headers:
        write_api.credentials()
    send = getattr(write_api, method) if method != "trace" else lambda *a, **k: write_api.generic("TRACE", *a, **k)
    response = send(path, **body, **headers)
    error_of(response, status, code)
    assert response["Content-Language"] == "en"
    assert "Accept-Language" in response["Vary"]


def test_every_status_of_the_catalogue_is_in_these_tables():
    seen = {row[1] for row in RAISED} | {row[4] for row in ASKED}
    assert seen == set(errors._MEANINGS)


def test_a_missing_csrf_token_is_403(make_user):
    make_user("root@example.com", is_staff=True, is_superuser=True)
    client = APIClient(enforce_csrf_checks=True)
    client.login(username="root@example.com", password="correct horse battery")
    error_of(client.post(DOMAINS, {"domain": "x.example"}, format="json"), 403, "FORBIDDEN")
    wrong = client.post(DOMAINS, {"domain": "x.example"}, format="json", HTTP_X_CSRFTOKEN="x" * 32)
    error_of(wrong, 403, "FORBIDDEN")


@pytest.mark.parametrize("path", ["/api/v1/users", "/api/v1/users/user_1", "/health", "/ready"])
def test_head_is_get_without_a_body(client_with, path, monkeypatch):
    for api in (client_with("read"), client_with()):
        get, head = api.get(path), api.head(path)
        assert head.status_code == get.status_code
        assert head.content == b""
        assert head["Content-Type"] == get["Content-Type"]


def test_options_says_what_goes_and_never_fails(client_with, make_user):
    user = make_user("bob@example.com")
    ids = {"user_id": f"user_{user.pk}", "domain_id": f"domain_{user.domain_id}"}
    paths = [
        path.format_map({**ids, "key_id": "key_1", "alias_id": "alias_1", "group_id": "group_admin"})
        for path in (
            "/api/v1/users",
            "/api/v1/users/{user_id}",
            DOMAINS,
            "/api/v1/domains/{domain_id}",
            "/api/v1/auth/keys",
            "/api/v1/auth/keys/{key_id}",
            "/api/v1/aliases",
            "/api/v1/aliases/{alias_id}",
            "/api/v1/groups",
            "/api/v1/groups/{group_id}",
            "/health",
            "/ready",
        )
    ]
    for path in paths:
        response = client_with("admin").options(path)
        assert response.status_code == 200, (path, response.content)
        assert "OPTIONS" in response["Allow"]
    assert client_with().options("/api/v1/users").status_code == 401


class TestLanguage:
    """Words follow the caller's language, codes never change."""

    @pytest.mark.parametrize(
        ("wanted", "language"),
        [
            ("en", "en"),
            ("zh-Hans", "zh-hans"),
            ("zh-CN,zh;q=0.9,en;q=0.8", "zh-hans"),
            ("fr", "en"),
            ("", "en"),
            ("\x00;q=9", "en"),
            ("x" * 3000, "en"),
        ],
    )
    def test_messages(self, client_with, wanted, language):
        for response in (
            client_with().get("/api/v1/users", HTTP_ACCEPT_LANGUAGE=wanted),
            client_with().get("/api/v1/nothing", HTTP_ACCEPT_LANGUAGE=wanted),
            client_with().post(DOMAINS, "x" * 2**21, content_type="application/json", HTTP_ACCEPT_LANGUAGE=wanted),
        ):
            error = response.json()["error"]
            assert response["Content-Language"] == language
            assert error["code"] in {"UNAUTHORIZED", "NOT_FOUND", "PAYLOAD_TOO_LARGE"}
            assert any("\u4e00" <= sign <= "\u9fff" for sign in error["message"]) == (language == "zh-hans")

    def test_the_references_example(self, write_api):
        """``code`` INVALID_REQUEST, ``details`` the missing field, quoted, in the language of the caller."""
        body = {"username": "john.doe", "password": "secure_password_123"}
        error = write_api.post("/api/v1/users", body, HTTP_ACCEPT_LANGUAGE="en").json()["error"]
        assert (error["code"], error["message"]) == ("INVALID_REQUEST", "The request is not valid.")
        assert error["details"] == "Field 'email' is required."
        chinese = write_api.post("/api/v1/users", body, HTTP_ACCEPT_LANGUAGE="zh-Hans").json()["error"]
        assert chinese["message"].startswith("\u8bf7\u6c42\u53c2\u6570\u65e0\u6548")
        assert "'email'" in chinese["details"]


class TestRequestId:
    """One id in header, body, log line and audit entry."""

    def test_it_is_everywhere(self, write_api, monkeypatch):
        from mailcore import journal

        stream = io.StringIO()
        journal.configure("web", "json", stream)

        def broken(self):
            raise RuntimeError("x")

        given = "trace-77"
        write_api.post(DOMAINS, {"domain": "x.example"}, HTTP_X_REQUEST_ID=given)
        with monkeypatch.context() as context:
            context.setattr(DomainViewSet, "get_queryset", broken)
            response = write_api.get(DOMAINS, HTTP_X_REQUEST_ID=given)
        assert response["X-Request-ID"] == response.json()["error"]["request_id"] == given
        assert AuditEntry.objects.get().request_id == given
        lines = [json.loads(line) for line in stream.getvalue().splitlines()]
        assert lines
        assert all(line["request_id"] == given for line in lines), lines

    def test_it_ends_with_the_request(self, read_api):
        from structlog.contextvars import get_contextvars

        read_api.get(DOMAINS, HTTP_X_REQUEST_ID="trace-78")
        assert "request_id" not in get_contextvars()


class TestWithoutDjango:
    """What the web server itself refuses is said in the same form."""

    def test_only_to_programs(self):
        assert bare_error("/admin/", [], 503) is None

    @pytest.mark.parametrize("status", sorted(errors._MEANINGS))
    @pytest.mark.parametrize("path", ["/api", "/api/v1/users", "/health", "/ready", "/metrics"])
    def test_the_form(self, path, status):
        headers, body = bare_error(path, [(b"X-Request-Id", b"abc"), (b"accept-language", b"zh-CN")], status)
        names = {name.decode().lower(): value.decode() for name, value in headers}
        error = json.loads(body)["error"]
        assert set(error) == {"code", "message", "details", "timestamp", "request_id"}
        assert error["request_id"] == names["x-request-id"] == "abc"
        assert names["content-type"] == "application/json; charset=utf-8"
        assert names["content-language"] == "zh-hans"
        assert int(names["content-length"]) == len(body)
        assert ("retry-after" in names) == (status == 503)

    def test_hostile_headers_do_no_harm(self):
        hostile = [(b"x-request-id", b"a\r\nSet-Cookie: x"), (b"accept-language", b"\xff\x00"), (b"cookie", b"\xff")]
        headers, body = bare_error("/api/\r\nx", hostile, 400)
        assert not [value for _name, value in headers if b"\r" in value or b"\n" in value]
        assert json.loads(body)["error"]["request_id"].startswith("req_")


def test_every_path_below_api_answers_in_json(client_with):
    """Whatever is routed there: no page for people slips in for a program that asks for nothing in particular."""
    paths = [str(pattern.pattern) for pattern in get_resolver().url_patterns]
    assert any(path.startswith("api/") for path in paths)
    for path in ("/api/v1/users", "/api/v1/x", "/health/x", "/ready/x", "/metrics/x"):
        response = client_with().get(path, HTTP_ACCEPT="*/*")
        assert response["Content-Type"] == "application/json; charset=utf-8", path
