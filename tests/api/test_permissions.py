"""Who may call what: a matrix over keys and operations, and the holes of the reference that stay closed."""

from datetime import timedelta

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from a3mailer_site import env
from accounts.models import ApiKey, User

pytestmark = pytest.mark.django_db
PASSWORD = "correct horse battery"

# Operation, and the statuses for no key, read, write, admin.
MATRIX = [
    ("get", "/api/v1/users", None, 401, 200, 200, 200),
    ("get", "/api/v1/users/user_1", None, 401, 404, 404, 404),
    ("post", "/api/v1/users", {}, 401, 403, 400, 400),
    ("put", "/api/v1/users/user_1", {}, 401, 403, 404, 404),
    ("patch", "/api/v1/users/user_1", {}, 401, 403, 404, 404),
    ("delete", "/api/v1/users/user_1", None, 401, 403, 404, 404),
    ("get", "/api/v1/domains", None, 401, 200, 200, 200),
    ("get", "/api/v1/domains/domain_1", None, 401, 404, 404, 404),
    ("post", "/api/v1/domains", {}, 401, 403, 400, 400),
    ("put", "/api/v1/domains/domain_1", {}, 401, 403, 404, 404),
    ("delete", "/api/v1/domains/domain_1", None, 401, 403, 404, 404),
    ("post", "/api/v1/auth/keys", {}, 401, 403, 403, 400),
    ("get", "/api/v1/auth/keys", None, 401, 403, 403, 200),
    ("delete", "/api/v1/auth/keys/key_999", None, 401, 403, 403, 404),
    ("get", "/api/v1/server/info", None, 401, 503, 503, 503),
    ("get", "/api/v1/schema", None, 200, 200, 200, 200),
]


@pytest.mark.parametrize(("method", "path", "body", "none", "read", "write", "admin"), MATRIX)
def test_the_matrix(client_with, method, path, body, none, read, write, admin):
    expected = [((), none), (("read",), read), (("write",), write), (("admin",), admin)]
    for permissions, status in expected:
        response = getattr(client_with(*permissions), method)(path, body, format="json")
        assert response.status_code == status, (permissions, response.content)
        if status == 401:
            assert response["WWW-Authenticate"] == "Bearer"
            assert response.json()["error"]["code"] == "UNAUTHORIZED"
        if status == 403:
            assert response.json()["error"]["code"] == "FORBIDDEN"


@pytest.mark.parametrize(
    "header",
    [
        "Bearer",
        "Bearer ",
        "Bearer sk_live_wrong",
        "Bearer sk_live_" + "x" * 5000,
        "bearer nonsense",
        "Bearer a b",
        "Bearer \u00fc",
        "Basic dXNlcjpwYXNz",
        "Token x",
        "",
    ],
)
def test_a_key_that_is_none_is_401(db, header):
    response = APIClient(HTTP_AUTHORIZATION=header).get("/api/v1/users")
    assert response.status_code == 401
    assert response["WWW-Authenticate"] == "Bearer"


def test_a_key_ends_with_its_time_its_revocation_and_its_owner(make_user, client_with):
    bob = make_user("bob@example.com")
    client = client_with("read", owner=bob)
    key = ApiKey.objects.get()
    assert client.get("/api/v1/users").status_code == 200
    for change in ({"expires_at": timezone.now() - timedelta(seconds=1)}, {"revoked_at": timezone.now()}):
        ApiKey.objects.filter(pk=key.pk).update(**change)
        assert client.get("/api/v1/users").status_code == 401
        ApiKey.objects.filter(pk=key.pk).update(expires_at=None, revoked_at=None)
    bob.is_active = False
    bob.save()
    assert client.get("/api/v1/users").status_code == 401


def test_a_key_is_never_taken_from_the_url(db):
    _key, secret = ApiKey.issue("x", ["admin"])
    for name in ("api_key", "token", "key", "access_token", "Authorization"):
        assert APIClient().get(f"/api/v1/users?{name}={secret}").status_code == 401


def test_a_key_in_clear_text_from_elsewhere_is_refused(client_with, monkeypatch):
    far = client_with("admin", REMOTE_ADDR="192.0.2.9")
    assert far.get("/api/v1/users").status_code == 403
    _key, secret = ApiKey.issue("tab", ["admin"])
    for header in (f"Bearer\t{secret}", f"bearer  {secret}", f" BEARER {secret}"):
        client = APIClient(REMOTE_ADDR="192.0.2.9", HTTP_AUTHORIZATION=header)
        assert client.get("/api/v1/users").status_code == 403, header
    assert far.get("/api/v1/users", secure=True).status_code == 200
    import dataclasses

    monkeypatch.setattr(env, "_current", dataclasses.replace(env.current(), clear_text_keys=True))
    assert far.get("/api/v1/users").status_code == 200


def test_nobody_believes_a_forwarded_address_but_from_a_configured_proxy(client_with, monkeypatch):
    import dataclasses

    client = client_with("admin", REMOTE_ADDR="192.0.2.9", HTTP_X_FORWARDED_FOR="127.0.0.1")
    assert client.get("/api/v1/users").status_code == 403
    monkeypatch.setattr(env, "_current", dataclasses.replace(env.current(), trusted_proxies="192.0.2.0/24"))
    assert client.get("/api/v1/users").status_code == 200
    forged = client_with("admin", REMOTE_ADDR="192.0.2.9", HTTP_X_FORWARDED_FOR="127.0.0.1, 203.0.113.5")
    assert forged.get("/api/v1/users").status_code == 403


@pytest.mark.parametrize("header", ["HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED", "HTTP_X_REAL_IP"])
def test_who_comes_through_a_proxy_that_nobody_configured_is_not_on_this_machine(client_with, header):
    assert client_with("admin", REMOTE_ADDR="127.0.0.1").get("/api/v1/users").status_code == 200
    client = client_with("admin", REMOTE_ADDR="127.0.0.1", **{header: "127.0.0.1"})
    assert client.get("/api/v1/users").status_code == 403
    assert APIClient(REMOTE_ADDR="127.0.0.1", **{header: "192.0.2.1"}).get("/metrics").status_code == 401


def test_last_use_is_noted_at_most_once_a_minute(client_with):
    client = client_with("read")
    client.get("/api/v1/users")
    first = ApiKey.objects.get().last_used_at
    client.get("/api/v1/users")
    assert ApiKey.objects.get().last_used_at == first is not None


class TestSessions:
    """The browsable API: an administrator's session, and the CSRF token for every change."""

    @pytest.fixture
    def browser(self, make_user):
        def make(**fields):
            make_user("root@example.com", **fields)
            client = APIClient(enforce_csrf_checks=True)
            assert client.login(username="root@example.com", password=PASSWORD)
            return client

        return make

    def test_an_administrator_reads(self, browser):
        client = browser(is_staff=True, is_superuser=True)
        assert client.get("/api/v1/users").status_code == 200
        page = client.get("/api/v1/users", HTTP_ACCEPT="text/html")
        assert page.status_code == 200
        assert page["Content-Type"].startswith("text/html")

    def test_a_change_needs_the_csrf_token(self, browser):
        client = browser(is_staff=True, is_superuser=True)
        assert client.post("/api/v1/domains", {"domain": "new.example"}, format="json").status_code == 403
        client.get("/admin/")
        token = client.cookies["csrftoken"].value
        response = client.post("/api/v1/domains", {"domain": "new.example"}, format="json", HTTP_X_CSRFTOKEN=token)
        assert response.status_code == 201

    def test_who_is_no_administrator_gets_nothing(self, browser):
        assert browser(is_staff=True).get("/api/v1/users").status_code == 403

    def test_a_mailbox_owners_session_is_no_login_here(self, browser):
        assert browser().get("/api/v1/users").status_code == 401

    def test_disabling_ends_the_session(self, browser):
        client = browser(is_staff=True, is_superuser=True)
        User.objects.update(is_active=False)
        assert client.get("/api/v1/users").status_code == 401
