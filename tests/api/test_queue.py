"""The queue over HTTP: how full it is, emptying it and getting it back, trying again, and each message in it."""

import re
from datetime import timedelta

import pytest
from django.utils import timezone

from a3mailer_site.ids import to_text
from accounts.models import ApiKey
from mailqueue import purging
from mailqueue.models import MessageEvent, MessageTrace, QueuedMessage, QueueEntry, QueuePurge, QueueTally
from queued import accept, attempt, claim, in_the_queue, later, restricted_to
from security.models import AuditEntry

pytestmark = pytest.mark.django_db

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
LETTER = b"From: me@example.com\r\nSubject: hello\r\nMessage-ID: <one@example.com>\r\n\r\nlast\r\n"
# The reference's answer, "获取队列状态".
STATUS = {
    "total_messages": 150,
    "active_messages": 10,
    "deferred_messages": 5,
    "bounced_messages": 2,
    "queues": {"incoming": 50, "outgoing": 75, "retry": 20, "bounce": 5},
}
UNKNOWN = "0mtapw4pjrpnd"


def put(*recipients, **fields):
    return to_text(accept(*recipients, **{"content": LETTER, **fields}))


def fly():
    """Let everything that is due be in flight."""
    return claim(now=timezone.now() + timedelta(seconds=1))


# Operation and body; statuses for no key, read, write, admin; status for write in strict mode.
MATRIX = [
    ("get", "/api/v1/queue/status", None, 401, 200, 200, 200, 200),
    ("delete", "/api/v1/queue/messages", None, 401, 403, 405, 405, 405),
    ("delete", "/api/v1/queue/retry", None, 401, 403, 200, 200, 403),
    ("delete", "/api/v1/queue/outgoing", None, 401, 403, 200, 200, 403),
    ("delete", "/api/v1/queue/nonsense", None, 401, 403, 404, 404, 403),
    ("post", "/api/v1/queue/retry", {}, 401, 403, 202, 202, 202),
    ("get", "/api/v1/queue/purges", None, 401, 200, 200, 200, 200),
    ("post", "/api/v1/queue/purges/purge_9/undo", None, 401, 403, 404, 404, 404),
    ("get", "/api/v1/queue/messages", None, 401, 200, 200, 200, 200),
    ("get", f"/api/v1/queue/messages/{UNKNOWN}", None, 401, 404, 404, 404, 404),
    ("delete", f"/api/v1/queue/messages/{UNKNOWN}", None, 401, 403, 404, 404, 403),
    ("post", f"/api/v1/queue/messages/{UNKNOWN}/hold", None, 401, 403, 404, 404, 404),
    ("post", f"/api/v1/queue/messages/{UNKNOWN}/release", None, 401, 403, 404, 404, 404),
    ("post", f"/api/v1/queue/messages/{UNKNOWN}/retry", None, 401, 403, 404, 404, 404),
    ("get", "/api/v1/messages", None, 401, 200, 200, 200, 200),
    ("get", f"/api/v1/messages/{UNKNOWN}", None, 401, 404, 404, 404, 404),
    ("get", f"/api/v1/messages/{UNKNOWN}/events", None, 401, 404, 404, 404, 404),
]


@pytest.mark.parametrize(("method", "path", "body", "none", "read", "write", "admin", "strict"), MATRIX)
def test_who_may_do_what(client_with, settings_of, method, path, body, none, read, write, admin, strict):
    for permissions, status in [((), none), (("read",), read), (("write",), write), (("admin",), admin)]:
        response = getattr(client_with(*permissions), method)(path, body, format="json")
        assert response.status_code == status, (permissions, response.content)
    settings_of(strict_permissions=True)
    assert getattr(client_with("write"), method)(path, body, format="json").status_code == strict


@pytest.fixture
def settings_of(monkeypatch):
    def change(**fields):
        from dataclasses import replace

        from a3mailer_site import env

        monkeypatch.setattr(env, "_current", replace(env.current(), **fields))

    return change


class TestStatus:
    """``GET /api/v1/queue/status``."""

    def test_the_references_example_to_the_letter(self, read_api):
        """A queue as in the example: 50 incoming, 75 outgoing, 20 for later, 5 notices; 10 in hand of a worker."""
        now, made = timezone.now(), {}
        for lane, count in STATUS["queues"].items():
            made[lane] = [accept("bob@far.test", sender="" if lane == "bounce" else "me@x.test") for _ in range(count)]
        QueueEntry.objects.filter(message_id__in=made["incoming"]).update(local=True)
        QueueEntry.objects.filter(message_id__in=made["retry"]).update(state="held")
        QueueEntry.objects.filter(message_id__in=made["retry"][:5]).update(state="queued", attempts=1)
        failed = QueueEntry.objects.filter(message_id__in=made["outgoing"][:2])
        QueueEntry.objects.bulk_create(
            QueueEntry(
                message_id=one.message_id, trace_id=1, recipient="x@y.test", destination="y.test", state="failed"
            )
            for one in failed
        )
        QueueEntry.objects.filter(message_id__in=made["outgoing"][:10]).update(
            lease_owner="w", lease_until=now + timedelta(minutes=1)
        )
        from mailqueue.standing import reclassify

        reclassify([message for messages in made.values() for message in messages])
        answer = read_api.get("/api/v1/queue/status")
        assert answer.status_code == 200
        assert answer.json() == STATUS
        number = in_the_queue()
        assert (number["total"], number["deferred"], number["bounced"], number["active"]) == (150, 5, 2, 10)

    def test_it_is_answered_out_of_counters(self, read_api, django_assert_max_num_queries):
        put("bob@far.test")
        QueuedMessage.objects.all().delete()  # past everything that counts
        read_api.get("/api/v1/queue/status")  # what is remembered of the key is read once
        with django_assert_max_num_queries(5):
            assert read_api.get("/api/v1/queue/status").json()["total_messages"] == 1

    def test_an_empty_queue_has_nothing_in_it(self, read_api):
        body = read_api.get("/api/v1/queue/status").json()
        assert body == {
            "total_messages": 0,
            "active_messages": 0,
            "deferred_messages": 0,
            "bounced_messages": 0,
            "queues": {"incoming": 0, "outgoing": 0, "retry": 0, "bounce": 0},
        }

    def test_a_restricted_key_learns_nothing_of_the_whole_server(self, read_api, monkeypatch):
        restricted_to(monkeypatch, "example.com")
        assert read_api.get("/api/v1/queue/status").status_code == 403


class TestPurge:
    """``DELETE /api/v1/queue/{queue_name}``, its list and its undoing."""

    @pytest.mark.parametrize(
        "name", ["", "all", "Outgoing", "held", "outgoing ", "outgoing%00", "..", "o" * 5000, "deferred", "*", "%ff"]
    )
    def test_what_is_no_lane_is_404_and_empties_nothing(self, write_api, name):
        put("bob@far.test")
        assert write_api.delete(f"/api/v1/queue/{name}").status_code == 404
        assert in_the_queue()["total"] == 1

    def test_a_dry_run_only_says_what_it_would_do(self, write_api):
        put("bob@far.test")
        fly()
        put("amy@far.test")
        before = list(QueueEntry.objects.values())
        answer = write_api.delete("/api/v1/queue/outgoing?dry_run=1")
        assert answer.status_code == 200
        expected = {"queue": "outgoing", "deleted": 1, "skipped_active": 1, "undo_until": None, "purge_id": None}
        assert answer.json() == expected
        assert list(QueueEntry.objects.values()) == before
        assert not AuditEntry.objects.exists()
        assert write_api.delete("/api/v1/queue/outgoing?dry_run=perhaps").status_code == 400

    def test_it_empties_that_lane_alone_and_leaves_what_is_in_flight(self, write_api):
        put("flying@far.test")
        fly()
        gone, notice = put("bob@far.test"), put("bob@far.test", sender="")
        answer = write_api.delete("/api/v1/queue/outgoing").json()
        assert set(answer) == {"queue", "deleted", "skipped_active", "undo_until", "purge_id"}
        assert (answer["queue"], answer["deleted"], answer["skipped_active"]) == ("outgoing", 1, 1)
        assert TIME.fullmatch(answer["undo_until"])
        assert re.fullmatch(r"purge_\d+", answer["purge_id"])
        status = write_api.get("/api/v1/queue/status").json()
        assert status["queues"] == {"incoming": 0, "outgoing": 1, "retry": 0, "bounce": 1}
        assert write_api.get(f"/api/v1/queue/messages/{gone}").status_code == 404
        assert write_api.get(f"/api/v1/queue/messages/{notice}").status_code == 200
        audit = AuditEntry.objects.get(action="queue_purged")
        assert (audit.metadata["queue"], audit.metadata["queue_ids"]) == ("outgoing", [gone])

    def test_it_is_undone_once(self, write_api):
        message = put("bob@far.test")
        attempt()
        entry = QueueEntry.objects.get()
        purge_id = write_api.delete("/api/v1/queue/retry").json()["purge_id"]
        listed = write_api.get("/api/v1/queue/purges").json()
        assert (listed["total"], listed["page"], listed["limit"], listed["total_is_exact"]) == (1, 1, 50, True)
        (one,) = listed["purges"]
        assert (one["purge_id"], one["queue"], one["deleted"], one["undone_at"]) == (purge_id, "retry", 1, None)
        undone = write_api.post(f"/api/v1/queue/purges/{purge_id}/undo")
        assert (undone.status_code, undone.json()) == (200, {"purge_id": purge_id, "restored": 1})
        assert write_api.post(f"/api/v1/queue/purges/{purge_id}/undo").status_code == 409
        again = QueueEntry.objects.get()
        assert (again.state, again.attempts, again.next_attempt_at) == ("queued", 1, entry.next_attempt_at)
        assert write_api.get(f"/api/v1/queue/messages/{message}").json()["lane"] == "retry"
        assert AuditEntry.objects.get(action="queue_purge_undone").metadata["queue_ids"] == [message]

    def test_an_undo_that_comes_too_late_is_409(self, write_api):
        put("bob@far.test")
        write_api.delete("/api/v1/queue/outgoing")
        QueuePurge.objects.update(deleted_at=timezone.now() - timedelta(days=31))
        answer = write_api.post(f"/api/v1/queue/purges/{QueuePurge.objects.get()}/undo")
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "CONFLICT")

    @pytest.mark.parametrize("name", ["purge_0", "purge_x", "1", "purge_" + "9" * 40, "purge_1%00", "purge_-1", "%20"])
    def test_what_is_no_purge_is_404(self, write_api, name):
        assert write_api.post(f"/api/v1/queue/purges/{name}/undo").status_code == 404

    def test_it_is_costly_and_declares_it(self):
        from mailqueue.views import QueuePurgeView, QueueRetryView

        assert QueuePurgeView.costly == {"delete": (10, 60)}
        assert "post" in QueueRetryView.costly

    def test_a_restricted_key_empties_nothing(self, write_api, monkeypatch):
        put("bob@far.test")
        restricted_to(monkeypatch, "far.test")
        for lane in ("incoming", "outgoing", "retry", "bounce"):
            assert write_api.delete(f"/api/v1/queue/{lane}").status_code == 403
        assert in_the_queue()["total"] == 1


class TestRetry:
    """``POST /api/v1/queue/retry``."""

    HOSTILE = [
        [],
        "x",
        7,
        True,
        {"queue": "all"},
        {"queue": 7},
        {"queue": None},
        {"queue": ["retry"]},
        {"domain": 7},
        {"domain": ""},
        {"domain": "no domain"},
        {"domain": "x" * 5000},
        {"domain": "a\r\nb.test"},
        {"domain": None},
        {"message_ids": "x"},
        {"message_ids": []},
        {"message_ids": [7]},
        {"message_ids": [True]},
        {"message_ids": ["nonsense"]},
        {"message_ids": ["uuuuuuuuuuuuu"]},
        {"message_ids": ["zzzzzzzzzzzzz"]},
        {"message_ids": [None]},
        {"message_ids": {"a": 1}},
        {"message_ids": [UNKNOWN] * 501},
    ]

    @pytest.mark.parametrize("body", HOSTILE)
    def test_a_body_that_is_none_is_400_and_changes_nothing(self, write_api, body):
        put("bob@far.test")
        attempt()
        before = list(QueueEntry.objects.values())
        answer = write_api.post("/api/v1/queue/retry", body, format="json")
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "INVALID_REQUEST")
        assert list(QueueEntry.objects.values()) == before

    @pytest.mark.parametrize(
        "raw", [b"{", b'{"domain": "a\\u0000"}', b'{"domain": "\\ud800.test"}', b"[" * 100000, b"NaN", b"\xff"]
    )
    def test_raw_nonsense_is_400(self, write_api, raw):
        answer = write_api.generic("POST", "/api/v1/queue/retry", raw, content_type="application/json")
        assert answer.status_code == 400

    def test_without_a_body_it_is_everything(self, write_api):
        for how in ("none", "empty", "object"):
            put("bob@far.test")
            attempt()
            if how == "none":
                answer = write_api.post("/api/v1/queue/retry")
            elif how == "empty":
                answer = write_api.generic("POST", "/api/v1/queue/retry", b"", content_type="application/json")
            else:
                answer = write_api.post("/api/v1/queue/retry", {}, format="json")
            assert (answer.status_code, answer.json()) == (202, {"retried": 1, "skipped": 0}), how
            assert attempt("sent", "250 2.0.0 Ok") == 1

    def test_what_flies_is_skipped_and_what_is_held_is_not_meant(self, write_api):
        flying = put("flying@far.test")
        attempt()
        QueueEntry.objects.update(lease_owner="w", lease_until=later())
        held, deferred = put("held@far.test"), put("bob@far.test")
        attempt()
        write_api.post(f"/api/v1/queue/messages/{held}/hold")
        dry = write_api.post("/api/v1/queue/retry?dry_run=1")
        assert (dry.status_code, dry.json()) == (202, {"retried": 1, "skipped": 1})
        assert not QueueEntry.objects.due(timezone.now()).exists()
        assert write_api.post("/api/v1/queue/retry").json() == {"retried": 1, "skipped": 1}
        assert to_text(QueueEntry.objects.due(timezone.now()).get().message_id) == deferred
        named = {"message_ids": [flying, held, deferred, UNKNOWN]}
        assert write_api.post("/api/v1/queue/retry", named).json() == {"retried": 0, "skipped": 4}
        assert AuditEntry.objects.filter(action="queue_retry").order_by("pk").first().metadata["queue_ids"] == [
            deferred
        ]

    @pytest.mark.parametrize(
        ("body", "retried"),
        [
            ({"queue": "retry"}, {"bob@far.test", "amy@other.test"}),
            ({"queue": "bounce"}, {"notice@far.test"}),
            ({"queue": "incoming"}, set()),
            ({"domain": "FAR.test"}, {"bob@far.test", "notice@far.test"}),
            ({"queue": "retry", "domain": "far.test"}, {"bob@far.test"}),
        ],
    )
    def test_what_is_named_has_to_apply(self, write_api, body, retried):
        put("bob@far.test"), put("amy@other.test"), put("notice@far.test", sender="")
        attempt()
        answer = write_api.post("/api/v1/queue/retry", body)
        assert answer.json() == {"retried": len(retried), "skipped": 0}
        due = QueueEntry.objects.due(timezone.now()).values_list("recipient", flat=True)
        assert set(due) == retried

    def test_many_do_not_become_due_in_one_lump(self, write_api):
        for number in range(150):
            put(f"p{number}@far.test")
        attempt()
        attempt()
        now = timezone.now()
        assert write_api.post("/api/v1/queue/retry").json()["retried"] == 150
        times = list(QueueEntry.objects.values_list("next_attempt_at", flat=True))
        assert len(set(times)) == 150
        assert now <= min(times)
        assert max(times) < now + timedelta(seconds=10)

    def test_a_restricted_key_retries_its_own_mail(self, write_api, monkeypatch):
        put("bob@far.test", "amy@other.test", sender="x@elsewhere.test")
        put("eve@other.test", sender="x@elsewhere.test")
        attempt()
        restricted_to(monkeypatch, "far.test")
        assert write_api.post("/api/v1/queue/retry").json() == {"retried": 1, "skipped": 0}
        assert QueueEntry.objects.due(timezone.now()).get().recipient == "bob@far.test"


class TestMessages:
    """``/api/v1/queue/messages``."""

    def test_a_message_with_all_that_is_known_of_it(self, read_api):
        message = put("bob@far.test", "amy@far.test")
        attempt("deferred", "450 4.2.0 Greylisted, come back in 5 minutes")
        answer = read_api.get(f"/api/v1/queue/messages/{message}")
        assert answer.status_code == 200
        body = answer.json()
        assert (body["id"], body["sender"], body["lane"], body["state"]) == (
            message,
            "me@example.com",
            "retry",
            "deferred",
        )
        assert (body["subject"], body["message_id"], body["size"]) == ("hello", "<one@example.com>", len(LETTER))
        for name in ("received_at", "expires_at", "next_attempt_at"):
            assert TIME.fullmatch(body[name])
        bob, amy = body["recipients"]
        assert (bob["recipient"], bob["state"], bob["attempts"]) == ("bob@far.test", "deferred", 1)
        assert bob["last_reply"] == "450 4.2.0 Greylisted, come back in 5 minutes"
        assert TIME.fullmatch(bob["next_attempt_at"])
        first, _second = body["attempts"]
        assert first | {"at": None} == {
            "recipient": "bob@far.test",
            "number": 1,
            "at": None,
            "duration_ms": 12,
            "host": "mx.far.test",
            "address": "192.0.2.9",
            "tls": "TLSv1.3 TLS_AES_256_GCM_SHA384",
            "outcome": "deferred",
            "code": 450,
            "enhanced": "4.2.0",
            "reply": "Greylisted, come back in 5 minutes",
        }
        assert amy["destination"] == "far.test"

    @pytest.mark.parametrize("text", ["nonsense", "0" * 13, "z" * 13, "%00" * 13, "x" * 5000, "..", "%F0%9F%98%80"])
    def test_what_is_no_message_is_404(self, write_api, text):
        for method, rest in (("get", ""), ("delete", ""), ("post", "/hold"), ("post", "/release"), ("post", "/retry")):
            assert getattr(write_api, method)(f"/api/v1/queue/messages/{text}{rest}").status_code == 404

    @pytest.mark.parametrize(
        "query",
        [
            "page=0", "page=x", "limit=501", "limit=-1", "limit=1e9", "page=" + "9" * 30,
            "lane=all", "lane=Retry", "state=new", "state=active%00", "search=a%00b", "search=" + "x" * 300,
            "sender=a%0d%0ab", "recipient=%00", "recipient=" + "x" * 400, "destination=no%20domain", "destination=%ff",
        ],
    )  # fmt: skip
    def test_a_query_that_is_none_is_400(self, read_api, query):
        answer = read_api.get(f"/api/v1/queue/messages?{query}")
        assert answer.status_code == 400, answer.content
        assert query.partition("=")[0] in answer.json()["error"]["fields"]

    @pytest.fixture
    def some(self):
        """Messages by name in each state."""
        found = {"deferred": put("bob@far.test", "amy@other.test")}
        attempt()
        found["held"] = put("held@far.test")
        QueueEntry.objects.filter(recipient="held@far.test").update(state="held")
        found["active"] = put("flying@other.test", sender="you@example.com")
        fly()
        found["queued"] = put("new@far.test", sender="you@example.com")
        found["notice"] = put("notice@far.test", sender="")
        from mailqueue.standing import reclassify

        reclassify(list(QueuedMessage.objects.values_list("pk", flat=True)))
        return found

    @pytest.mark.parametrize(
        ("query", "names"),
        [
            ("", ["notice", "queued", "active", "held", "deferred"]),
            ("lane=retry", ["held", "deferred"]),
            ("lane=outgoing", ["queued", "active"]),
            ("lane=bounce", ["notice"]),
            ("lane=incoming", []),
            ("state=queued", ["notice", "queued", "active"]),
            ("state=deferred", ["deferred"]),
            ("state=held", ["held"]),
            ("state=active", ["active"]),
            ("lane=outgoing&state=active", ["active"]),
            ("lane=retry&state=queued", []),
            ("sender=you@", ["queued", "active"]),
            ("sender=YOU@example.com", ["queued", "active"]),
            ("sender=%25", []),
            ("recipient=bob", ["deferred"]),
            ("recipient=bob@far.test&sender=you", []),
            ("destination=other.test", ["active", "deferred"]),
            ("destination=OTHER.test", ["active", "deferred"]),
            ("destination=nowhere.test", []),
            ("search=amy", ["deferred"]),
            ("search=far.test", ["notice", "queued", "held", "deferred"]),
            ("search=you@", ["queued", "active"]),
            ("search=%3Cone@example.com%3E", ["notice", "queued", "active", "held", "deferred"]),
            ("search=nobody", []),
            ("limit=2&page=2", ["active", "held"]),
            ("limit=2&page=4", []),
        ],
    )  # fmt: skip
    @pytest.mark.parametrize("many", [False, True])
    def test_finding_messages(self, read_api, some, monkeypatch, query, names, many):
        """However many match: few are asked for by their index, many are gone through."""
        from mailqueue import querysets

        if many:
            monkeypatch.setattr(querysets, "WINDOW", 0)
        body = read_api.get(f"/api/v1/queue/messages?{query}").json()
        found = {message: name for name, message in some.items()}
        assert [found[one["id"]] for one in body["messages"]] == names
        if "page" not in query:
            assert body["total"] == len(names)
        assert body["total_is_exact"]

    def test_each_says_how_it_stands(self, read_api, some):
        listed = read_api.get("/api/v1/queue/messages").json()["messages"]
        states = {one["id"]: one["state"] for one in listed}
        assert {name: states[message] for name, message in some.items() if name != "notice"} == {
            "deferred": "deferred", "held": "held", "active": "active", "queued": "queued",
        }  # fmt: skip
        assert {one["subject"] for one in listed} == {"hello"}
        assert {one["recipient_count"] for one in listed} == {1, 2}

    def test_searching_by_queue_id(self, read_api, some):
        (one,) = read_api.get(f"/api/v1/queue/messages?search={some['held']}").json()["messages"]
        assert one["id"] == some["held"]

    def test_more_messages_cost_no_more_queries(self, read_api, some, django_assert_max_num_queries):
        for number in range(20):
            put(f"p{number}@far.test")
        read_api.get("/api/v1/queue/messages")  # what is remembered of the key is read once
        with django_assert_max_num_queries(8):
            assert len(read_api.get("/api/v1/queue/messages").json()["messages"]) == 25
        with django_assert_max_num_queries(9):
            read_api.get("/api/v1/queue/messages?lane=outgoing&recipient=p&destination=far.test")

    def test_the_total_comes_from_the_counters_where_they_know(self, read_api, some):
        QueueTally.objects.create(retry=1000, deferred=500)
        for query, total in (("", 1005), ("lane=retry", 1002), ("state=deferred", 501)):
            assert read_api.get(f"/api/v1/queue/messages?{query}").json()["total"] == total

    def test_beyond_ten_thousand_nobody_counts(self, read_api, some, monkeypatch):
        from mailqueue import pages

        monkeypatch.setattr(pages, "MOST", 2)
        body = read_api.get("/api/v1/queue/messages?search=far.test").json()
        assert (body["total"], body["total_is_exact"], len(body["messages"])) == (2, False, 4)

    def test_holding_releasing_and_retrying(self, write_api):
        message = put("bob@far.test")
        attempt()
        path = f"/api/v1/queue/messages/{message}"
        held = write_api.post(f"{path}/hold")
        assert (held.status_code, held.json()["state"], held.json()["id"]) == (200, "held", message)
        assert held.json()["recipients"][0]["next_attempt_at"] is None
        assert write_api.post(f"{path}/hold").json()["state"] == "held"
        refused = write_api.post(f"{path}/retry")
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "CONFLICT")
        assert attempt(now=later()) == 0
        assert write_api.post(f"{path}/release").json()["state"] == "deferred"
        attempt()
        assert not QueueEntry.objects.due(timezone.now()).exists()
        assert write_api.post(f"{path}/retry").status_code == 200
        assert QueueEntry.objects.due(timezone.now()).exists()
        kinds = [event.kind for event in MessageEvent.objects.filter(detail__has_key="by").order_by("pk")]
        assert kinds == ["held", "released", "retried"]
        assert set(MessageEvent.objects.filter(kind="held").values_list("detail__by", flat=True)) == {
            f"key_{ApiKey.objects.get().pk}"
        }
        actions = list(AuditEntry.objects.order_by("pk").values_list("action", flat=True))
        assert actions == ["queue_hold", "queue_release", "queue_retry"]
        assert AuditEntry.objects.first().metadata["queue_ids"] == [message]

    def test_what_is_in_flight_is_not_touched(self, write_api):
        message = put("bob@far.test")
        fly()
        before = list(QueueEntry.objects.values())
        for method, rest in (("delete", ""), ("post", "/hold"), ("post", "/release"), ("post", "/retry")):
            answer = getattr(write_api, method)(f"/api/v1/queue/messages/{message}{rest}")
            assert (answer.status_code, answer.json()["error"]["code"]) == (409, "CONFLICT")
        assert list(QueueEntry.objects.values()) == before
        assert not AuditEntry.objects.exists()

    def test_a_worker_that_is_faster_than_the_act_is_not_disturbed(self, write_api, monkeypatch):
        from mailqueue import viewsets

        message = put("bob@far.test")
        attempt()
        act = viewsets.interventions.hold

        def hold(*args):
            QueueEntry.objects.update(lease_owner="w", lease_until=later())
            return act(*args)

        hold.__name__ = "hold"
        monkeypatch.setattr(viewsets.interventions, "hold", hold)
        assert write_api.post(f"/api/v1/queue/messages/{message}/hold").status_code == 409
        assert QueueEntry.objects.get().state == "queued"

    def test_taking_one_out_is_a_purge_of_one(self, write_api):
        message = put("bob@far.test")
        answer = write_api.delete(f"/api/v1/queue/messages/{message}")
        assert answer.status_code == 200
        assert (answer.json()["queue"], answer.json()["deleted"]) == ("outgoing", 1)
        assert write_api.delete(f"/api/v1/queue/messages/{message}").status_code == 404
        (one,) = write_api.get("/api/v1/queue/purges").json()["purges"]
        assert (one["purge_id"], one["message_id"], one["queue"]) == (answer.json()["purge_id"], message, "")
        assert write_api.post(f"/api/v1/queue/purges/{one['purge_id']}/undo").json()["restored"] == 1
        assert write_api.get(f"/api/v1/queue/messages/{message}").status_code == 200


class TestRestrictedKeys:
    """A key that is bound to far.test sees and changes mail from and to far.test."""

    @pytest.fixture
    def key(self, write_api, monkeypatch):
        restricted_to(monkeypatch, "far.test")
        return write_api

    def test_it_sees_its_own_messages(self, key):
        to_it = put("bob@far.test", "eve@other.test", sender="x@else.test")
        from_it = put("eve@other.test", "amy@else.test", sender="bob@far.test")
        foreign = put("eve@other.test", sender="x@else.test")
        put("eve@other.test", sender="bob@notfar.test"), put("eve@far.test.other.test", sender="far.test@other.test")
        attempt()
        listed = key.get("/api/v1/queue/messages").json()
        assert [one["id"] for one in listed["messages"]] == [from_it, to_it]
        assert (listed["total"], [one["recipient_count"] for one in listed["messages"]]) == (2, [2, 1])
        assert key.get(f"/api/v1/queue/messages/{foreign}").status_code == 404
        shown = key.get(f"/api/v1/queue/messages/{to_it}").json()
        assert [one["recipient"] for one in shown["recipients"]] == ["bob@far.test"]
        assert [one["recipient"] for one in shown["attempts"]] == ["bob@far.test"]
        assert len(key.get(f"/api/v1/queue/messages/{from_it}").json()["recipients"]) == 2

    @pytest.mark.parametrize("query", ["recipient", "destination", "search"])
    def test_it_finds_a_message_by_its_own_recipients_only(self, key, query):
        message = put("bob@far.test", "eve@other.test", sender="x@else.test")
        own, foreign = ("far.test", "other.test") if query == "destination" else ("bob@far", "eve@other")
        found = {text: key.get(f"/api/v1/queue/messages?{query}={text}").json() for text in (own, foreign)}
        assert [one["id"] for one in found[own]["messages"]] == [message]
        assert (found[foreign]["messages"], found[foreign]["total"]) == ([], 0)

    def test_it_does_not_find_what_is_active_for_others(self, key):
        put("bob@far.test", "eve@other.test", sender="x@else.test")
        QueueEntry.objects.filter(recipient="eve@other.test").update(lease_owner="w", lease_until=later())
        assert key.get("/api/v1/queue/messages?state=active").json()["total"] == 0

    def test_it_changes_its_own_recipients_only(self, key):
        message = put("bob@far.test", "eve@other.test", sender="x@else.test")
        foreign = put("eve@other.test", sender="x@else.test")
        for method, rest in (("delete", ""), ("post", "/hold"), ("post", "/release"), ("post", "/retry")):
            assert getattr(key, method)(f"/api/v1/queue/messages/{foreign}{rest}").status_code == 404
        assert key.post(f"/api/v1/queue/messages/{message}/hold").status_code == 200
        states = dict(
            QueueEntry.objects.filter(recipient__in=["bob@far.test", "eve@other.test"]).values_list(
                "recipient", "state"
            )
        )
        assert states == {"bob@far.test": "held", "eve@other.test": "queued"}
        purge_id = key.delete(f"/api/v1/queue/messages/{message}").json()["purge_id"]
        assert QueueEntry.objects.get(recipient="bob@far.test").state == "purged"
        assert [one["purge_id"] for one in key.get("/api/v1/queue/purges").json()["purges"]] == [purge_id]
        assert key.post(f"/api/v1/queue/purges/{purge_id}/undo").json()["restored"] == 1

    def test_it_undoes_nobody_elses_purge(self, key, client_with, monkeypatch):
        put("bob@far.test"), put("eve@other.test", sender="x@else.test")
        purges = [str(purge_one(recipient)) for recipient in ("bob@far.test", "eve@other.test")]
        assert key.post(f"/api/v1/queue/purges/{purges[1]}/undo").status_code == 404
        assert key.post(f"/api/v1/queue/purges/{purges[0]}/undo").status_code == 200

    def test_of_a_purge_it_is_told_of_its_own_messages_only(self, key):
        put("bob@far.test", "amy@far.test"), put("bob@far.test", "eve@other.test", sender="x@else.test")
        put("eve@other.test", sender="x@else.test")
        purging.purge(QueueEntry.objects.all(), timezone.now(), "me")
        assert [one["deleted"] for one in key.get("/api/v1/queue/purges").json()["purges"]] == [2]

    def test_a_key_for_no_domain_sees_nothing(self, write_api, monkeypatch):
        message = put("bob@far.test")
        restricted_to(monkeypatch)
        assert write_api.get("/api/v1/queue/messages").json()["total"] == 0
        assert write_api.get("/api/v1/messages").json()["total"] == 0
        assert write_api.get(f"/api/v1/messages/{message}").status_code == 404
        assert write_api.post("/api/v1/queue/retry").json() == {"retried": 0, "skipped": 0}


def purge_one(recipient):
    return purging.purge(QueueEntry.objects.filter(recipient=recipient), timezone.now(), "me").purge


def test_the_document_has_the_references_paths_and_its_example_as_printed():
    from drf_spectacular.generators import SchemaGenerator

    document = SchemaGenerator().get_schema(request=None, public=True)
    paths = {path: set(methods) for path, methods in document["paths"].items() if "queue" in path or "messages" in path}
    assert paths == {
        "/api/v1/queue/status": {"get"},
        "/api/v1/queue/retry": {"post"},
        "/api/v1/queue/{queue_name}": {"delete"},
        "/api/v1/queue/purges": {"get"},
        "/api/v1/queue/purges/{purge_id}/undo": {"post"},
        "/api/v1/queue/messages": {"get"},
        "/api/v1/queue/messages/{message_id}": {"get", "delete"},
        "/api/v1/queue/messages/{message_id}/hold": {"post"},
        "/api/v1/queue/messages/{message_id}/release": {"post"},
        "/api/v1/queue/messages/{message_id}/retry": {"post"},
        "/api/v1/messages": {"get"},
        "/api/v1/messages/send": {"post"},
        "/api/v1/messages/{message_id}": {"get"},
        "/api/v1/messages/{message_id}/events": {"get"},
    }
    answer = document["paths"]["/api/v1/queue/status"]["get"]["responses"]["200"]["content"]["application/json"]
    assert [example["value"] for example in answer["examples"].values()] == [STATUS]
    assert all("summary" in one for path in paths for one in document["paths"][path].values())


def test_traces_stay_when_mail_is_in_the_trash(write_api):
    message = put("bob@far.test")
    write_api.delete(f"/api/v1/queue/messages/{message}")
    assert MessageTrace.objects.get().status == "purged"
    assert write_api.get(f"/api/v1/messages/{message}").json()["recipients"][0]["outcome"] == "purged"
