"""Where is my mail? The message log over HTTP: searching it, one message, and everything that happened to it."""

import itertools
import re
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from a3mailer_site.ids import first_id_at, from_text, to_text
from mailqueue import querysets
from mailqueue.models import MessageEvent, MessageTrace
from queued import accept, attempt, later, restricted_to

pytestmark = pytest.mark.django_db

LETTER = b"From: me@example.com\r\nSubject: hello\r\nMessage-ID: <one@example.com>\r\n\r\nlast\r\n"
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


_numbers = itertools.count()


def log(at, recipient, *, direction="in", status="delivered", sender="friend@example.net", message_id="", **fields):
    """Write a trace as of that time; returns the queue id."""
    number = first_id_at(at.timestamp()) + next(_numbers) % 8192
    MessageTrace.objects.create(
        id=number,
        message=number,
        at=at,
        direction=direction,
        status=status,
        sender=sender,
        recipient=recipient,
        message_id=message_id,
        **fields,
    )
    return to_text(number)


def day(number, hour=12):
    return datetime(2026, 1, number, hour, tzinfo=UTC)


@pytest.fixture
def written():
    """Messages of the log by name, the oldest first."""
    return {
        "old": log(day(1), "bob@example.com", message_id="<old@example.net>"),
        "sent": log(day(2), "eve@other.test", direction="sub", status="sent", sender="bob@example.com"),
        "failed": log(day(3), "eve@other.test", direction="sub", status="failed", sender="amy@example.com"),
        "notice": log(day(3, 13), "amy@example.com", direction="int", sender=""),
        "new": log(day(4), "bobby@example.com", subject="last"),
    }


@pytest.mark.parametrize("window", [200_000, 3])
@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ["new", "notice", "failed", "sent", "old"]),
        ("sender=bob@example.com", ["sent"]),
        ("sender=BOB@Example.com", ["sent"]),
        ("sender=b", ["sent"]),
        ("sender=friend", ["new", "old"]),
        ("recipient=bob", ["new", "old"]),
        ("recipient=bob@example.com", ["old"]),
        ("recipient=eve@other.test&sender=amy", ["failed"]),
        ("recipient=%25", []),
        ("message_id=%3Cold@example.net%3E", ["old"]),
        ("message_id=old@example.net", ["old"]),
        ("message_id=nothing", []),
        ("outcome=failed", ["failed"]),
        ("outcome=held", []),
        ("direction=inbound", ["new", "old"]),
        ("direction=outbound", ["failed", "sent"]),
        ("direction=internal", ["notice"]),
        ("direction=outbound&outcome=sent", ["sent"]),
        ("since=2026-01-03", ["new", "notice", "failed"]),
        ("until=2026-01-02", ["sent", "old"]),
        ("since=2026-01-02T12:00:00Z&until=2026-01-03T12:00:00Z", ["failed", "sent"]),
        ("since=2026-01-03T14:00:00%2B01:00", ["new", "notice"]),
        ("since=2026-01-03T14:00:00+01:00", ["new", "notice"]),
        ("since=2026-02-01", []),
        ("since=9999-12-31", []),
        ("until=0001-01-01", []),
        ("search=amy@", ["notice", "failed"]),
        ("search=%3Cold@example.net%3E", ["old"]),
        ("limit=2&page=2", ["failed", "sent"]),
        ("page=3", []),
    ],
)
def test_finding_messages_newest_first(read_api, written, monkeypatch, query, names, many, window):
    """However many match; and what no index finds, among the newest rows."""
    monkeypatch.setattr(querysets, "WINDOW", window)
    if many:
        monkeypatch.setattr(querysets, "MOST", 0)
    answer = read_api.get(f"/api/v1/messages?{query}")
    assert answer.status_code == 200, answer.content
    body = answer.json()
    found = {message: name for name, message in written.items()}
    seen = [found[one["id"]] for one in body["messages"]]
    if body["searched_from"] is None:
        assert seen == names
    else:
        assert window == 3
        assert TIME.fullmatch(body["searched_from"])
        assert seen == [name for name in names if name in seen]
        assert {"old"} & set(names) == set() or "old" not in seen


def test_searching_by_queue_id(read_api, written):
    (one,) = read_api.get(f"/api/v1/messages?search={written['new']}").json()["messages"]
    assert one == {
        "id": written["new"],
        "at": "2026-01-04T12:00:00Z",
        "direction": "inbound",
        "outcome": "delivered",
        "sender": "friend@example.net",
        "recipient": "bobby@example.com",
        "message_id": "",
        "subject": "last",
        "size": 0,
    }


@pytest.mark.parametrize(
    "query",
    [
        "page=0", "limit=501", "limit=x", "sender=%00", "sender=" + "x" * 400, "recipient=a%0d%0ab", "message_id=%00",
        "since=yesterday", "since=2026-13-01", "since=2026-01-01T99:00:00Z", "until=%00", "until=" + "9" * 50,
        "until=0", "until=9999-12-31", "since=0001-01-01T00:00:00%2B14:00", "outcome=lost", "outcome=Sent",
        "direction=in", "direction=%ff", "search=a%00", "search=" + "x" * 300,
    ],
)  # fmt: skip
def test_a_query_that_is_none_is_400(read_api, query):
    answer = read_api.get(f"/api/v1/messages?{query}")
    assert answer.status_code == 400, answer.content
    assert query.partition("=")[0] in answer.json()["error"]["fields"]


@pytest.mark.parametrize("text", ["nonsense", "0" * 13, "z" * 13, "%00" * 13, "x" * 5000, "..", "%F0%9F%98%80"])
def test_what_is_no_message_is_404(read_api, text):
    for rest in ("", "/events"):
        assert read_api.get(f"/api/v1/messages/{text}{rest}").status_code == 404


def test_a_message_and_what_became_of_it(read_api):
    message = to_text(accept("bob@far.test", "amy@far.test", content=LETTER))
    body = read_api.get(f"/api/v1/messages/{message}").json()
    assert TIME.fullmatch(body.pop("received_at"))
    recipients = body.pop("recipients")
    assert body == {
        "id": message,
        "direction": "outbound",
        "sender": "me@example.com",
        "message_id": "<one@example.com>",
        "subject": "hello",
        "size": len(LETTER),
    }
    assert [(one["recipient"], one["outcome"]) for one in recipients] == [
        ("bob@far.test", "queued"),
        ("amy@far.test", "queued"),
    ]


class TestEvents:
    """``GET /api/v1/messages/{message_id}/events``."""

    @pytest.fixture
    def message(self):
        received = {"peer": "192.0.2.7", "helo": "pc", "tls": None, "size": 60, "recipients": 1}
        found = accept("bob@far.test", content=LETTER, received=received)
        attempt("deferred", "450 4.2.0 Greylisted <b>now</b>")
        attempt("sent", "250 2.0.0 Taken as 4711", now=later())
        return to_text(found)

    def test_it_is_the_whole_story_oldest_first(self, read_api, message):
        body = read_api.get(f"/api/v1/messages/{message}/events").json()
        assert (body["total"], body["page"], body["limit"]) == (6, 1, 500)
        events = body["events"]
        assert [one["kind"] for one in events] == ["received", "queued", "attempt", "deferred", "attempt", "sent"]
        assert all(TIME.fullmatch(one["time"]) for one in events)
        assert [one["recipient"] for one in events] == ["", *["bob@far.test"] * 5]
        tried = events[2]
        assert tried["title"] == "Attempt 1: not now"
        assert tried["quote"] == "450 4.2.0 Greylisted <b>now</b>"
        assert tried["tone"] == "wait"
        assert "mx.far.test [192.0.2.9]" in tried["text"]
        detail = {
            "host": "mx.far.test",
            "code": 450,
            "enhanced": "4.2.0",
            "reply": "Greylisted <b>now</b>",
            "number": 1,
        }
        assert detail.items() <= tried["detail"].items()
        assert events[0]["detail"]["peer"] == "192.0.2.7"

    def test_it_is_in_the_callers_language(self, read_api, message):
        answer = read_api.get(f"/api/v1/messages/{message}/events", HTTP_ACCEPT_LANGUAGE="zh-Hans").json()
        assert answer["events"][0]["title"] == "已收到并安全保存"
        assert answer["events"][0]["kind"] == "received"

    def test_ids_are_written_as_everywhere_and_a_notice_says_what_it_is_about(self, read_api):
        about = accept("bob@far.test")
        message = accept("bob@far.test", received={"notice_about": about, "sender": "", "recipients": 1, "size": 60})
        MessageEvent.objects.create(message=message, kind="delivered", detail={"mailbox": "INBOX", "user": 7, "uid": 1})
        events = read_api.get(f"/api/v1/messages/{to_text(message)}/events").json()["events"]
        assert events[0]["detail"]["notice_about"] == to_text(about)
        assert events[0]["text"] == f"Written by this server, about message {to_text(about)}."
        assert events[-1]["detail"] == {"mailbox": "INBOX", "user": "user_7", "uid": 1}

    def test_it_has_pages(self, read_api, message):
        second = read_api.get(f"/api/v1/messages/{message}/events?limit=2&page=2").json()
        assert [one["kind"] for one in second["events"]] == ["attempt", "deferred"]
        assert read_api.get(f"/api/v1/messages/{message}/events?limit=501").status_code == 400

    def test_who_did_what_stands_in_it(self, write_api):
        message = to_text(accept("bob@far.test"))
        attempt()
        for act in ("hold", "release"):
            write_api.post(f"/api/v1/queue/messages/{message}/{act}")
        attempt(now=timezone.now() + timedelta(seconds=1))
        write_api.post(f"/api/v1/queue/messages/{message}/retry")
        purge_id = write_api.delete(f"/api/v1/queue/messages/{message}").json()["purge_id"]
        write_api.post(f"/api/v1/queue/purges/{purge_id}/undo")
        events = write_api.get(f"/api/v1/messages/{message}/events").json()["events"]
        acts = {one["kind"]: one for one in events if one["detail"].get("by")}
        assert list(acts) == ["held", "released", "retried", "purged", "restored"]
        assert {one["detail"]["by"] for one in acts.values()} == {acts["held"]["detail"]["by"]}
        assert acts["purged"]["title"] == "Put into the trash"
        assert acts["restored"]["title"] == "Taken out of the trash"
        assert all(one["text"].startswith("By key_") for one in acts.values())

    def test_more_events_cost_no_more_queries(self, read_api, message, django_assert_max_num_queries):
        number = from_text(message)
        MessageEvent.objects.bulk_create(MessageEvent(message=number, kind="queued", detail={}) for _ in range(50))
        with django_assert_max_num_queries(6):
            assert read_api.get(f"/api/v1/messages/{message}/events").json()["total"] == 56


def test_more_rows_cost_no_more_queries(read_api, written, django_assert_max_num_queries):
    for number in range(30):
        log(day(5), f"p{number}@example.com")
    with django_assert_max_num_queries(6):
        assert len(read_api.get("/api/v1/messages").json()["messages"]) == 35
    with django_assert_max_num_queries(12):
        read_api.get("/api/v1/messages?sender=friend&recipient=p&outcome=delivered&search=p")


def test_a_restricted_key_finds_its_own_mail(write_api, monkeypatch, written):
    restricted_to(monkeypatch, "other.test")
    body = write_api.get("/api/v1/messages").json()
    assert [one["id"] for one in body["messages"]] == [written["failed"], written["sent"]]
    assert body["total"] == 2
    assert write_api.get(f"/api/v1/messages/{written['old']}").status_code == 404
    assert write_api.get(f"/api/v1/messages/{written['old']}/events").status_code == 404
    assert write_api.get(f"/api/v1/messages?search={written['old']}").json()["total"] == 0


def test_a_restricted_key_sees_of_a_message_its_own_recipients(write_api, monkeypatch):
    message = to_text(accept("bob@far.test", "eve@other.test", sender="x@else.test", content=LETTER))
    attempt()
    restricted_to(monkeypatch, "far.test")
    assert [one["recipient"] for one in write_api.get(f"/api/v1/messages/{message}").json()["recipients"]] == [
        "bob@far.test"
    ]
    events = write_api.get(f"/api/v1/messages/{message}/events").json()
    assert {one["recipient"] for one in events["events"]} == {"", "bob@far.test"}
    assert "eve@other.test" not in str(events)


def test_internationalised_domains_are_found_in_both_forms(write_api, monkeypatch):
    log(day(1), "bob@bücher.example")
    log(day(2), "bob@xn--bcher-kva.example")
    restricted_to(monkeypatch, "xn--bcher-kva.example")
    assert write_api.get("/api/v1/messages").json()["total"] == 2
