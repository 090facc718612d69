"""The overview and the checks over HTTP: every figure is what happened, and none is made up."""

from datetime import timedelta

import pytest
from django.utils import timezone

from security import tallies
from security.models import AuditEntry, BlockedAddress, LoginFailure, PostureResult, Tally
from security.overview import attacks
from security.posture import scan

pytestmark = pytest.mark.django_db

OVERVIEW, CHECKS = "/api/v1/security/overview", "/api/v1/security/checks"
FIELDS = {
    "security_score",
    "threat_level",
    "active_threats",
    "blocked_ips",
    "failed_auth_attempts",
    "rate_limit_violations",
    "last_security_scan",
    "security_events",
}


@pytest.fixture
def api(client_with):
    return client_with("read")


def fail(count, address="192.0.2.1", minutes=1):
    at = timezone.now() - timedelta(minutes=minutes)
    LoginFailure.objects.bulk_create(
        LoginFailure(address=address, login="x", protocol="imap", at=at) for _ in range(count)
    )


@pytest.mark.parametrize("path", [OVERVIEW, CHECKS])
def test_who_may_read(client_with, path):
    for permissions, status in (((), 401), (("read",), 200), (("write",), 200)):
        assert client_with(*permissions).get(path).status_code == status
    assert client_with("admin").post(path, {}, format="json").status_code == 405


@pytest.mark.parametrize("query", ["?explain=2", "?explain=x"])
def test_a_switch_is_on_or_off(api, query):
    assert api.get(OVERVIEW + query).status_code == 400


@pytest.mark.parametrize("query", ["?page=0", "?limit=0", "?limit=501", "?page=x"])
def test_pages_of_checks_are_numbers(api, query):
    assert api.get(CHECKS + query).status_code == 400


def test_nothing_has_happened_and_nothing_was_checked(api):
    body = api.get(OVERVIEW).json()
    assert set(body) == {*FIELDS, "window"}
    assert {name: body[name] for name in FIELDS} == {
        "security_score": None,
        "threat_level": "low",
        "active_threats": 0,
        "blocked_ips": 0,
        "failed_auth_attempts": 0,
        "rate_limit_violations": 0,
        "last_security_scan": None,
        "security_events": {"last_24h": 0, "last_7d": 0, "last_30d": 0},
    }
    assert body["window"] == {
        "threat_level": 3600,
        "active_threats": 3600,
        "failed_auth_attempts": 86400,
        "rate_limit_violations": 86400,
    }


def test_every_figure_is_what_happened(api):
    now = timezone.now()
    for days, severity in (
        (0.5, "warning"),
        (0.9, "info"),
        (2, "error"),
        (6, "critical"),
        (29, "warning"),
        (31, "error"),
    ):
        row = AuditEntry.objects.create(event_type="system", action="x", severity=severity)
        AuditEntry.objects.filter(pk=row.pk).update(at=now - timedelta(days=days))
    fail(12, "192.0.2.1")
    fail(10, "192.0.2.2")
    fail(9, "192.0.2.3")
    fail(30, "192.0.2.4", minutes=61)
    fail(5, "192.0.2.5", minutes=25 * 60)
    BlockedAddress.objects.create(network="192.0.2.2")
    BlockedAddress.objects.create(network="198.51.100.0/24", expires_at=now + timedelta(hours=1))
    BlockedAddress.objects.create(network="198.51.100.1", expires_at=now - timedelta(hours=1))
    Tally.objects.create(minute=now - timedelta(hours=23), kind="per_ip", count=5)
    Tally.objects.create(minute=now - timedelta(hours=25), kind="per_ip", count=50)
    Tally.objects.create(minute=now - timedelta(hours=1), kind="costly", count=2)
    Tally.objects.create(minute=now - timedelta(hours=1), kind="api_login", count=7)
    tallies.count(Tally.Kind.GLOBAL)
    PostureResult.objects.create(check_id="open_relay", status="pass", ran_at=now)
    PostureResult.objects.create(check_id="tls_certificate", status="fail", ran_at=now)
    PostureResult.objects.create(check_id="migrations", status="unknown", ran_at=now)
    body = api.get(OVERVIEW).json()
    assert body["security_events"] == {"last_24h": 1, "last_7d": 3, "last_30d": 4}
    assert body["active_threats"] == 1
    assert body["threat_level"] == "medium"
    assert body["blocked_ips"] == 2
    assert body["failed_auth_attempts"] == 12 + 10 + 9 + 30 + 7
    assert body["rate_limit_violations"] == 5 + 2 + 1
    assert body["security_score"] == 0.625
    assert body["last_security_scan"] == now.strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.parametrize(
    ("failures", "level"),
    [
        ({}, "low"),
        ({"192.0.2.1": 9}, "low"),
        ({"192.0.2.1": 10}, "medium"),
        ({f"192.0.2.{n}": 9 for n in range(6)}, "medium"),
        ({f"192.0.2.{n}": 10 for n in range(3)}, "high"),
        ({"192.0.2.1": 200}, "high"),
        ({f"192.0.2.{n}": 10 for n in range(10)}, "critical"),
        ({"192.0.2.1": 1000}, "critical"),
    ],
)
def test_the_threat_level_rises(failures, level):
    for address, count in failures.items():
        fail(count, address)
    assert attacks(timezone.now()).level == level


def test_blocking_the_attackers_lowers_it_again_and_the_score_stays(api):
    for n in range(4):
        fail(10, f"192.0.2.{n}")
    scan_result = PostureResult.objects.create(check_id="open_relay", status="pass", ran_at=timezone.now())
    before = api.get(OVERVIEW).json()
    assert (before["threat_level"], before["active_threats"]) == ("high", 4)
    BlockedAddress.objects.create(network="192.0.2.0/24")
    after = api.get(OVERVIEW).json()
    assert (after["threat_level"], after["active_threats"]) == ("medium", 0)
    assert after["security_score"] == before["security_score"] == 1.0
    scan_result.delete()


def test_explain_says_of_each_figure_where_it_comes_from(api):
    body = api.get(f"{OVERVIEW}?explain=1").json()
    flat = FIELDS - {"security_events"} | {f"security_events.last_{n}" for n in ("24h", "7d", "30d")}
    assert set(body["explain"]) == flat
    assert all(one["source"] for one in body["explain"].values())
    assert body["explain"]["failed_auth_attempts"]["window_seconds"] == 86400
    assert body["explain"]["threat_level"]["source"].endswith("medium from 50 or 3 or 1")


def test_it_costs_the_same_queries_however_much_there_is(api, django_assert_max_num_queries):
    api.get(OVERVIEW)
    for n in range(50):
        fail(11, f"192.0.2.{n}")
        BlockedAddress.objects.create(network=f"198.51.100.{n}")
    api.get(OVERVIEW)
    with django_assert_max_num_queries(16):
        api.get(OVERVIEW)


def test_the_checks_are_listed_with_what_to_do(api, monkeypatch):
    import dataclasses

    from a3mailer_site import env

    monkeypatch.setattr(env, "_current", dataclasses.replace(env.current(), smtp_listen="off"))
    listed = api.get(CHECKS).json()
    assert {one["status"] for one in listed["checks"]} == {"unknown"}
    assert {one["checked_at"] for one in listed["checks"]} == {None}
    scan()
    body = api.get(CHECKS, HTTP_ACCEPT_LANGUAGE="en").json()
    assert set(body) == {"checks", "total", "page", "limit", "security_score"}
    assert body["total"] == len(body["checks"]) >= 14
    cookies = next(one for one in body["checks"] if one["id"] == "secure_cookies")
    assert cookies["status"] == "fail"
    assert "HTTPS" in cookies["advice"]
    assert body["security_score"] == api.get(OVERVIEW).json()["security_score"] is not None
    page = api.get(f"{CHECKS}?page=2&limit=5").json()
    assert page["checks"] == body["checks"][5:10] or [one["id"] for one in page["checks"]] == [
        one["id"] for one in body["checks"][5:10]
    ]


def test_no_check_runs_inside_a_request(api, monkeypatch):
    from security import posture

    monkeypatch.setattr(posture, "_run", lambda one: pytest.fail("a check ran"))
    api.get(CHECKS)
    api.get(OVERVIEW)
