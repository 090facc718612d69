"""The pages for keys and groups: bounds are taken, checked and shown; a group called admin is not made."""

import pytest
from django.contrib.auth.models import Group
from django.urls import reverse

from accounts.models import ApiKey
from security.models import AuditEntry

pytestmark = pytest.mark.django_db
ADD = reverse("admin:accounts_apikey_add")
LIST = reverse("admin:accounts_apikey_changelist")


@pytest.fixture
def browser(client, make_user):
    root = make_user("root@example.com", is_staff=True, is_superuser=True)
    client.force_login(root, backend="accounts.passwords.PasswordBackend")
    return client


def test_a_key_is_made_with_bounds_and_shows_them(browser, domain):
    fields = {
        "name": "shop",
        "permissions": ["read"],
        "allowed_networks": "192.0.2.7, 2001:DB8::/32",
        "domains": "Example.com",
    }
    page = browser.post(ADD, fields)
    key = ApiKey.objects.get()
    assert page.status_code == 200
    assert key.digest == ApiKey.digest_of(page.context["key"].secret)
    assert key.allowed_networks == ["192.0.2.7/32", "2001:db8::/32"]
    assert key.domains == ["example.com"]
    shown = browser.get(LIST).content.decode()
    assert "192.0.2.7/32, 2001:db8::/32, example.com" in shown
    entry = AuditEntry.objects.get(action="apikey_created")
    assert entry.metadata["allowed_networks"] == key.allowed_networks
    assert page.context["key"].secret not in str(entry.metadata)


def test_a_key_without_bounds_has_none(browser):
    browser.post(ADD, {"name": "all", "permissions": ["read"], "allowed_networks": " ", "domains": ""})
    assert ApiKey.objects.values_list("allowed_networks", "domains").get() == (None, None)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("allowed_networks", "here"),
        ("allowed_networks", "192.0.2.1/24"),
        ("domains", "elsewhere.example"),
        ("domains", "a_b"),
        ("expires_at_0", "2001-01-01"),
    ],
)
def test_what_is_no_bound_is_refused_on_the_page(browser, field, value):
    times = {"expires_at_0": "", "expires_at_1": "00:00:00" if field == "expires_at_0" else ""}
    page = browser.post(ADD, {"name": "x", "permissions": ["read"], **times, field: value})
    assert page.status_code == 200
    assert page.context["errors"]
    assert not ApiKey.objects.exists()


def test_the_cap_on_days_holds_on_the_page(browser, monkeypatch):
    import dataclasses

    from a3mailer_site import env

    monkeypatch.setattr(env, "_current", dataclasses.replace(env.current(), api_key_max_days=30))
    browser.post(ADD, {"name": "x", "permissions": ["read"]})
    assert not ApiKey.objects.exists()


def test_revoking_on_the_page_makes_every_process_forget_the_key(browser):
    from a3mailer_site.models import Generation

    key, _secret = ApiKey.issue("x", ["read"])
    before = Generation.objects.standing("api_keys")
    browser.post(LIST, {"action": "revoke", "_selected_action": [key.pk]})
    key.refresh_from_db()
    assert key.revoked_at is not None
    assert Generation.objects.standing("api_keys") != before


def test_groups_are_written_down_and_admin_is_built_in(browser):
    add = reverse("admin:auth_group_add")
    assert browser.post(add, {"name": " Admin "}).status_code == 200
    assert browser.post(add, {"name": "support"}).status_code == 302
    assert set(Group.objects.values_list("name", flat=True)) == {"users", "staff", "support"}
    assert AuditEntry.objects.get(action="group_created").metadata["name"] == "support"
