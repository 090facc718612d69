"""Retention of the message log, interventions in the queue, and the commands for both."""

import io
import threading
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from a3mailer_site.ids import first_id_at, new_id, to_text
from mailqueue import interventions, purging, retention
from mailqueue.models import Attempt, Body, MessageEvent, MessageTrace, QueuedMessage, QueueEntry
from mailqueue.standing import reclassify
from security.models import AuditEntry

pytestmark = pytest.mark.django_db


def run(*arguments):
    out = io.StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue().rstrip("\n")


@pytest.fixture
def queue():
    """Put messages into the queue: ``queue("bob@example.org", state=…)`` returns the entry."""

    def put(*recipients, **fields):
        now = timezone.now()
        body = Body.objects.create(size=3, data=b"abc")
        message = QueuedMessage.objects.create(
            id=body.id, body=body, sender="a@example.com", size=3, expires_at=now + timedelta(days=5)
        )
        entries = []
        for recipient in recipients:
            trace = MessageTrace.objects.create(
                message=message.pk, direction="sub", status="deferred", sender="a@example.com", recipient=recipient
            )
            entries.append(
                QueueEntry.objects.create(
                    message=message,
                    trace_id=trace.pk,
                    recipient=recipient,
                    destination=recipient.rpartition("@")[2],
                    **{"next_attempt_at": now + timedelta(hours=1), **fields},
                )
            )
        reclassify([message.pk])
        return entries[0] if len(entries) == 1 else entries

    return put


def kinds(entry):
    return list(MessageEvent.objects.filter(trace_id=entry.trace_id).values_list("kind", flat=True))


def test_retryqueue_moves_what_waits_and_nothing_else(queue):
    waiting, other = queue("x@example.org"), queue("x@example.net")
    held = queue("h@example.org", state="held")
    leased = queue("l@example.org", lease_owner="w", lease_until=timezone.now() + timedelta(minutes=1))
    assert run("retryqueue", "--dry-run") == "retryqueue: 3 to be tried now (dry run)"
    assert run("retryqueue", "--domain", "Example.org") == "retryqueue: 1 to be tried now"
    assert run("retryqueue", "--domain", "example.org") == "retryqueue: 0 to be tried now"
    now = timezone.now()
    assert [entry.recipient for entry in QueueEntry.objects.due(now)] == ["x@example.org"]
    assert kinds(waiting) == ["retried"]
    for entry in (other, held, leased):
        assert kinds(entry) == []
    assert run("retryqueue") == "retryqueue: 1 to be tried now"


def test_retryqueue_is_in_the_audit_log(queue):
    waiting = queue("x@example.org")
    assert run("retryqueue", "--dry-run") == "retryqueue: 1 to be tried now (dry run)"
    assert not AuditEntry.objects.exists()
    run("retryqueue", "--domain", "Example.org."), run("retryqueue")
    first, second = AuditEntry.objects.order_by("pk")
    assert (first.action, second.action) == ("queue_retry", "queue_retry")
    ids = [to_text(waiting.message_id)]
    assert first.metadata == {"changed": 1, "queue_ids": ids, "domain": "example.org", "by": "command line"}
    assert second.metadata == {"changed": 0, "queue_ids": [], "by": "command line"}


def test_holding_and_releasing(queue):
    entry = queue("x@example.org")
    now = timezone.now()
    assert interventions.hold(QueueEntry.objects.all(), now, by="root") == 1
    assert interventions.hold(QueueEntry.objects.all(), now, by="root") == 0
    assert MessageTrace.objects.get().status == "held"
    assert not QueueEntry.objects.waiting().exists()
    assert interventions.release(QueueEntry.objects.all(), now, by="root") == 1
    assert QueueEntry.objects.due(now).count() == 1
    assert kinds(entry) == ["held", "released"]
    assert MessageEvent.objects.first().detail == {"by": "root"}


def test_deleting_takes_the_message_with_its_last_recipient_and_never_one_in_flight(queue):
    first, second = queue("x@example.org", "y@example.org")
    flying = queue("l@example.org", lease_owner="w", lease_until=timezone.now() + timedelta(minutes=1))
    now = timezone.now()
    assert purging.purge(QueueEntry.objects.filter(pk=first.pk), now, by="root").entries == 1
    assert QueuedMessage.objects.exclude(lane="").count() == 2
    done = purging.purge(QueueEntry.objects.all(), now, by="root")
    assert (done.entries, done.deleted, done.skipped_active) == (1, 1, 1)
    assert list(QueueEntry.objects.open()) == [flying]
    assert QueuedMessage.objects.exclude(lane="").count() == 1
    assert kinds(second) == ["purged"]
    assert set(MessageTrace.objects.values_list("status", flat=True)) == {"purged", "deferred"}


def test_purgeevents_forgets_old_messages_whole_and_keeps_what_is_queued(queue, monkeypatch):
    monkeypatch.setattr(retention, "REST", 0)
    monkeypatch.setattr(retention, "BATCH", 2)
    queued = queue("x@example.org")
    old = first_id_at((timezone.now() - timedelta(days=31)).timestamp())
    for number in range(5):
        message = old + number * 10
        for recipient in range(2):
            MessageTrace.objects.create(
                pk=message + recipient, message=message, direction="in", status="delivered", recipient="b@example.com"
            )
        MessageEvent.objects.create(message=message, kind="received")
        Attempt.objects.create(message=message, trace_id=message, number=1, outcome="sent")
    MessageTrace.objects.create(
        pk=old + 1000, message=queued.message_id, direction="sub", status="queued", recipient="z@example.org"
    )
    fresh = new_id()
    MessageTrace.objects.create(pk=fresh, message=fresh, direction="in", status="delivered", recipient="b@example.com")
    MessageEvent.objects.create(message=fresh, kind="received")

    assert run("purgeevents", "--dry-run") == "purgeevents: 11 messages forgotten (dry run)"
    assert run("purgeevents") == "purgeevents: 10 messages forgotten"
    assert run("purgeevents") == "purgeevents: 0 messages forgotten"
    assert set(MessageTrace.objects.values_list("message", flat=True)) == {queued.message_id, fresh}
    assert list(MessageEvent.objects.values_list("message", flat=True)) == [fresh]
    assert not Attempt.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_purgeevents_beside_itself_forgets_everything_old_and_nothing_else(monkeypatch):
    monkeypatch.setattr(retention, "REST", 0)
    monkeypatch.setattr(retention, "BATCH", 3)
    old = first_id_at((timezone.now() - timedelta(days=31)).timestamp())
    fresh = new_id()
    for number in [*range(old, old + 400, 10), fresh]:
        MessageTrace.objects.create(pk=number, message=number, direction="in", status="delivered", recipient="b@x.test")
        MessageEvent.objects.create(message=number, kind="received")
    said, failures = [], []

    def work():
        try:
            said.append(run("purgeevents"))
        except Exception as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sum(int(text.split()[1]) for text in said) == 40
    assert MessageTrace.objects.get().message == MessageEvent.objects.get().message == fresh


def test_purgefailures_keeps_a_month():
    from security.models import LoginFailure

    for days in (1, 29, 31, 40):
        LoginFailure.objects.create(
            address="192.0.2.1", login="x", protocol="imap", at=timezone.now() - timedelta(days=days)
        )
    assert run("purgefailures", "--dry-run") == "purgefailures: 2 deleted (dry run)"
    assert run("purgefailures") == "purgefailures: 2 deleted"
    assert run("purgefailures") == "purgefailures: 0 deleted"


def test_checkquota_finds_and_mends_a_wrong_figure(make_user):
    from accounts.models import User
    from mailcore.store.models import Mailbox, Message

    bob, eve = make_user("bob@example.com"), make_user("eve@example.com")
    body = Body.objects.create(size=70, data=b"x" * 70)
    box = Mailbox.objects.create(owner=bob, name="INBOX", uidvalidity=1)
    for uid in (1, 2):
        Message.objects.create(mailbox=box, uid=uid, body=body, modseq=1, internal_date=0, saved_at=0, size=70)
    User.objects.filter(pk=eve.pk).update(used_quota=5)
    assert run("checkquota", "--dry-run") == "checkquota: 2 users, 2 wrong (dry run)"
    assert run("checkquota") == "checkquota: 2 users, 2 corrected"
    assert dict(User.objects.values_list("username", "used_quota")) == {"bob@example.com": 140, "eve@example.com": 0}
    assert run("checkquota") == "checkquota: 2 users, 0 corrected"
