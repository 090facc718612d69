"""The audit log over HTTP: what can be asked, what is answered, and that reading it is written down."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from a3mailer_site import env
from accounts.passwords import verify
from security.audit import record
from security.models import AuditEntry
from security.sealing import seal

pytestmark = pytest.mark.django_db

LOGS = "/api/v1/security/audit-logs"
FIELDS = {
    "id",
    "timestamp",
    "event_type",
    "severity",
    "outcome",
    "source_ip",
    "user_id",
    "action",
    "description",
    "metadata",
}


@pytest.fixture
def api(client_with):
    return client_with("read")


def entry(at=None, **fields):
    made = AuditEntry.objects.create(**{"event_type": "system", "action": "x", **fields})
    if at is not None:
        AuditEntry.objects.filter(pk=made.pk).update(at=at)
    return made.pk


def ids(api, **query):
    answer = api.get(LOGS, query)
    assert answer.status_code == 200, answer.content
    body = answer.json()
    assert body["total"] == len(body["logs"])
    return [int(row["id"].removeprefix("audit_")) for row in body["logs"]]


def test_who_may_read(client_with, monkeypatch):
    for permissions, status in (((), 401), (("read",), 200), (("write",), 200), (("admin",), 200)):
        assert client_with(*permissions).get(LOGS).status_code == status
    import dataclasses

    monkeypatch.setattr(env, "_current", dataclasses.replace(env.current(), strict_permissions=True))
    assert client_with("write").get(LOGS).status_code == 403
    assert client_with("admin").get(LOGS).status_code == 200


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_nothing_of_it_can_be_changed_over_the_api(client_with, method):
    assert getattr(client_with("admin"), method)(LOGS, {}, format="json").status_code == 405


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("start_date", "yesterday"),
        ("start_date", "2024-13-01"),
        ("start_date", "2024-02-30"),
        ("start_date", "2024-1-1"),
        ("start_date", "0000-01-01"),
        ("start_date", "2024-01-01T25:00:00Z"),
        ("start_date", "2024-01-01T10:00:00+99:00"),
        ("start_date", "2024-01-01\n"),
        ("start_date", "2024-01-01\0"),
        ("start_date", "1704067200"),
        ("start_date", "\u0662\u0660\u0662\u0664-01-01"),
        ("end_date", "9999-12-31"),
        ("end_date", "9999-12-31T23:59:59Z"),
        ("end_date", "0001-01-01T00:00:00+23:59"),
        ("end_date", "x" * 5000),
        ("event_type", "authentification"),
        ("event_type", "AUTHENTICATION"),
        ("severity", "bad"),
        ("outcome", "maybe"),
        ("user_id", "user 1"),
        ("user_id", "x" * 41),
        ("user_id", "a\0b"),
        ("source_ip", "192.0.2"),
        ("source_ip", "192.0.2.0/24"),
        ("source_ip", "1" * 5000),
        ("action", "'; DROP TABLE"),
        ("limit", "0"),
        ("limit", "501"),
        ("limit", "x"),
        ("limit", "1" * 30),
        ("page", "0"),
        ("page", "-1"),
        ("page", "10000000"),
    ],
)
def test_what_cannot_be_asked_is_refused_by_name(api, name, text):
    answer = api.get(LOGS, {name: text})
    assert answer.status_code == 400, answer.content
    assert list(answer.json()["error"]["fields"]) == [name]


def test_the_references_example_with_a_login_that_really_failed(api, make_user):
    john = make_user("john.doe@example.com", username="john.doe")
    assert verify("john.doe", "wrong", "192.0.2.100", "imap") is None
    today = timezone.now().strftime("%Y-%m-%d")
    query = f"?start_date={today}&end_date={today}&event_type=authentication&limit=100"
    body = api.get(LOGS + query, HTTP_ACCEPT_LANGUAGE="en").json()
    assert (body["total"], body["page"], body["limit"]) == (1, 1, 100)
    (row,) = body["logs"]
    assert set(row) == {*FIELDS, "sealed", "seq", "request_id"}
    assert row["id"] == f"audit_{AuditEntry.objects.get(action='login_failed').pk}"
    assert (row["event_type"], row["severity"], row["outcome"]) == ("authentication", "warning", "failure")
    assert (row["source_ip"], row["user_id"], row["action"]) == ("192.0.2.100", f"user_{john.pk}", "login_failed")
    assert row["description"] == "Failed login attempt for user john.doe"
    assert row["metadata"] == {"login": "john.doe", "protocol": "imap", "method": "password"}
    assert (row["sealed"], row["seq"]) == (False, None)
    assert datetime.strptime(row["timestamp"], "%Y-%m-%dT%H:%M:%SZ")  # noqa: DTZ007
    seal()
    (row,) = api.get(LOGS + query).json()["logs"]
    assert (row["sealed"], row["seq"]) == (True, 1)


def test_a_login_of_nobody_has_no_user(api):
    verify("nobody", "wrong", "192.0.2.100", "imap")
    (row,) = api.get(f"{LOGS}?action=login_failed").json()["logs"]
    assert row["user_id"] is None


def test_an_entry_of_the_server_has_no_address(api):
    entry()
    (row,) = api.get(f"{LOGS}?action=x").json()["logs"]
    assert (row["source_ip"], row["user_id"], row["request_id"]) == (None, None, "")


def test_the_description_follows_the_language_and_nothing_else_does(api):
    record("login_failed", AuditEntry.EventType.AUTHENTICATION, metadata={"login": "a"})
    query = f"{LOGS}?action=login_failed"
    english = api.get(query, HTTP_ACCEPT_LANGUAGE="en").json()["logs"][0]
    chinese = api.get(query, HTTP_ACCEPT_LANGUAGE="zh-CN").json()["logs"][0]
    assert {name: english[name] for name in english if name != "description"} == {
        name: chinese[name] for name in chinese if name != "description"
    }


class TestDates:
    """UTC; a day belongs to the range whole, and so does the second that a time names."""

    @pytest.fixture
    def days(self):
        return {
            text: entry(datetime.fromisoformat(text).replace(tzinfo=UTC))
            for text in (
                "2024-01-14T23:59:59.999999",
                "2024-01-15T00:00:00",
                "2024-01-15T10:30:00.400000",
                "2024-01-15T23:59:59.999999",
                "2024-01-16T00:00:00",
            )
        }

    @pytest.mark.parametrize(
        ("start", "end", "found"),
        [
            ("2024-01-15", "2024-01-15", [1, 2, 3]),
            ("2024-01-15", "", [1, 2, 3, 4]),
            ("", "2024-01-14", [0]),
            ("2024-01-16", "2024-01-15", []),
            ("2024-01-15T10:30:00Z", "2024-01-15T10:30:00Z", [2]),
            ("2024-01-15T10:30:01Z", "2024-01-15", [3]),
            ("2024-01-15T10:30:00.4Z", "2024-01-15T10:30:00.4Z", [2]),
            ("2024-01-15T10:30:00.4Z", "2024-01-15T10:30:00.399999Z", []),
            ("2024-01-15T18:30:00+08:00", "2024-01-15T18:30:00+08:00", [2]),
            ("2024-01-15T18:30:00 08:00", "2024-01-15T18:30:00+0800", [2]),
            ("2024-01-15t10:30", "2024-01-15 10:30:00", [2]),
            ("0001-01-01", "9998-12-31", [0, 1, 2, 3, 4]),
        ],
    )
    def test_what_lies_between(self, api, days, start, end, found):
        all_ids = list(days.values())
        expected = [all_ids[n] for n in reversed(found)]
        assert ids(api, start_date=start, end_date=end, action="x") == expected


def test_every_filter_narrows_and_they_go_together(api):
    now = timezone.now()
    one = entry(now, event_type="network", severity="error", outcome="failure", user_id="user_1", action="a")
    two = entry(now, event_type="network", source_ip="192.0.2.1", user_id="user_1", action="b")
    three = entry(now, event_type="email", source_ip="2001:db8::1", outcome="unknown", action="b")
    assert ids(api, event_type="network") == [two, one]
    assert ids(api, severity="error") == [one]
    assert ids(api, outcome="unknown") == [three]
    assert ids(api, user_id="user_1", action="b") == [two]
    assert ids(api, source_ip="::ffff:192.0.2.1") == [two]
    assert ids(api, source_ip="2001:0db8:0::1") == [three]
    assert ids(api, action="b") == [three, two]
    assert ids(api, action="b", event_type="network", user_id="user_2") == []


def test_pages_are_full_newest_first_and_a_page_past_the_end_is_empty(api, django_assert_max_num_queries):
    for n in range(120):
        entry(action=f"a{n}", event_type="email")
    api.get(LOGS)  # which is written down, once
    with django_assert_max_num_queries(8):
        first = api.get(f"{LOGS}?event_type=email").json()
    assert (len(first["logs"]), first["total"], first["limit"]) == (100, 120, 100)
    assert [row["action"] for row in first["logs"][:2]] == ["a119", "a118"]
    second = api.get(f"{LOGS}?event_type=email&page=2").json()
    assert [row["action"] for row in second["logs"]] == [f"a{n}" for n in range(19, -1, -1)]
    past = api.get(f"{LOGS}?event_type=email&page=9").json()
    assert (past["logs"], past["total"], past["page"]) == ([], 120, 9)


def test_reading_is_written_down_once_a_minute_for_each_reader(client_with):
    one, other = client_with("read"), client_with("read")
    assert one.get(f"{LOGS}?event_type=email").json()["total"] == 0
    for _ in range(5):
        one.get(LOGS)
    other.get(LOGS)
    first, second = AuditEntry.objects.filter(action="audit_log_read").order_by("id")
    assert first.event_type == "data_access"
    assert first.metadata["filters"] == {"event_type": "email"}
    assert first.metadata["key_id"] != second.metadata["key_id"]
    assert first.request_id
    # A refusal is no reading.
    client_with("read").get(f"{LOGS}?limit=0")
    assert AuditEntry.objects.filter(action="audit_log_read").count() == 2


def test_hostile_text_in_the_log_is_data(api):
    nasty = {"<script>": "alert(1)", "a": "\u202e", "deep": [[[["x"]]]]}
    record("login_failed", AuditEntry.EventType.AUTHENTICATION, metadata={"login": "<b>%s", **nasty})
    (row,) = api.get(f"{LOGS}?action=login_failed", HTTP_ACCEPT_LANGUAGE="en").json()["logs"]
    assert row["metadata"]["<script>"] == "alert(1)"
    assert row["description"] == "Failed login attempt for user <b>%s"


def test_the_indexes_are_used(api):
    """A page and its total come from an index, whatever is asked: the table has a million rows some day."""
    from django.db import connection

    if connection.vendor != "sqlite":
        return
    now = timezone.now()
    questions = {
        "audit_type": AuditEntry.objects.filter(event_type="email", at__gte=now - timedelta(days=1)),
        "audit_action": AuditEntry.objects.filter(action="x"),
        "audit_source": AuditEntry.objects.filter(source_ip="192.0.2.1"),
        "audit_user": AuditEntry.objects.filter(user_id="user_1"),
        "audit_severity": AuditEntry.objects.filter(severity="error"),
        "audit_outcome": AuditEntry.objects.filter(outcome="failure"),
    }
    for index, rows in questions.items():
        plan = rows.order_by("-at", "-id").explain()
        assert f"USING INDEX {index}" in plan, (index, plan)
        assert "TEMP B-TREE" not in plan, (index, plan)
