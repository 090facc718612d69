"""``POST /api/v1/messages/send``: who may send as whom, what is refused by name, and what arrives."""

import base64
import email
import email.policy
from datetime import timedelta

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from a3mailer_site import env
from accounts.models import ApiKey, User
from domains.models import Domain
from mailcore.store.mailboxes import forget_inbox
from mailcore.store.models import Message
from mailqueue.bodies import read_body
from mailqueue.models import Body, MessageEvent, MessageTrace, QueuedMessage, QueueEntry
from mailqueue.timeline import timeline
from security.models import AuditEntry

pytestmark = pytest.mark.django_db
SEND = "/api/v1/messages/send"
NEW = {"from": "Alice <alice@example.com>", "to": ["bob@example.com"], "subject": "Hi", "text": "hello"}


@pytest.fixture
def people(make_user):
    found = [make_user(f"{name}@example.com") for name in ("alice", "bob")]
    for user in found:
        forget_inbox(user.pk)
    return found


def caller(*permissions, owner=None, **bounds):
    _key, secret = ApiKey.issue("test", list(permissions), owner=owner, **bounds)
    return APIClient(HTTP_AUTHORIZATION=f"Bearer {secret}", REMOTE_ADDR="127.0.0.1")


@pytest.fixture
def api(people):
    return caller("read", "write")


def send(api, **fields):
    return api.post(
        SEND, {name: value for name, value in {**NEW, **fields}.items() if value is not None}, format="json"
    )


def arrived():
    (body,) = Body.objects.values_list("pk", flat=True)
    return email.message_from_bytes(read_body(body), policy=email.policy.default)


def test_a_message_arrives_with_all_that_submission_adds(api):
    answer = send(api)
    assert answer.status_code == 201, answer.json()
    found = answer.json()
    assert answer["Location"] == f"/api/v1/messages/{found['id']}"
    assert Message.objects.count() == 1
    message = arrived()
    assert message["From"] == "Alice <alice@example.com>"
    assert message["To"] == "bob@example.com"
    assert message["Message-ID"]
    assert message["Date"]
    assert "with HTTP id " + found["id"] in message["Received"]
    assert message.get_content().strip() == "hello"
    assert api.get(found["events"]).json()["events"][0]["kind"] == "received"
    assert MessageEvent.objects.filter(kind="received").get().detail["login"] == "alice@example.com"


def test_copies_that_nobody_sees(api):
    found = send(api, cc=["Carol <carol@far.test>"], bcc=["dave@far.test"]).json()
    assert found["recipients"] == ["bob@example.com", "carol@far.test", "dave@far.test"]
    content = read_body(Body.objects.get().pk)
    assert b"carol@far.test" in content
    assert b"dave" not in content
    assert set(QueueEntry.objects.values_list("recipient", flat=True)) == {"carol@far.test", "dave@far.test"}


def test_text_html_pictures_and_files(api):
    picture, file = b"\x89PNG\r\n", bytes(range(256)) * 50
    send(
        api,
        subject="Grüße aus 北京",
        text="Grüße",
        html='<p>Grüße <img src="cid:logo"></p>',
        attachments=[
            {"filename": "logo.png", "content": base64.b64encode(picture).decode(), "content_id": "logo"},
            {
                "filename": "Übersicht.pdf",
                "content": base64.b64encode(file).decode(),
                "content_type": "application/pdf",
            },
            {"filename": "x.eml", "content": base64.b64encode(b"From: x").decode()},
        ],
        headers={"X-Order": "17", "List-Unsubscribe": "<https://example.com/u>"},
        reply_to=["office@example.com"],
    )
    raw = read_body(Body.objects.get().pk)
    assert b"\n" not in raw.replace(b"\r\n", b"")
    assert raw.isascii()
    message = arrived()
    assert message["Subject"] == "Grüße aus 北京"
    assert (message["X-Order"], message["Reply-To"]) == ("17", "office@example.com")
    assert message.get_body(("plain",)).get_content().strip() == "Grüße"
    assert "cid:logo" in message.get_body(("html",)).get_content()
    files = {part.get_filename(): part for part in message.walk() if part.get_filename()}
    assert files["logo.png"].get_content() == picture
    assert files["logo.png"]["Content-ID"] == "<logo>"
    assert files["Übersicht.pdf"].get_content() == file
    assert files["x.eml"].get_content_type() == "application/octet-stream"


def test_a_whole_message_stays_as_it_is(api):
    date = b"Date: Fri, 27 Nov 2026 12:00:00 +0000"
    raw = b"From: <alice@example.com>\r\nX-Own: 1\r\nMessage-ID: <1@x>\r\n%s\r\n\r\nab\r\n" % date
    answer = send(api, subject=None, text=None, raw=base64.b64encode(raw).decode())
    assert answer.status_code == 201, answer.json()
    assert read_body(Body.objects.get().pk).endswith(raw)


def test_the_same_message_is_taken_once(api):
    raw = base64.b64encode(b"From: <alice@example.com>\r\nMessage-ID: <1@x>\r\n\r\nab\r\n").decode()
    first, second = (send(api, subject=None, text=None, raw=raw).json() for _ in range(2))
    assert first["id"] == second["id"]
    assert Message.objects.count() == 1


def test_a_key_keeps_it_from_being_sent_twice(api):
    for _ in range(2):
        answer = api.post(SEND, NEW, format="json", HTTP_IDEMPOTENCY_KEY="order-17")
        assert answer.status_code == 201
    assert Message.objects.count() == 1


@pytest.mark.parametrize(
    ("fields", "member"),
    [
        ({"from": None}, "from"),
        ({"from": "alice"}, "from"),
        ({"from": "alice@example.com, bob@example.com"}, "from"),
        ({"from": "nobody@example.com"}, "from"),
        ({"from": "alice@elsewhere.example"}, "from"),
        ({"from": "Alice\r\nX: y <alice@example.com>"}, "from"),
        ({"to": []}, "to"),
        ({"to": None}, "to"),
        ({"to": ["bob"]}, "to.0"),
        ({"to": ["bob@example.com", "nobody@example.com"]}, "to.1"),
        ({"to": ["bob@example.com"], "bcc": ["x@bad domain"]}, "bcc.0"),
        ({"subject": "one\r\nBcc: x@far.test"}, "subject"),
        ({"headers": {"Bcc": "x@far.test"}}, "headers"),
        ({"headers": {"From": "x@far.test"}}, "headers"),
        ({"headers": {"Received": "x"}}, "headers"),
        ({"headers": {"DKIM-Signature": "x"}}, "headers"),
        ({"headers": {"X-A": "b\r\nBcc: x@far.test"}}, "headers"),
        ({"headers": {"X-A:": "b"}}, "headers"),
        ({"attachments": [{"filename": "x", "content": "%%%"}]}, "attachments.0.content"),
        ({"attachments": [{"filename": "x\r\ny", "content": ""}]}, "attachments.0.filename"),
        ({"attachments": [{"filename": "x", "content": "", "content_type": "text"}]}, "attachments.0.content_type"),
        ({"raw": "eA=="}, "subject"),
        ({"send_at": "tomorrow"}, "send_at"),
        ({"send_at": "2099-01-01T00:00:00Z"}, "send_at"),
    ],
)
def test_what_cannot_be_sent_is_refused_by_name(api, fields, member):
    answer = send(api, **fields)
    assert answer.status_code == 400, answer.json()
    assert member in answer.json()["error"]["fields"]
    assert not MessageTrace.objects.exists()


def test_addresses_beyond_ascii(api):
    """A domain is written as A-labels, and a name before the @ needs SMTPUTF8, which the message is then marked for."""
    answer = send(api, to=["Jürgen <juergen@bücher.test>"])
    assert answer.status_code == 201, answer.json()
    assert b"<juergen@xn--bcher-kva.test>" in read_body(QueuedMessage.objects.get().body_id)
    assert not QueuedMessage.objects.get().smtputf8
    QueuedMessage.objects.all().delete()
    answer = send(api, to=["Jürgen <jürgen@bücher.test>"], subject="Grüße")
    assert answer.status_code == 201, answer.json()
    message = QueuedMessage.objects.get()
    assert message.smtputf8
    assert "<jürgen@xn--bcher-kva.test>".encode() in read_body(message.body_id)
    answer = send(api, to=["bob@far.test"], reply_to=["jürgen@far.test"], subject="2")
    assert answer.status_code == 201, answer.json()
    assert QueuedMessage.objects.latest("pk").smtputf8


def test_the_same_file_twice_and_once_as_a_picture(api):
    picture = {"filename": "a.png", "content": "AAAA", "content_type": "image/png"}
    html = '<img src="cid:logo">'
    answer = send(api, html=html, attachments=[picture, picture, {**picture, "content_id": "logo"}])
    assert answer.status_code == 201, answer.json()
    kinds = [part.get_content_disposition() for part in arrived().walk() if part.get_content_type() == "image/png"]
    assert sorted(kinds) == ["attachment", "attachment", "inline"]


def test_who_sends_in_the_name_of_somebody_else_is_written_down(people, make_user):
    alice, _bob = people
    send(caller("write", owner=alice))
    assert not AuditEntry.objects.filter(action="message_sent_as").exists()
    root = make_user("root@example.com", is_superuser=True, is_staff=True)
    found = send(caller("write", "admin", owner=root), subject="2").json()
    entry = AuditEntry.objects.get(action="message_sent_as")
    assert entry.metadata["login"] == "alice@example.com"
    assert entry.metadata["queue_id"] == found["id"]
    send(caller("write"), subject="3")
    assert AuditEntry.objects.filter(action="message_sent_as").count() == 2


def test_a_whole_message_of_somebody_else_is_refused(api):
    raw = base64.b64encode(b"From: <bob@example.com>\r\n\r\nab\r\n").decode()
    answer = send(api, subject=None, text=None, raw=raw)
    assert answer.status_code == 400
    assert "raw" in answer.json()["error"]["fields"]


def test_who_may_send_as_whom(people, make_user):
    alice, bob = people
    other = Domain.objects.create(name="other.example")
    assert send(caller("write", owner=alice)).status_code == 201
    assert send(caller("write", owner=bob)).status_code == 400  # his key is no key to Alice's mailbox
    root = make_user("root@example.com", is_superuser=True, is_staff=True)
    assert send(caller("write", "admin", owner=root), subject="2").status_code == 201
    assert send(caller("read", owner=alice)).status_code == 403
    assert send(caller("write", domains=["example.com"]), subject="3").status_code == 201
    assert send(caller("write", domains=[other.name])).status_code == 400
    User.objects.filter(pk=alice.pk).update(is_active=False)
    assert send(caller("write")).status_code in {400, 201}
    assert APIClient().post(SEND, NEW, format="json").status_code == 401


def test_a_disabled_user_sends_nothing(api, people):
    people[0].is_active = False
    people[0].save()
    assert send(api).status_code == 400
    assert not MessageTrace.objects.exists()


def test_later_held_and_taken_back(api, people):
    at = timezone.now() + timedelta(days=1)
    found = send(api, send_at=at.isoformat(), to=["bob@example.com", "far@far.test"]).json()
    assert Message.objects.count() == 0
    assert abs((QueuedMessage.objects.get().release_at - at).total_seconds()) <= 1
    assert timeline(QueuedMessage.objects.get().pk) is not None
    assert api.delete(f"/api/v1/queue/messages/{found['id']}").status_code == 200
    User.objects.filter(pk=people[0].pk).update(send_limit_hour=2)
    send(api, to=["one@far.test"])
    send(api, to=["two@far.test"], subject="another")
    assert QueueEntry.objects.get(recipient="two@far.test").state == "held"


def test_a_full_disk_is_503_and_says_when_to_come_back(api, monkeypatch):
    from mailcore.smtp import backend

    monkeypatch.setattr(backend.free_space, "enough", lambda _now: False)
    answer = send(api)
    assert answer.status_code == 503
    assert not MessageTrace.objects.exists()


def test_a_message_beyond_the_limit_is_refused(api, monkeypatch):
    import dataclasses

    monkeypatch.setattr(env, "_current", dataclasses.replace(env.current(), message_limit=1000))
    assert send(api, text="x" * 2000).status_code == 400
