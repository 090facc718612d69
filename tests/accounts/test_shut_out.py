"""Who may not stay: gone, disabled, or of a disabled domain; and keys that outlive their owner's power."""

import pytest

from accounts.models import ApiKey, User
from accounts.passwords import shut_out

pytestmark = pytest.mark.django_db


def test_only_those_who_may_not_log_in_are_shut_out(make_user, domain):
    alice, bob = make_user("alice@example.com"), make_user("bob@example.com", is_active=False)
    everybody = [alice.pk, bob.pk, 10_000]
    assert shut_out(everybody) == {bob.pk, 10_000}
    domain.enabled = False
    domain.save()
    assert shut_out(everybody) == set(everybody)


def test_a_key_has_no_more_power_than_its_owner_has_now(client, make_user):
    owner = make_user("root@example.com", is_superuser=True, is_staff=True)
    _key, secret = ApiKey.issue("k", ["read", "write", "admin"], owner=owner)
    body = {"name": "another", "permissions": ["admin"]}

    def mint():
        headers = {"authorization": f"Bearer {secret}"}
        return client.post("/api/v1/auth/keys", body, content_type="application/json", headers=headers).status_code

    assert mint() == 201
    User.objects.filter(pk=owner.pk).update(is_superuser=False)
    assert mint() == 403


def test_a_key_ends_with_its_owners_domain(client, make_user, domain):
    owner = make_user("root@example.com", is_superuser=True, is_staff=True)
    _key, secret = ApiKey.issue("k", ["read"], owner=owner)

    def read():
        return client.get("/api/v1/users", headers={"authorization": f"Bearer {secret}"}).status_code

    assert read() == 200
    domain.enabled = False
    domain.save()
    assert read() == 401


@pytest.mark.parametrize(("proxies", "secure"), [("", False), ("127.0.0.0/8", True), ("192.0.2.0/24", False)])
def test_only_a_configured_proxy_says_that_a_request_was_private(client, settings, monkeypatch, proxies, secure):
    from a3mailer_site.api import peers

    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    monkeypatch.setattr(peers, "current", lambda: type("Env", (), {"trusted_proxies": proxies}))
    response = client.get("/admin/login/", headers={"x-forwarded-proto": "https"})
    assert response.wsgi_request.is_secure() is secure
