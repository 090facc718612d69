"""Blocked and allowed addresses over HTTP: refusals first, then the reference's examples, then that they are real."""

from datetime import timedelta

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from a3mailer_site import env
from security.models import AllowedNetwork, AuditEntry, BlockedAddress

pytestmark = pytest.mark.django_db

BLOCKS, BLOCK, ALLOWED = "/api/v1/security/blocked-ips", "/api/v1/security/block-ip", "/api/v1/security/allowed-ips"
# The body of the reference: "阻止 IP 地址".
EXAMPLE = {"ip_address": "192.0.2.100", "reason": "Brute force attack detected", "duration": 3600, "permanent": False}


@pytest.fixture(autouse=True)
def interfaces(monkeypatch):
    """The addresses of this machine, whatever machine the tests run on."""
    import socket
    from types import SimpleNamespace

    own = {
        "lo": [SimpleNamespace(family=socket.AF_INET, address="127.0.0.1")],
        "eth0": [
            SimpleNamespace(family=socket.AF_INET, address="198.18.7.7"),
            SimpleNamespace(family=socket.AF_INET6, address="fe80::1%eth0"),
            SimpleNamespace(family=socket.AF_PACKET, address="02:00:00:00:00:01"),
        ],
    }
    monkeypatch.setattr("security.guards.psutil.net_if_addrs", lambda: own)


@pytest.fixture
def api(client_with):
    return client_with("write")


def set_env(monkeypatch, **changes):
    import dataclasses

    monkeypatch.setattr(env, "_current", dataclasses.replace(env.current(), **changes))


@pytest.mark.parametrize(
    ("method", "path", "body", "none", "read", "write"),
    [
        ("get", BLOCKS, None, 401, 200, 200),
        ("post", BLOCK, {}, 401, 403, 400),
        ("get", f"{BLOCKS}/192.0.2.1", None, 401, 404, 404),
        ("delete", f"{BLOCKS}/192.0.2.1", None, 401, 403, 404),
        ("get", ALLOWED, None, 401, 200, 200),
        ("post", ALLOWED, {}, 401, 403, 400),
        ("get", f"{ALLOWED}/192.0.2.1", None, 401, 404, 404),
        ("delete", f"{ALLOWED}/192.0.2.1", None, 401, 403, 404),
    ],
)
def test_who_may_do_what(client_with, method, path, body, none, read, write, monkeypatch):
    for permissions, status in (((), none), (("read",), read), (("write",), write), (("admin",), write)):
        answer = getattr(client_with(*permissions), method)(path, body, format="json")
        assert answer.status_code == status, (permissions, answer.content)
    set_env(monkeypatch, strict_permissions=True)
    expected = write if method == "get" else 403
    assert getattr(client_with("write"), method)(path, body, format="json").status_code == expected
    assert getattr(client_with("admin"), method)(path, body, format="json").status_code == write


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        None,
        "192.0.2.100",
        {"ip_address": None},
        {"ip_address": 3221225985},
        {"ip_address": ["192.0.2.100"]},
        {"ip_address": ""},
        {"ip_address": "nobody"},
        {"ip_address": "192.0.2.100\r\nX: y"},
        {"ip_address": "192.0.2.100\0"},
        {"ip_address": "fe80::1%eth0"},
        {"ip_address": "1" * 100_000},
        {"ip_address": "0.0.0.0"},
        {"ip_address": "::"},
        {"ip_address": "224.0.0.1"},
        {**EXAMPLE, "reason": "x" * 256},
        {**EXAMPLE, "reason": "a\nb"},
        {**EXAMPLE, "reason": "a\0b"},
        {**EXAMPLE, "reason": "a\u2028b"},
        {**EXAMPLE, "reason": 5},
        {**EXAMPLE, "reason": None},
        {**EXAMPLE, "duration": 0},
        {**EXAMPLE, "duration": -1},
        {**EXAMPLE, "duration": 1.5},
        {**EXAMPLE, "duration": "3600"},
        {**EXAMPLE, "duration": True},
        {**EXAMPLE, "duration": 10**30},
        {**EXAMPLE, "duration": 2**63},
        {**EXAMPLE, "permanent": "yes"},
        {**EXAMPLE, "permanent": 1},
        {**EXAMPLE, "force": "true"},
    ],
)
@pytest.mark.parametrize("path", [BLOCK])
def test_what_is_refused_leaves_nothing(api, path, body):
    answer = api.post(path, body, format="json")
    assert answer.status_code == 400, answer.content
    assert answer.json()["error"]["code"] == "INVALID_REQUEST"
    assert not BlockedAddress.objects.exists()
    assert not AuditEntry.objects.filter(action="address_blocked").exists()


@pytest.mark.parametrize(
    ("ip_address", "says"),
    [
        ("127.0.0.1", "loopback"),
        ("127.8.8.8", "loopback"),
        ("127.0.0.0/16", "loopback"),
        ("::1", "loopback"),
        ("::ffff:127.0.0.1", "loopback"),
        ("198.18.0.5", "this server"),
        ("198.18.7.7", "this server"),
        ("fe80::/64", "this server"),
        ("198.18.0.0/24", "this server"),
        ("203.0.113.9", "proxy"),
        ("203.0.113.0/28", "proxy"),
        ("192.0.2.77", "your own"),
        ("192.0.2.0/24", "your own"),
        ("198.51.100.7", "allow-list"),
        ("198.51.100.0/25", "allow-list"),
        ("10.0.0.0/15", "/16"),
        ("0.0.0.0/0", "/16"),
        ("::ffff:0:0/96", "/16"),
        ("2001:db8::/31", "/32"),
    ],
)
def test_nobody_locks_out_the_server_its_friends_or_themselves(client_with, monkeypatch, ip_address, says):
    set_env(monkeypatch, trusted_proxies="203.0.113.9", clear_text_keys=True, imap_listen="198.18.0.5:143")
    AllowedNetwork.objects.create(network="198.51.100.0/24")
    api = client_with("write", REMOTE_ADDR="192.0.2.77")
    answer = api.post(BLOCK, {"ip_address": ip_address, "force": says != "your own"}, format="json")
    assert answer.status_code == 400, answer.content
    assert says in answer.json()["error"]["details"], answer.json()
    assert list(answer.json()["error"]["fields"]) == ["ip_address"]
    assert not BlockedAddress.objects.exists()


def test_the_callers_own_address_is_blocked_with_force_and_the_caller_is_out(client_with, monkeypatch):
    set_env(monkeypatch, clear_text_keys=True)
    api = client_with("write", REMOTE_ADDR="192.0.2.77")
    assert api.post(BLOCK, {"ip_address": "192.0.2.77", "force": True}, format="json").status_code == 201
    assert api.get(BLOCKS).status_code == 403


def test_networks_around_an_allowed_one_may_be_blocked(api):
    AllowedNetwork.objects.create(network="192.0.2.7")
    assert api.post(BLOCK, {"ip_address": "192.0.2.0/24"}, format="json").status_code == 201
    assert APIClient(REMOTE_ADDR="192.0.2.8").get("/health").status_code == 403
    assert APIClient(REMOTE_ADDR="192.0.2.7").get("/health").status_code in {200, 503}


def test_the_references_example(api):
    before = timezone.now().replace(microsecond=0)
    answer = api.post(BLOCK, EXAMPLE, format="json")
    assert answer.status_code == 201, answer.content
    body = answer.json()
    assert answer["Location"] == f"{BLOCKS}/192.0.2.100"
    assert {name: body[name] for name in ("ip_address", "reason", "permanent")} == {
        name: EXAMPLE[name] for name in ("ip_address", "reason", "permanent")
    }
    assert (body["source"], body["hits"], body["last_seen"]) == ("api", 0, None)
    row = BlockedAddress.objects.get()
    assert row.expires_at - row.blocked_at == timedelta(hours=1)
    assert row.blocked_at >= before
    assert api.get(answer["Location"]).json() == body
    assert api.get(BLOCKS).json() == {"blocked_ips": [body], "total": 1, "page": 1, "limit": 50}
    again = api.post(BLOCK, EXAMPLE, format="json")
    assert (again.status_code, again.json()["error"]["code"]) == (409, "CONFLICT")
    gone = api.delete(answer["Location"])
    assert (gone.status_code, gone.content) == (204, b"")
    assert api.delete(answer["Location"]).status_code == 404
    assert api.get(BLOCKS).json()["total"] == 0
    actions = list(AuditEntry.objects.order_by("id").values_list("action", "metadata__ip_address"))
    assert actions == [("address_blocked", "192.0.2.100"), ("address_unblocked", "192.0.2.100")]


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ({}, 3600),
        ({"duration": 60}, 60),
        ({"duration": None}, 3600),
        ({"permanent": True}, None),
        ({"permanent": True, "duration": 60}, None),
        ({"permanent": False, "duration": 1}, 1),
    ],
)
def test_how_long_a_block_holds(api, given, seconds):
    answer = api.post(BLOCK, {"ip_address": "192.0.2.100", **given}, format="json").json()
    row = BlockedAddress.objects.get()
    assert answer["permanent"] is (seconds is None)
    assert (row.expires_at - row.blocked_at).total_seconds() == seconds if seconds else row.expires_at is None


@pytest.mark.parametrize(
    ("given", "form", "path"),
    [
        ("2001:DB8::1", "2001:db8::1", "2001:0db8::0001"),
        ("::ffff:192.0.2.100", "192.0.2.100", "::ffff:c000:264"),
        ("192.0.2.9/24", "192.0.2.0/24", "192.0.2.0%2F24"),
        ("192.0.2.9/24", "192.0.2.0/24", "192.0.2.77/24"),
        ("2001:db8::/48", "2001:db8::/48", "2001%3Adb8%3A%3A%2F48"),
    ],
)
def test_every_spelling_is_the_same_address(api, given, form, path):
    answer = api.post(BLOCK, {"ip_address": given}, format="json")
    assert answer.json()["ip_address"] == form
    assert api.get(answer["Location"]).json()["ip_address"] == form
    assert api.post(BLOCK, {"ip_address": form}, format="json").status_code == 409
    assert api.delete(f"{BLOCKS}/{path}").status_code == 204
    assert not BlockedAddress.objects.exists()


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("nobody", 400),
        ("192.0.2.0%2F99", 400),
        ("192.0.2.1%00", 400),
        ("%F0%9F%98%80", 400),
        ("fe80::1%25eth0", 400),
        ("x" * 3000, 400),
        ("192.0.2.1/", 404),
        ("192.0.2.1", 404),
        ("..%2F..%2Fusers", 400),
    ],
)
@pytest.mark.parametrize("where", [BLOCKS, ALLOWED])
def test_paths_that_lead_nowhere(api, where, path, status):
    answer = api.delete(f"{where}/{path}")
    assert answer.status_code == status, answer.content
    assert "error" in answer.json()


def test_a_block_that_is_over_is_not_listed_not_lifted_and_makes_room(api):
    BlockedAddress.objects.create(network="192.0.2.100", expires_at=timezone.now() - timedelta(seconds=1), hits=9)
    assert api.get(BLOCKS).json()["total"] == 0
    assert api.delete(f"{BLOCKS}/192.0.2.100").status_code == 404
    assert api.post(BLOCK, EXAMPLE, format="json").status_code == 201
    assert BlockedAddress.objects.get().hits == 0


def test_the_list_has_pages_and_a_search(api, django_assert_max_num_queries):
    for n in range(5):
        BlockedAddress.objects.create(network=f"192.0.2.{n}", reason="50% off_er" if n == 3 else "x")
    BlockedAddress.objects.create(network="198.51.100.0/24", reason="Office")
    with django_assert_max_num_queries(8):
        page = api.get(f"{BLOCKS}?page=2&limit=4").json()
    assert (len(page["blocked_ips"]), page["total"], page["page"], page["limit"]) == (2, 6, 2, 4)
    assert api.get(f"{BLOCKS}?page=99").json()["blocked_ips"] == []

    def found(text):
        return sorted(row["ip_address"] for row in api.get(BLOCKS, {"search": text}).json()["blocked_ips"])

    assert found("192.0.2.") == [f"192.0.2.{n}" for n in range(5)]
    assert found("198.51.100.77") == ["198.51.100.0/24"]
    assert found("oFFice") == ["198.51.100.0/24"]
    assert found("50% off_") == ["192.0.2.3"]
    assert found("%") == ["192.0.2.3"]
    for bad in ("?limit=0", "?limit=501", "?page=0", "?page=x", "?search=%00", f"?search={'x' * 201}"):
        assert api.get(BLOCKS + bad).status_code == 400


def test_two_who_block_at_once_make_one_block(api, monkeypatch):
    """The second finds the row only when it writes: the database says no, the caller hears 409."""
    monkeypatch.setattr(
        "security.blocking.BlockedAddress.objects.over",
        lambda now: BlockedAddress.objects.create(network="192.0.2.100") and BlockedAddress.objects.none(),
    )
    assert api.post(BLOCK, EXAMPLE, format="json").status_code == 409


def test_the_allow_list(api):
    made = api.post(ALLOWED, {"ip_address": "198.51.100.9/24", "reason": "Office"}, format="json")
    assert made.status_code == 201, made.content
    assert made.json()["ip_address"] == "198.51.100.0/24"
    assert made["Location"] == f"{ALLOWED}/198.51.100.0%2F24"
    assert api.get(ALLOWED).json() == {"allowed_ips": [made.json()], "total": 1, "page": 1, "limit": 50}
    assert api.post(ALLOWED, {"ip_address": "198.51.100.0/24"}, format="json").status_code == 409
    refused = api.post(BLOCK, {"ip_address": "198.51.100.7"}, format="json")
    assert "198.51.100.0/24" in refused.json()["error"]["details"]
    assert api.delete(made["Location"]).status_code == 204
    assert api.post(BLOCK, {"ip_address": "198.51.100.7"}, format="json").status_code == 201
    assert set(AuditEntry.objects.values_list("action", flat=True)) == {
        "network_allowed",
        "network_disallowed",
        "address_blocked",
    }


def test_what_is_allowed_after_it_was_blocked_is_let_in_at_once(api):
    api.post(BLOCK, {"ip_address": "192.0.2.0/24"}, format="json")
    stranger = APIClient(REMOTE_ADDR="192.0.2.9")
    assert stranger.get("/api/v1/schema").status_code == 403
    api.post(ALLOWED, {"ip_address": "192.0.2.9"}, format="json")
    assert stranger.get("/api/v1/schema").status_code == 200


@pytest.mark.parametrize("body", [{"ip_address": "0.0.0.0/0"}, {"ip_address": "::/0"}, {"ip_address": 5}, {}, []])
def test_everybody_is_not_allowed(api, body):
    assert api.post(ALLOWED, body, format="json").status_code == 400
    assert not AllowedNetwork.objects.exists()


class TestOnTheWeb:
    """What somebody who is blocked sees."""

    @pytest.fixture
    def blocked(self):
        BlockedAddress.objects.create(network="192.0.2.0/24")
        return APIClient(REMOTE_ADDR="192.0.2.100")

    @pytest.mark.parametrize("path", ["/api/v1/users", "/health", "/ready", "/metrics", "/api/v1/nothing"])
    def test_programs_get_the_envelope(self, blocked, path):
        answer = blocked.get(path)
        assert answer.status_code == 403
        assert answer.json()["error"]["code"] == "FORBIDDEN"
        assert answer.json()["error"]["request_id"] == answer["X-Request-ID"]
        assert answer["Connection"] == "close"

    @pytest.mark.parametrize("path", ["/", "/admin/", "/admin/login/", "/static/a3mailer/pages.css"])
    def test_people_get_a_sentence_and_nothing_else(self, blocked, path):
        answer = blocked.get(path, HTTP_ACCEPT_LANGUAGE="en")
        assert (answer.status_code, answer["Connection"]) == (403, "close")
        assert answer.content == b"Your address is blocked.\n"

    def test_not_even_with_a_key(self, blocked, client_with, monkeypatch):
        set_env(monkeypatch, clear_text_keys=True)
        assert client_with("admin", REMOTE_ADDR="192.0.2.100").get("/api/v1/users").status_code == 403

    def test_a_header_changes_nothing_but_from_a_trusted_proxy(self, blocked, monkeypatch):
        assert APIClient(REMOTE_ADDR="192.0.2.100", HTTP_X_FORWARDED_FOR="203.0.113.1").get("/ready").status_code == 403
        behind = APIClient(REMOTE_ADDR="198.51.100.1", HTTP_X_FORWARDED_FOR="192.0.2.100")
        assert behind.get("/api/v1/schema").status_code == 200
        set_env(monkeypatch, trusted_proxies="198.51.100.1")
        assert behind.get("/api/v1/schema").status_code == 403
        forged = APIClient(REMOTE_ADDR="198.51.100.1", HTTP_X_FORWARDED_FOR="192.0.2.100, 203.0.113.1")
        assert forged.get("/api/v1/schema").status_code == 200

    def test_it_ends_by_itself(self, blocked, monkeypatch):
        BlockedAddress.objects.all().delete()
        BlockedAddress.objects.create(network="192.0.2.100", expires_at=timezone.now() + timedelta(seconds=60))
        assert blocked.get("/ready").status_code == 403
        import time

        later = time.time() + 61
        monkeypatch.setattr("security.blocklist.time.time", lambda: later)
        assert blocked.get("/api/v1/schema").status_code == 200

    def test_what_was_refused_is_counted(self, blocked, client_with):
        from security.blocklist import write_down

        for _ in range(3):
            blocked.get("/api/v1/users")
        write_down(at_once=True)
        row = client_with("read").get(BLOCKS).json()["blocked_ips"][0]
        assert row["hits"] == 3
        assert row["last_seen"].endswith("Z")


def test_how_wide_a_block_may_be_is_a_setting(api, monkeypatch):
    set_env(monkeypatch, block_prefix_v4=24, block_prefix_v6=64)
    for network in ("203.0.112.0/23", "2001:db8::/63"):
        assert api.post(BLOCK, {"ip_address": network}, format="json").status_code == 400
    for network in ("203.0.113.0/24", "2001:db8::/64"):
        assert api.post(BLOCK, {"ip_address": network}, format="json").status_code == 201
    for wrong in ({"block_prefix_v4": 33}, {"block_prefix_v6": 129}):
        with pytest.raises(env.SettingError, match="A3MAILER_BLOCK_PREFIX"):
            env.Env(**wrong)
