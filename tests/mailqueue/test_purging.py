"""The queue's trash: what is purged can be had back whole, until it goes for good."""

import threading
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from a3mailer_site.api.errors import ConflictError
from a3mailer_site.trash import empty_trash
from mailcore.delivery import claims
from mailcore.delivery.settlement import CRASH_LIMIT, Settlements, settle_crash
from mailcore.store import commit, pruning
from mailqueue import interventions, purging
from mailqueue.bodies import read_body
from mailqueue.models import Body, MessageEvent, MessageTrace, QueuedMessage, QueueEntry, QueuePurge
from queued import LETTER, accept, attempt, claim, in_the_queue, later

pytestmark = pytest.mark.django_db(transaction=True)


def rows():
    """Everything of the queue that an undo has to bring back."""
    fields = ("pk", "message_id", "recipient", "state", "attempts", "next_attempt_at", "last_reply", "crashes")
    return list(QueueEntry.objects.order_by("pk").values_list(*fields))


def purge(**fields):
    return purging.purge(QueueEntry.objects.filter(**fields), timezone.now(), "me")


def test_what_is_in_flight_is_left_alone_with_all_of_its_message():
    accept("bob@far.test", "amy@far.test")
    QueueEntry.objects.filter(recipient="amy@far.test").update(next_attempt_at=later())
    claim()
    before = rows()
    done = purge()
    assert (done.deleted, done.skipped_active, done.purge, done.undo_until) == (0, 1, None, None)
    assert rows() == before
    assert not QueuePurge.objects.exists()


def test_a_lease_that_has_run_out_is_no_flight():
    accept("bob@far.test")
    claim(now=timezone.now() - timedelta(hours=1))
    QueueEntry.objects.update(lease_owner="dead", lease_until=timezone.now() - timedelta(minutes=1))
    assert purge().deleted == 1
    assert QueueEntry.objects.get().lease_owner == ""


def test_what_is_purged_is_not_tried_and_nobody_is_told():
    accept("bob@far.test")
    QueueEntry.objects.update(notify="FAILURE")
    assert purge().deleted == 1
    assert attempt(now=later()) == 0
    assert in_the_queue()["total"] == 0
    assert QueuedMessage.objects.count() == 1
    assert MessageTrace.objects.get().status == "purged"
    event = MessageEvent.objects.order_by("pk").last()
    assert (event.kind, event.detail["by"]) == ("purged", "me")


def test_undoing_brings_everything_back_as_it_was():
    deferred = accept("bob@far.test", "amy@far.test")
    attempt()
    interventions.hold(QueueEntry.objects.filter(recipient="amy@far.test"), timezone.now(), "me")
    accept("new@far.test")
    before, counted = rows(), in_the_queue()
    statuses = dict(MessageTrace.objects.values_list("recipient", "status"))
    act = purge().purge
    assert in_the_queue()["total"] == 0
    assert purging.undo(act, timezone.now(), "me") == 2
    assert rows() == before
    assert in_the_queue() == counted
    assert dict(MessageTrace.objects.values_list("recipient", "status")) == statuses
    kinds = MessageEvent.objects.filter(message=deferred).order_by("pk").values_list("kind", flat=True)
    assert list(kinds)[-4:] == ["purged", "purged", "restored", "restored"]
    assert attempt("sent", "250 2.0.0 Ok", now=later()) == 2


@pytest.mark.parametrize("why", ["undone", "too late", "emptied"])
def test_what_is_over_is_not_undone(why):
    accept("bob@far.test")
    act = purge().purge
    now = timezone.now()
    if why == "undone":
        purging.undo(act, now, "me")
    elif why == "too late":
        now += timedelta(days=31)
    else:
        purging.empty(later(), False)
    act.refresh_from_db()
    before = rows()
    with pytest.raises(ConflictError):
        purging.undo(act, now, "me")
    assert rows() == before


def test_an_outcome_that_comes_after_all_ends_the_entry_in_the_trash():
    """A worker that was away longer than its lease has delivered it: it must not be sent once more."""
    from mailcore.delivery.settlement import Settlements
    from mailcore.store import commit
    from queued import settlement

    accept("bob@far.test", "amy@far.test")
    (job,) = claim(now=timezone.now() - timedelta(seconds=0))
    QueueEntry.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    act = purge().purge
    QueueEntry.objects.filter(recipient="amy@far.test").update(recipient="amy2@far.test")
    sent, deferred = settlement(job, "sent", "250 2.0.0 Ok"), settlement(job, "deferred", "450 4.2.0 No")
    mixed = type(sent)(sent.mail, (sent.decisions[0], deferred.decisions[1]))
    commit.run(Settlements([mixed]))
    states = dict(QueueEntry.objects.values_list("recipient", "state"))
    assert states == {"bob@far.test": "delivered", "amy2@far.test": "purged"}
    assert purging.undo(act, timezone.now(), "me") == 1
    assert QueueEntry.objects.get(recipient="amy2@far.test").state == "queued"
    assert in_the_queue()["total"] == 1


@pytest.mark.parametrize("how", ["crashed", "set aside"])
def test_what_is_held_by_a_late_worker_stays_in_the_trash_and_comes_back_whole(how):
    accept("bob@far.test")
    QueueEntry.objects.update(crashes=CRASH_LIMIT - 1)
    (job,) = claim()
    QueueEntry.objects.update(lease_until=timezone.now() - timedelta(minutes=1))  # its worker has not come back
    act = purge().purge
    if how == "crashed":
        commit.run(Settlements([settle_crash(job, ValueError("x"), timezone.now())]))
    else:
        claims.set_aside([entry.id for entry in job.entries], "no")
    assert in_the_queue()["total"] == 0
    assert purging.undo(act, timezone.now(), "me") == 1
    # Otherwise it would be deleted with the trash some day, in the queue or not.
    entry = QueueEntry.objects.get()
    assert (entry.state, entry.purge, entry.purged_state) == ("queued" if how == "crashed" else "held", None, "")
    assert purging.empty(later(10**8), dry_run=False) == 0
    assert QueueEntry.objects.count() == 1


def test_the_trash_keeps_bodies_until_it_is_emptied():
    message = accept("bob@far.test")
    body = QueuedMessage.objects.get().body_id
    purge()
    pruning.prune(timezone.now().timestamp() + 7200)
    assert read_body(body) == LETTER
    assert empty_trash(timezone.now())["queued messages"] == 0
    assert empty_trash(later(86400 * 31), dry_run=True)["queued messages"] == 1
    assert QueueEntry.objects.exists()
    assert empty_trash(later(86400 * 31))["queued messages"] == 1
    assert empty_trash(later(86400 * 31))["queued messages"] == 0
    assert not QueueEntry.objects.exists()
    assert not QueuedMessage.objects.exists()
    pruning.prune(timezone.now().timestamp() + 7200)
    assert not Body.objects.exists()
    assert MessageTrace.objects.filter(message=message).exists()


def test_emptying_leaves_recipients_alone_that_are_still_in_the_queue():
    accept("bob@far.test", "amy@far.test")
    purge(recipient="bob@far.test")
    assert purging.empty(later(), False) == 1
    assert QueueEntry.objects.get().recipient == "amy@far.test"
    assert in_the_queue()["outgoing"] == 1


def test_what_was_undone_is_not_deleted_when_its_time_is_over():
    accept("bob@far.test")
    purging.undo(purge().purge, timezone.now(), "me")
    assert purging.empty(later(), False) == 0
    assert QueueEntry.objects.get().state == "queued"
    purging.empty(later(86400 * 2), False)
    assert not QueuePurge.objects.exists()  # forgotten, once it has been over for as long


def test_purgetrash_twice_and_beside_itself(capsys):
    for number in range(10):
        accept(f"p{number}@far.test")
    purge()
    QueuePurge.objects.update(deleted_at=timezone.now() - timedelta(days=31))
    errors = []

    def work():
        try:
            call_command("purgetrash")
        except BaseException as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    assert not QueuedMessage.objects.exists()
    call_command("purgetrash")
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 3
    assert all(line.startswith("purgetrash: ") for line in said)
    assert "0 queued messages" in said[2]


def test_a_large_purge_is_done_in_short_transactions_that_each_say_what_they_did(monkeypatch):
    from mailqueue import slices

    monkeypatch.setattr(slices, "SLICE", 4)
    messages = [accept(f"p{number}@far.test", f"q{number}@far.test", "r@far.test") for number in range(5)]
    told = []
    done = purging.purge(QueueEntry.objects.all(), timezone.now(), "me", queue="outgoing", noted=told.append)
    assert (done.deleted, done.entries) == (5, 15)
    assert len(told) == 5
    assert len({one for part in told for one in part}) == len(messages)
    done.purge.refresh_from_db()
    assert done.purge.messages == 5


def test_what_comes_in_during_a_purge_stays():
    accept("bob@far.test")

    def noted(_queue_ids):
        if QueuedMessage.objects.count() < 3:
            accept("late@far.test")

    assert purging.purge(QueueEntry.objects.all(), timezone.now(), "me", noted=noted).deleted == 1
    assert in_the_queue()["total"] == 1
