"""API keys: what bounds them, who may make which, when they end, and that their secrets are nowhere."""

import dataclasses
import io
import json
import os
import subprocess
import sys
import threading
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone
from rest_framework.test import APIClient

from a3mailer_site import env
from a3mailer_site.models import Generation
from accounts import authentication
from accounts.key_bounds import check_domains_within, check_networks_within, covers, networks
from accounts.models import ApiKey
from domains.models import Domain
from security.models import AuditEntry

pytestmark = pytest.mark.django_db
NEW = {"name": "x", "permissions": ["read"]}


@pytest.fixture(autouse=True)
def _nothing_told():
    authentication._told_outside.clear()


@pytest.fixture
def setting(monkeypatch):
    def change(**fields):
        monkeypatch.setattr(env, "_current", dataclasses.replace(env.current(), **fields))

    return change


def bearer(secret, address="127.0.0.1", **headers):
    return APIClient(HTTP_AUTHORIZATION=f"Bearer {secret}", REMOTE_ADDR=address, **headers)


def issue(*permissions, **bounds):
    return ApiKey.issue("test", list(permissions), **bounds)


class TestNetworks:
    """A key may be bound to addresses."""

    @pytest.mark.parametrize(
        ("allowed", "address", "status"),
        [
            (["192.0.2.0/24"], "192.0.3.1", 401),
            (["192.0.2.0/24"], "127.0.0.1", 401),
            (["192.0.2.0/24"], "2001:db8::1", 401),
            (["2001:db8::/32"], "192.0.2.1", 401),
            (["192.0.2.0/24"], "192.0.2.255", 200),
            (["192.0.2.0/24"], "::ffff:192.0.2.9", 200),
            (["2001:db8::/32", "192.0.2.7/32"], "192.0.2.7", 200),
            (["2001:db8::/32", "192.0.2.7/32"], "2001:db8:5::1", 200),
            (None, "203.0.113.9", 200),
        ],
    )
    def test_it_holds_there_and_nowhere_else(self, allowed, address, status):
        _key, secret = issue("read", allowed_networks=allowed)
        response = bearer(secret, address).get("/api/v1/users", secure=True)
        assert response.status_code == status, response.content

    def test_outside_it_is_refused_in_the_words_for_a_key_that_is_none(self):
        _key, secret = issue("read", allowed_networks=["192.0.2.0/24"])
        said = [bearer(text).get("/api/v1/users").json()["error"] for text in (secret, "sk_live_wrong")]
        for error in said:
            del error["timestamp"], error["request_id"]
        assert said[0] == said[1]
        assert said[0]["code"] == "UNAUTHORIZED"

    def test_the_address_is_the_one_behind_a_configured_proxy(self, setting):
        setting(trusted_proxies="127.0.0.1")
        _key, secret = issue("read", allowed_networks=["192.0.2.0/24"])
        for hops, status in (("192.0.2.9", 200), ("203.0.113.1", 401), ("192.0.2.9, 203.0.113.1", 401)):
            client = bearer(secret, HTTP_X_FORWARDED_FOR=hops)
            assert client.get("/api/v1/users", secure=True).status_code == status

    def test_it_is_written_down_once_a_minute_and_never_with_the_secret(self, client):
        key, secret = issue("read", allowed_networks=["192.0.2.0/24"])
        for _ in range(3):
            bearer(secret, "203.0.113.9").get("/api/v1/users", secure=True)
        entry = AuditEntry.objects.get()
        assert (entry.action, entry.outcome, entry.severity) == ("api_key_outside_network", "failure", "warning")
        assert (entry.source_ip, entry.metadata["target"]) == ("203.0.113.9", f"key_{key.pk}")
        assert secret not in json.dumps(list(AuditEntry.objects.values()), default=str)
        authentication._told_outside.clear()  # a minute later
        bearer(secret, "203.0.113.9").get("/api/v1/users", secure=True)
        assert AuditEntry.objects.count() == 2

    def test_a_key_in_the_wrong_place_was_not_used(self):
        _key, secret = issue("read", allowed_networks=["192.0.2.0/24"])
        bearer(secret).get("/api/v1/users")
        assert ApiKey.objects.get().last_used_at is None

    @pytest.mark.parametrize(
        "value",
        [
            [],
            "192.0.2.1",
            [7],
            [None],
            ["192.0.2.1/24"],
            ["192.0.2.256"],
            ["example.com"],
            ["fe80::1%eth0"],
            ["192.0.2.0/33"],
            ["1" * 61],
            ["192.0.2.1"] * 101,
            {"a": 1},
            True,
        ],
    )
    def test_what_is_no_list_of_networks_is_refused(self, admin_api, value):
        response = admin_api.post("/api/v1/auth/keys", {**NEW, "allowed_networks": value})
        assert response.status_code == 400, response.content
        assert any(name.startswith("allowed_networks") for name in response.json()["error"]["fields"])
        assert ApiKey.objects.count() == 1

    def test_they_have_one_form(self, admin_api):
        given = ["192.0.2.7", "2001:DB8::/32", "::ffff:198.51.100.0/120", "192.0.2.7/32"]
        made = admin_api.post("/api/v1/auth/keys", {**NEW, "allowed_networks": given}).json()
        assert made["allowed_networks"] == ["192.0.2.7/32", "2001:db8::/32", "198.51.100.0/24"]


class TestDomains:
    """A key may be bound to domains."""

    @pytest.mark.parametrize("value", [[], "example.com", [7], ["elsewhere.example"], ["a b"], [""], True, ["x" * 254]])
    def test_what_is_no_list_of_domains_of_ours_is_refused(self, admin_api, domain, value):
        response = admin_api.post("/api/v1/auth/keys", {**NEW, "domains": value})
        assert response.status_code == 400, response.content
        assert any(name.startswith("domains") for name in response.json()["error"]["fields"])

    def test_they_are_kept_as_a_labels_and_shown_to_be_read(self, admin_api):
        Domain.objects.create(name="b\u00fccher.example")
        made = admin_api.post("/api/v1/auth/keys", {**NEW, "domains": ["B\u00dcCHER.example."]}).json()
        assert made["domains"] == ["b\u00fccher.example"]
        assert ApiKey.objects.get(name="x").domains == ["xn--bcher-kva.example"]

    def test_a_domain_that_goes_leaves_no_key_for_all(self, domain):
        _key, secret = issue("read", domains=["example.com"])
        assert bearer(secret).get("/api/v1/server/info").status_code == 403
        domain.delete()
        assert ApiKey.objects.get().domains == ["example.com"]
        assert bearer(secret).get("/api/v1/server/info").status_code == 403

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("get", "/api/v1/auth/keys"),
            ("post", "/api/v1/auth/keys"),
            ("get", "/api/v1/auth/keys/key_1"),
            ("delete", "/api/v1/auth/keys/key_1"),
        ],
    )
    def test_such_a_key_touches_no_keys_whatever_its_permissions(self, domain, method, path):
        _key, secret = issue("admin", domains=["example.com"])
        response = getattr(bearer(secret), method)(path, {**NEW, "domains": ["example.com"]}, format="json")
        assert response.status_code == 403
        assert ApiKey.objects.count() == 1


class TestNoWiderThanItsMaker:
    """A key makes no key that may do more than itself."""

    @pytest.mark.parametrize("words", [["admin"], ["read", "admin"], ["write"]])
    def test_no_more_permissions(self, client_with, words):
        response = client_with("write").post("/api/v1/auth/keys", {**NEW, "permissions": words})
        assert response.status_code == 403

    @pytest.mark.parametrize("wanted", [None, ["0.0.0.0/0"], ["127.0.0.1", "192.0.2.1"], ["127.0.0.0/7"], ["::/0"]])
    def test_not_from_more_places(self, wanted):
        _key, secret = issue("admin", allowed_networks=["127.0.0.0/8"])
        response = bearer(secret).post("/api/v1/auth/keys", {**NEW, "allowed_networks": wanted}, format="json")
        assert response.status_code == 400, response.content
        assert "allowed_networks" in response.json()["error"]["fields"]
        assert ApiKey.objects.count() == 1

    def test_what_is_left_out_is_as_with_its_maker(self):
        _key, secret = issue("admin", allowed_networks=["127.0.0.0/8"])
        made = bearer(secret).post("/api/v1/auth/keys", NEW, format="json")
        assert made.status_code == 201, made.content
        assert made.json()["allowed_networks"] == ["127.0.0.0/8"]
        narrower = bearer(secret).post("/api/v1/auth/keys", {**NEW, "allowed_networks": ["127.0.0.1"]}, format="json")
        assert narrower.json()["allowed_networks"] == ["127.0.0.1/32"]

    def test_the_rules_themselves(self):
        from django.core.exceptions import ValidationError

        check_networks_within(["192.0.2.7/32"], ["198.51.100.0/24", "192.0.2.0/24"])
        check_networks_within(None, None)
        check_domains_within(["a.example"], ["a.example", "b.example"])
        check_domains_within(None, None)
        for wanted, makers in (
            (None, ["a.example"]),
            (["c.example"], ["a.example"]),
            (["a.example", "c"], ["a.example"]),
        ):
            with pytest.raises(ValidationError):
                check_domains_within(wanted, makers)
        assert not covers(["192.0.2.0/24"], "::/0")
        assert networks(["192.0.2.1"]) == ["192.0.2.1/32"]


class TestEnd:
    """Keys end: by their time, by a cap, by revocation."""

    @pytest.mark.parametrize("days", [None, 31])
    def test_with_a_cap_a_key_needs_an_end_within_it(self, admin_api, setting, days):
        setting(api_key_max_days=30)
        end = None if days is None else (timezone.now() + timedelta(days=days)).isoformat()
        for body in ({**NEW, "expires_at": end}, NEW):
            response = admin_api.post("/api/v1/auth/keys", body)
            assert response.status_code == 400, response.content
            assert "expires_at" in response.json()["error"]["fields"]
        end = (timezone.now() + timedelta(days=29)).isoformat()
        assert admin_api.post("/api/v1/auth/keys", {**NEW, "expires_at": end}).status_code == 201

    def test_the_cap_holds_for_the_command_line_too(self, setting):
        setting(api_key_max_days=30)
        with pytest.raises(CommandError, match="30 days"):
            call_command("createapikey", "x")
        call_command("quickstart", "--json", stdout=io.StringIO())
        assert ApiKey.objects.get().expires_at <= timezone.now() + timedelta(days=30)

    def test_a_cap_of_more_years_than_there_are_is_none(self, admin_api, setting):
        setting(api_key_max_days=10**12)
        assert admin_api.post("/api/v1/auth/keys", NEW).status_code == 201

    def test_a_key_may_revoke_itself(self):
        key, secret = issue("admin")
        assert bearer(secret).delete(f"/api/v1/auth/keys/key_{key.pk}").status_code == 204
        assert bearer(secret).get("/api/v1/users").status_code == 401
        entry = AuditEntry.objects.get(action="api_key_revoked")
        assert entry.metadata["target"] == entry.metadata["key_id"] == f"key_{key.pk}"

    def test_the_end_comes_by_itself_to_a_key_that_is_remembered(self, monkeypatch):
        _key, secret = issue("read", expires_at=timezone.now() + timedelta(hours=1))
        assert bearer(secret).get("/api/v1/users").status_code == 200
        later = timezone.now() + timedelta(hours=2)
        monkeypatch.setattr(authentication.timezone, "now", lambda: later)
        assert bearer(secret).get("/api/v1/users").status_code == 401

    def test_a_revocation_by_another_process_holds_at_once(self):
        """Another process tells this one nothing: the generation in the database is all that moves."""
        _key, secret = issue("read")
        client = bearer(secret)
        assert client.get("/api/v1/users").status_code == 200
        with connection.cursor() as cursor:
            cursor.execute("UPDATE accounts_apikey SET revoked_at = created_at")
            cursor.execute("UPDATE site_floor_generation SET value = value + 1 WHERE name = 'api_keys'")
        assert client.get("/api/v1/users").status_code == 401

    def test_an_owner_who_loses_power_takes_it_from_the_keys(self, make_user):
        root = make_user("root@example.com", is_staff=True, is_superuser=True)
        _key, secret = issue("admin", owner=root)
        assert bearer(secret).get("/api/v1/auth/keys").status_code == 200
        root.is_superuser = False
        root.save()
        assert bearer(secret).get("/api/v1/auth/keys").status_code == 403

    def test_a_disabled_domain_stops_the_keys_of_its_users(self, make_user, domain):
        _key, secret = issue("read", owner=make_user("bob@example.com"))
        assert bearer(secret).get("/api/v1/users").status_code == 200
        domain.enabled = False
        domain.save()
        assert bearer(secret).get("/api/v1/users").status_code == 401


class TestCost:
    """A request with a key that is known costs one small query before the view's own."""

    def test_a_known_key_costs_one_query(self, django_assert_num_queries):
        _key, secret = issue("read")
        client = bearer(secret)
        client.get("/api/v1/aliases")
        with django_assert_num_queries(2):  # the generations, and the view's count of nothing
            assert client.get("/api/v1/aliases").status_code == 200

    def test_making_and_revoking_keys_forgets_them(self):
        before = Generation.objects.standing("api_keys")
        key, _secret = issue("read")
        made = Generation.objects.standing("api_keys")
        ApiKey.objects.filter(pk=key.pk).revoke(timezone.now())
        assert before != made != Generation.objects.standing("api_keys")

    def test_using_a_key_makes_nobody_forget(self):
        _key, secret = issue("read")
        standing = Generation.objects.standing("api_keys")
        bearer(secret).get("/api/v1/users")
        assert ApiKey.objects.get().last_used_at is not None
        assert Generation.objects.standing("api_keys") == standing

    def test_use_is_written_again_after_a_minute(self, monkeypatch):
        _key, secret = issue("read")
        bearer(secret).get("/api/v1/users")
        first = ApiKey.objects.get().last_used_at
        later = first + timedelta(seconds=61)
        monkeypatch.setattr(authentication.timezone, "now", lambda: later)
        bearer(secret).get("/api/v1/users")
        assert ApiKey.objects.get().last_used_at == later


class TestSecrets:
    """The secret is in one answer, once."""

    def test_it_is_nowhere_else(self, admin_api, caplog):
        made = admin_api.post("/api/v1/auth/keys", NEW, HTTP_IDEMPOTENCY_KEY="once").json()
        secret = made["api_key"]
        bearer(secret).get("/api/v1/users")
        bearer(secret).get("/api/v1/nothing")
        shown = (
            admin_api.get("/api/v1/auth/keys").content + admin_api.get(f"/api/v1/auth/keys/{made['key_id']}").content
        )
        assert secret.encode() not in shown
        assert secret not in caplog.text
        tables = connection.introspection.table_names()
        for table in tables:
            with connection.cursor() as cursor:
                cursor.execute(f'SELECT * FROM "{table}"')
                assert secret not in str(cursor.fetchall()), table

    def test_the_object_has_the_references_fields_and_ours(self, admin_api):
        made = admin_api.post("/api/v1/auth/keys", NEW)
        shown = admin_api.get(made["Location"])
        assert shown.status_code == 200
        listed = admin_api.get("/api/v1/auth/keys").json()
        assert listed["keys"][1] == shown.json()
        expected = dict(made.json())
        del expected["api_key"]
        assert shown.json() == {**expected, "last_used_at": None}

    @pytest.mark.parametrize("key_id", ["key_0", "key_x", "user_1", "1", "key_99999999999999999999", "key_999"])
    def test_what_is_no_key_is_404(self, admin_api, key_id):
        assert admin_api.get(f"/api/v1/auth/keys/{key_id}").status_code == 404
        assert admin_api.delete(f"/api/v1/auth/keys/{key_id}").status_code == 404


class TestCookies:
    """A request with a key never falls back on a session, and a session never does without its token."""

    @pytest.mark.parametrize("header", ["Bearer", "Bearer sk_live_wrong", "bearer x", "BEARER sk_live_x y"])
    def test_a_bad_key_beside_a_good_session_is_401(self, make_user, header):
        make_user("root@example.com", is_staff=True, is_superuser=True)
        client = APIClient()
        assert client.login(username="root@example.com", password="correct horse battery")
        assert client.get("/api/v1/users").status_code == 200
        assert client.get("/api/v1/users", HTTP_AUTHORIZATION=header).status_code == 401

    def test_a_weak_key_beside_a_powerful_session_stays_weak(self, make_user):
        make_user("root@example.com", is_staff=True, is_superuser=True)
        _key, secret = issue("read")
        client = APIClient()
        client.login(username="root@example.com", password="correct horse battery")
        assert client.post("/api/v1/auth/keys", NEW, HTTP_AUTHORIZATION=f"Bearer {secret}").status_code == 403


def test_createapikey_takes_bounds_and_refuses_what_is_none(domain, capsys):
    arguments = [
        "createapikey",
        "shop",
        "--networks",
        "192.0.2.0/24, 2001:db8::1",
        "--domains",
        "Example.COM",
        "--json",
    ]
    call_command(*arguments)
    made = json.loads(capsys.readouterr().out)
    assert made["allowed_networks"] == ["192.0.2.0/24", "2001:db8::1/128"]
    assert made["domains"] == ["example.com"]
    assert ApiKey.objects.get().domains == ["example.com"]
    for option, value in (
        ("--networks", "here"),
        ("--networks", ""),
        ("--domains", "elsewhere.example"),
        ("--domains", ""),
    ):
        with pytest.raises(CommandError, match=r"^createapikey: "):
            call_command("createapikey", "x", option, value)
    assert ApiKey.objects.count() == 1


def test_pages_of_other_hosts_get_nothing(client_with):
    for method in ("get", "options"):
        answer = getattr(client_with("read"), method)(
            "/api/v1/users", HTTP_ORIGIN="https://evil.example", HTTP_ACCESS_CONTROL_REQUEST_METHOD="GET"
        )
        assert not [name for name in answer.headers if name.lower().startswith("access-control-")]


@pytest.mark.parametrize(("profile", "seconds"), [("production", "31536000"), ("development", "0")])
def test_in_production_browsers_are_told_to_stay_with_https(client_with, settings, profile, seconds, tmp_path):
    show = "from a3mailer_site import settings as s; print(s.SECURE_HSTS_SECONDS, s.SESSION_COOKIE_SECURE)"
    environment = {**os.environ, "A3MAILER_PROFILE": profile, "A3MAILER_DATA_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", show], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [seconds, str(profile == "production")]
    settings.SECURE_HSTS_SECONDS = int(seconds)
    answer = client_with("read").get("/api/v1/users", secure=True)
    expected = f"max-age={seconds}" if int(seconds) else None
    assert answer.headers.get("Strict-Transport-Security") == expected
    assert "Strict-Transport-Security" not in client_with("read").get("/api/v1/users")


@pytest.mark.django_db(transaction=True)
def test_two_who_revoke_one_key_get_one_204():
    key, _secret = issue("read")
    _key, secret = issue("admin")
    together, answers = threading.Barrier(2), []

    def revoke():
        client = bearer(secret)
        client.get("/api/v1/users")
        together.wait(10)
        try:
            answers.append(client.delete(f"/api/v1/auth/keys/key_{key.pk}").status_code)
        finally:
            connection.close()

    threads = [threading.Thread(target=revoke) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [204, 404]
    assert AuditEntry.objects.filter(action="api_key_revoked").count() == 1
