"""Every error below the API's paths has the one form, whoever refuses: Django, the framework, a view, the database."""

import json
import re

import pytest
from django.db import OperationalError

pytestmark = pytest.mark.django_db

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def error_of(response, status, code):
    assert response.status_code == status, response.content
    assert response["Content-Type"] == "application/json; charset=utf-8"
    body = json.loads(response.content)
    assert set(body) == {"error"}
    error = body["error"]
    assert set(error) - {"fields"} == {"code", "message", "details", "timestamp", "request_id"}
    assert error["code"] == code
    assert error["message"]
    assert isinstance(error["details"], str)
    assert TIME.fullmatch(error["timestamp"])
    assert error["request_id"] == response["X-Request-ID"]
    return error


@pytest.mark.parametrize(
    "path",
    [
        "/api",
        "/api/",
        "/api/v1",
        "/api/v2/users",
        "/api/v1/nothing",
        "/api/v1/users/",
        "/api/v1/domains/",
        "/health/",
        "/ready/",
        "/api/v1/users/user_1/more",
        "/api/v1/users/1",
        "/api/v1/users/user_x",
        "/api/v1/users/user_0",
        "/api/v1/users/user_99999999999999999999",
        "/api/v1/users/domain_1",
        "/api/v1/users/user_12345",
        "/api/v1/domains/domain_7",
        "/api/v1/users/%00",
    ],
)
def test_what_is_not_there_is_404_and_never_a_redirect(admin_api, path):
    if path == "/api":
        assert admin_api.get(path).status_code == 404
        return
    error_of(admin_api.get(path), 404, "NOT_FOUND")


def test_an_added_slash_does_not_lose_a_body(write_api):
    error_of(write_api.post("/api/v1/users/", {"username": "x"}), 404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("post", "/api/v1/server/info"),
        ("delete", "/api/v1/users"),
        ("put", "/api/v1/domains"),
        ("patch", "/api/v1/auth/keys"),
        ("post", "/health"),
        ("delete", "/ready"),
        ("post", "/metrics"),
    ],
)
def test_a_wrong_method_is_405_and_says_which_are_right(admin_api, method, path):
    response = getattr(admin_api, method)(path)
    error_of(response, 405, "METHOD_NOT_ALLOWED")
    assert "GET" in response["Allow"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nonsense",
        b"[1]",
        b'"text"',
        b"null",
        b'{"name": NaN}',
        b'{"name": 1e999}',
        b"\xff\xfe",
        b'{"name": "\x00"}',
        b'{"name": "\\u0000", "permissions": ["read"]}',
        b'{"name": "\\ud800", "permissions": ["read"]}',
        b'{"\\u0000": 1, "name": "x", "permissions": ["read"]}',
        b"[" * 100_000,
        b'{"name": "x", "permissions": ["read"], "deep": ' + b"[" * 70 + b"]" * 70 + b"}",
        b'{"name": ' + b"9" * 10_000 + b"}",
    ],
)
def test_a_body_that_is_no_json_object_is_400(admin_api, body):
    error_of(admin_api.post("/api/v1/auth/keys", body, content_type="application/json"), 400, "INVALID_REQUEST")


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/xml"],
)
def test_a_body_in_another_form_is_415(admin_api, content_type):
    response = admin_api.post("/api/v1/auth/keys", b"name=x", content_type=content_type)
    error_of(response, 415, "UNSUPPORTED_MEDIA_TYPE")


def test_a_body_over_a_mebibyte_is_413(admin_api):
    body = json.dumps({"name": "x" * 1024 * 1024}).encode()
    error_of(admin_api.post("/api/v1/auth/keys", body, content_type="application/json"), 413, "PAYLOAD_TOO_LARGE")


def test_a_forged_host_is_400(admin_api):
    error_of(admin_api.get("/api/v1/users", HTTP_HOST="evil.example"), 400, "INVALID_REQUEST")


def test_an_answer_in_another_form_is_406(admin_api):
    error_of(admin_api.get("/api/v1/users", HTTP_ACCEPT="application/xml"), 406, "NOT_ACCEPTABLE")


def test_an_exception_of_ours_is_500_without_its_insides(admin_api, monkeypatch):
    from accounts.viewsets import UserViewSet

    def broken(self, request):
        raise RuntimeError("SELECT secret FROM /etc/passwd")

    monkeypatch.setattr(UserViewSet, "list", broken)
    error = error_of(admin_api.get("/api/v1/users"), 500, "INTERNAL_ERROR")
    assert "secret" not in json.dumps(error)


def test_an_exception_outside_the_framework_is_500_too(admin_api, client, monkeypatch):
    from accounts import authentication

    def broken(request):
        raise RuntimeError("insides")

    monkeypatch.setattr(authentication, "key_of", broken)
    error_of(admin_api.get("/api/v1/users"), 500, "INTERNAL_ERROR")


def test_a_database_that_is_locked_is_503_with_retry_after(admin_api, monkeypatch):
    from accounts.viewsets import UserViewSet

    def locked(self, request):
        raise OperationalError("database is locked")

    monkeypatch.setattr(UserViewSet, "list", locked)
    response = admin_api.get("/api/v1/users")
    error_of(response, 503, "SERVICE_UNAVAILABLE")
    assert int(response["Retry-After"]) > 0


def test_a_page_for_people_is_503_in_words_when_the_database_is_away(client, monkeypatch):
    from django.contrib.auth import middleware

    def away(request):
        raise OperationalError("server closed the connection")

    monkeypatch.setattr(middleware, "get_user", away)
    response = client.get("/admin/login/")
    assert response.status_code == 503
    assert response["Content-Type"].startswith("text/html")
    assert int(response["Retry-After"]) > 0


def test_pages_for_people_stay_pages(client):
    response = client.get("/nothing")
    assert response.status_code == 404
    assert response["Content-Type"].startswith("text/html")


@pytest.mark.parametrize("given", ["abc-123", "req_1", "a" * 80])
def test_a_request_id_of_the_callers_is_taken_over(admin_api, given):
    response = admin_api.get("/api/v1/users", HTTP_X_REQUEST_ID=given)
    assert response["X-Request-ID"] == given
    error = error_of(admin_api.get("/api/v1/nothing", HTTP_X_REQUEST_ID=given), 404, "NOT_FOUND")
    assert error["request_id"] == given


@pytest.mark.parametrize("given", ["", "a b", "a\tb", "<script>", "a" * 81, "\u00fc", "x\\ny"])
def test_a_request_id_that_could_do_harm_is_replaced(admin_api, given):
    response = admin_api.get("/api/v1/users", HTTP_X_REQUEST_ID=given)
    assert re.fullmatch(r"req_[0-9a-z]{13}", response["X-Request-ID"])
