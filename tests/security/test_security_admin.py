"""Blocks and the allow-list in the web administration: the same rules as over the API, and all of it written down."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from security.blocklist import guard, look
from security.models import AllowedNetwork, AuditEntry, BlockedAddress, PostureResult

pytestmark = pytest.mark.django_db


@pytest.fixture
def browser(client, make_user):
    root = make_user("root@example.com", is_staff=True, is_superuser=True)
    client.force_login(root, backend="accounts.passwords.PasswordBackend")
    return client


def url(model, page, *args):
    return reverse(f"admin:security_{model._meta.model_name}_{page}", args=args)


@pytest.mark.parametrize(
    ("network", "says"),
    [
        ("nobody", "neither an IP address"),
        ("127.0.0.1", "loopback"),
        ("10.0.0.0/8", "wider"),
        ("192.0.2.77", "your own"),
        ("198.51.100.7", "allow-list"),
        ("203.0.113.1", "already"),
    ],
)
def test_what_is_refused(browser, network, says):
    AllowedNetwork.objects.create(network="198.51.100.0/24")
    BlockedAddress.objects.create(network="203.0.113.1")
    form = {"network": network, "reason": "x", "expires_at_0": "", "expires_at_1": ""}
    answer = browser.post(url(BlockedAddress, "add"), form, REMOTE_ADDR="192.0.2.77", HTTP_ACCEPT_LANGUAGE="en")
    assert answer.status_code == 200
    assert says in answer.content.decode()
    assert BlockedAddress.objects.count() == 1


def test_an_end_that_is_past_is_refused(browser):
    form = {"network": "203.0.113.1", "reason": "", "expires_at_0": "2020-01-01", "expires_at_1": "00:00:00"}
    assert browser.post(url(BlockedAddress, "add"), form).status_code == 200
    assert not BlockedAddress.objects.exists()


def test_a_block_is_made_in_force_and_lifted(browser):
    form = {"network": "2001:DB8::1/64", "reason": "scans", "expires_at_0": "", "expires_at_1": ""}
    assert browser.post(url(BlockedAddress, "add"), form).status_code == 302
    row = BlockedAddress.objects.get()
    assert (row.network, row.source, row.reason, row.expires_at) == ("2001:db8::/64", "admin", "scans", None)
    look()
    assert guard.covers("2001:db8::5")
    assert browser.get(url(BlockedAddress, "changelist")).status_code == 200
    form = {"action": "take_off", "_selected_action": [row.pk]}
    assert browser.post(url(BlockedAddress, "changelist"), form).status_code == 302
    look()
    assert not guard.covers("2001:db8::5")
    actions = AuditEntry.objects.exclude(action="login").order_by("id").values_list("action", "metadata__source")
    assert list(actions) == [("address_blocked", "admin"), ("address_unblocked", "admin")]


def test_a_block_that_is_over_makes_room_for_another(browser):
    BlockedAddress.objects.create(network="203.0.113.1", expires_at=timezone.now() - timedelta(hours=1))
    form = {"network": "203.0.113.1", "reason": "again", "expires_at_0": "", "expires_at_1": ""}
    assert browser.post(url(BlockedAddress, "add"), form).status_code == 302
    assert BlockedAddress.objects.get().reason == "again"


def test_the_allow_list_is_kept_in_the_same_way(browser):
    form = {"network": "198.51.100.9/24", "reason": "Office"}
    assert browser.post(url(AllowedNetwork, "add"), form).status_code == 302
    row = AllowedNetwork.objects.get()
    assert row.network == "198.51.100.0/24"
    assert browser.post(url(AllowedNetwork, "add"), form).status_code == 200
    assert browser.post(url(AllowedNetwork, "delete", row.pk), {"post": "yes"}).status_code == 302
    assert not AllowedNetwork.objects.exists()
    assert list(AuditEntry.objects.order_by("id").values_list("action", flat=True)) == [
        "network_allowed",
        "network_disallowed",
    ]


@pytest.mark.parametrize("model", [BlockedAddress, AllowedNetwork])
def test_an_entry_is_never_edited(browser, model):
    row = model.objects.create(network="203.0.113.1")
    assert browser.get(url(model, "change", row.pk)).status_code == 200
    browser.post(url(model, "change", row.pk), {"network": "203.0.113.2", "reason": "x"})
    assert model.objects.get().network == "203.0.113.1"


def test_staff_without_the_permission_see_nothing_of_it(client, make_user):
    staff = make_user("staff@example.com", is_staff=True)
    client.force_login(staff, backend="accounts.passwords.PasswordBackend")
    for model in (BlockedAddress, AllowedNetwork, AuditEntry):
        assert client.get(url(model, "changelist")).status_code == 403


def test_a_check_says_what_to_do(browser):
    PostureResult.objects.create(check_id="secure_cookies", status="fail", text="open", ran_at=timezone.now())
    page = browser.get(url(PostureResult, "changelist"), HTTP_ACCEPT_LANGUAGE="en").content.decode()
    assert "serve the web over HTTPS" in page


def test_reading_the_log_here_is_written_down_too(browser):
    for _ in range(3):
        browser.get(url(AuditEntry, "changelist"), {"severity__exact": "warning"})
    entry = AuditEntry.objects.get(action="audit_log_read")
    assert entry.metadata["filters"] == {"severity__exact": "warning"}
