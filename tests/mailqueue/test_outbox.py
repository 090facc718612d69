"""The outbox of the webhooks: what is put in with the event, in which order it comes out, and what becomes of it."""

import dataclasses
import json
from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from a3mailer_site import env
from a3mailer_site.ids import new_id, to_text
from mailcore.intake.acceptance import Acceptance
from mailcore.intake.routing import plan
from mailcore.message.envelope import Recipient
from mailcore.store import commit
from mailcore.store.mailboxes import forget_inbox
from mailcore.store.prepared import prepare
from mailqueue import outbox, webhooks
from mailqueue.models import MessageEvent, MessageTrace, Webhook, WebhookDelivery
from mailqueue.outbox import PAUSES, Answer, event_id, lease, let_go, renew, replay, settle, take
from queued import accept, attempt
from security.models import AuditEntry

pytestmark = pytest.mark.django_db
ALL = ["accepted", "received", "delivered", "deferred", "bounced", "complained"]
CONTENT = b"From: <me@example.com>\r\nMessage-ID: <1@example.com>\r\nSubject: Hello\r\n\r\nhello\r\n"
LOGGED_IN = {"login": "me@example.com", "peer": "192.0.2.1"}


@pytest.fixture
def hook():
    def make(events=ALL, **fields):
        webhook = Webhook(url="https://hook.example/mail", events=list(events), **fields)
        webhooks.new_secret(webhook, timezone.now())
        webhook.save()
        return webhook

    return make


def leased(owner="me", now=None, running=()):
    return lease(owner, now or timezone.now(), running)


def said(target, limit=100, now=None):
    return [json.loads(told.body) for told in take(target, now or timezone.now(), limit)]


def names(target):
    return [each["type"] for each in said(target)]


def tell_all(target, error="", **how):
    """Everything that waits, one round after another; returns the types in the order in which they were told."""
    told = []
    while batch := take(target, timezone.now(), 100):
        told += [json.loads(each.body)["type"] for each in batch]
        settle(target, [Answer(each.row, error, **how) for each in batch], timezone.now())
        if error:
            break
    return told


# -- What is put in ----------------------------------------------------------------------------------------------------


def test_without_webhooks_nothing_is_written():
    accept("bob@far.test")
    assert WebhookDelivery.objects.count() == 0
    assert leased() == []


@pytest.mark.parametrize(
    ("kind", "detail", "name"),
    [
        ("received", {"login": "me@example.com"}, "accepted"),
        ("received", {"login": None, "peer": "192.0.2.1"}, "received"),
        ("received", {"notice_about": 7}, ""),
        ("delivered", {}, "delivered"),
        ("sent", {}, "delivered"),
        ("deferred", {}, "deferred"),
        ("failed", {}, "bounced"),
        ("attempt", {}, ""),
        ("queued", {}, ""),
        ("held", {}, ""),
    ],
)
def test_what_an_event_is_told_as(kind, detail, name):
    assert webhooks.name_of(kind, detail) == name


def test_an_event_is_in_the_box_with_the_mail(hook):
    webhook = hook()
    number = accept("bob@far.test", received=LOGGED_IN)
    attempt("deferred", "450 4.2.0 Not yet")
    (target,) = leased()
    first = said(target)
    assert [each["type"] for each in first] == ["message.accepted"]  # one event of a message at a time
    data = first[0]["data"]
    assert data["queue_id"] == to_text(number)
    assert data["sender"] == "me@example.com"
    assert data["recipients"] == ["bob@far.test"]
    assert data["recipient_count"] == 1
    assert data["login"] == "me@example.com"
    assert tell_all(target) == ["message.accepted", "message.deferred"]
    assert webhook.deliveries.count() == 0


def test_the_other_servers_words_are_told(hook):
    hook(["bounced"])
    accept("bob@far.test")
    attempt("failed", "550 5.1.1 No such user")
    (each,) = said(leased()[0])
    assert each["type"] == "message.bounced"
    assert each["data"]["recipient"] == "bob@far.test"
    assert each["data"]["reply"] == "550 5.1.1 No such user"
    assert each["replayed"] is False


def test_only_what_is_wanted_and_only_while_it_is_switched_on(hook):
    hook(["bounced"], enabled=False)
    wanted = hook(["delivered"])
    accept("bob@far.test", received=LOGGED_IN)
    attempt("sent", "250 2.0.0 Ok")
    assert list(WebhookDelivery.objects.values_list("webhook", "kind")) == [(wanted.pk, "sent")]


def test_mail_that_is_not_accepted_is_not_told(hook):
    hook()
    with transaction.atomic():
        accept("bob@far.test", received=LOGGED_IN)
        transaction.set_rollback(True)
    assert WebhookDelivery.objects.count() == 0


def test_mail_is_not_refused_when_a_webhook_is_deleted_at_that_moment(hook):
    webhook = hook()
    webhooks.in_force()
    Webhook.objects.filter(pk=webhook.pk).delete()  # which this process has not heard of yet
    assert accept("bob@far.test", received=LOGGED_IN)
    assert WebhookDelivery.objects.count() == 1
    assert outbox.forget_failed(timezone.now()) == 1


def test_mail_into_a_mailbox_here(hook, make_user):
    bob = make_user("bob@example.com")
    forget_inbox(bob.id)
    hook()
    message = new_id()
    where = plan([Recipient("bob@example.com")])
    received = {"login": None, "peer": "192.0.2.7", "protocol": "ESMTPS"}
    commit.run(Acceptance(message=message, prepared=prepare(CONTENT), plan=where, sender="far@far.test",
                          direction="in", received=received))  # fmt: skip
    (target,) = leased()
    received, delivered = said(target), None
    assert received[0]["data"]["message_id"] == "<1@example.com>"
    assert received[0]["data"]["subject"] == "Hello"
    settle(target, [Answer(take(target, timezone.now(), 1)[0].row)], timezone.now())
    (delivered,) = said(target)
    assert (delivered["type"], delivered["data"]["mailbox"]) == ("message.delivered", "INBOX")
    assert delivered["data"]["recipient"] == bob.email


# -- Whom it concerns --------------------------------------------------------------------------------------------------


def test_a_webhook_of_a_domain_hears_of_no_other(hook):
    hook(domains=["example.com"])
    accept("bob@far.test", sender="me@example.org", received=LOGGED_IN)
    accept("bob@far.test", sender="me@example.com", received=LOGGED_IN)
    (target,) = leased()
    assert [each["data"]["sender"] for each in said(target)] == ["me@example.com"]
    assert WebhookDelivery.objects.count() == 1  # the other one is dropped


def test_of_mail_from_elsewhere_it_hears_of_its_own_recipients_only(hook):
    hook(["accepted"], domains=["far.test"])
    accept("bob@far.test", "eve@other.test", sender="me@example.org", received=LOGGED_IN)
    (each,) = said(leased()[0])
    assert each["data"]["recipients"] == ["bob@far.test"]
    assert each["data"]["recipient_count"] == 1


# -- In which order ----------------------------------------------------------------------------------------------------


def test_messages_do_not_wait_for_each_other(hook):
    hook(["accepted", "deferred"])
    first, second = (accept("bob@far.test", received=LOGGED_IN) for _ in range(2))
    attempt("deferred", "450 4.2.0 Not yet")
    (target,) = leased()
    rows = take(target, timezone.now(), 100)
    assert [json.loads(row.body)["data"]["queue_id"] for row in rows] == [to_text(first), to_text(second)]
    # The first message's event is refused: what comes after it waits, the other message goes on.
    settle(target, [Answer(rows[0].row, "it answers 422"), Answer(rows[1].row)], timezone.now())
    (next_one,) = said(target)
    assert (next_one["type"], next_one["data"]["queue_id"]) == ("message.deferred", to_text(second))


def test_what_was_refused_comes_again_with_the_same_id_and_then_is_given_up(hook, monkeypatch):
    webhook = hook(["accepted", "deferred"])
    accept("bob@far.test", received=LOGGED_IN)
    attempt("deferred", "450 4.2.0 Not yet")
    (target,) = leased()
    now = timezone.now()
    (first,) = take(target, now, 10)
    settle(target, [Answer(first.row, "it answers 422")], now)
    assert take(target, now, 10) == []
    later = now + timedelta(seconds=PAUSES[0])
    assert take(target, later, 10) == [first]
    monkeypatch.setattr(env, "_current", dataclasses.replace(env.current(), webhook_lifetime=60))
    late = now + timedelta(seconds=61)
    settle(target, [Answer(first.row, "it answers 422")], late)
    row = webhook.deliveries.get(pk=first.row)
    assert (row.attempts, row.failed_at, row.last_error) == (2, late, "it answers 422")
    assert [json.loads(each.body)["type"] for each in take(target, late, 10)] == ["message.deferred"]
    assert outbox.forget_failed(late + timedelta(seconds=1)) == 1


def test_refusals_are_spaced_further_and_further():
    assert [outbox.pause(n).total_seconds() for n in (1, 2, 6, 7, 1000)] == [5, 30, 3600, 3600, 3600]


# -- A webhook that does not answer ------------------------------------------------------------------------------------


def test_one_that_is_away_is_left_alone_as_a_whole(hook):
    webhook = hook(["accepted"])
    for _ in range(3):
        accept("bob@far.test", received=LOGGED_IN)
    (target,) = leased()
    now = timezone.now()
    (one, *_others) = take(target, now, 10)
    assert settle(target, [Answer(one.row, "cannot reach it", unreachable=True)], now) is False
    let_go("me", target.id)
    assert leased(now=now) == []
    webhook.refresh_from_db()
    assert (webhook.failures, webhook.failing_since, webhook.last_error) == (1, now, "cannot reach it")
    (again,) = leased(now=now + timedelta(seconds=PAUSES[0]))
    assert again.failing
    assert settle(again, [Answer(one.row)], now) is True
    webhook.refresh_from_db()
    assert (webhook.failures, webhook.failing_since, webhook.last_error) == (0, None, "")


def test_how_long_it_asks_to_wait_is_how_long_it_is_left_alone(hook):
    hook(["accepted"])
    accept("bob@far.test", received=LOGGED_IN)
    (target,) = leased()
    now = timezone.now()
    (one,) = take(target, now, 10)
    settle(target, [Answer(one.row, "it answers 429", unreachable=True, after=900.0)], now)
    let_go("me", target.id)
    assert leased(now=now + timedelta(seconds=899)) == []
    assert leased(now=now + timedelta(seconds=900))


@pytest.mark.parametrize(("gone", "reason"), [(True, "gone"), (False, "failing")])
def test_one_that_wants_nothing_or_is_away_for_days_is_switched_off(hook, gone, reason):
    webhook = hook(["accepted"], failing_since=timezone.now() - timedelta(days=4), failures=9)
    accept("bob@far.test", received=LOGGED_IN)
    (target,) = leased()
    (one,) = take(target, timezone.now(), 10)
    settle(target, [Answer(one.row, "it answers 410", unreachable=not gone, gone=gone)], timezone.now())
    webhook.refresh_from_db()
    assert webhook.enabled is False
    entry = AuditEntry.objects.get(action="webhook_switched_off")
    assert entry.metadata["reason"] == reason
    accept("bob@far.test", received=LOGGED_IN)
    assert WebhookDelivery.objects.count() == 1  # nothing is added any more


def test_one_worker_at_a_time_has_it(hook):
    hook(["accepted"])
    accept("bob@far.test", received=LOGGED_IN)
    now = timezone.now()
    (target,) = leased("one", now)
    assert leased("two", now) == []
    assert leased("one", now, [target.id]) == []
    assert renew("two", target.id, now) is False
    assert renew("one", target.id, now) is True
    assert leased("two", now + outbox.LEASE + timedelta(seconds=1))  # the first one was killed
    assert renew("one", target.id, now) is False


# -- Replay and test ---------------------------------------------------------------------------------------------------


def test_replay_tells_the_same_again(hook):
    webhook = hook(["accepted", "deferred"])
    for n in range(3):
        accept(f"bob{n}@far.test", received=LOGGED_IN)
    attempt("deferred", "450 4.2.0 Not yet")
    (target,) = leased()
    before = []
    while batch := take(target, timezone.now(), 100):
        before += [each.id for each in batch]
        settle(target, [Answer(each.row) for each in batch], timezone.now())
    let_go("me", target.id)
    assert replay(webhook, timezone.now() - timedelta(hours=1), None)
    (target,) = leased()
    again = []
    while batch := take(target, timezone.now(), 100):
        assert all(json.loads(each.body)["replayed"] for each in batch)
        again += [each.id for each in batch]
        settle(target, [Answer(each.row) for each in batch], timezone.now())
    assert sorted(again) == sorted(before)
    assert len(set(again)) == 6
    webhook.refresh_from_db()
    assert webhook.replay_after is None


def test_replay_of_a_long_time_goes_on_piece_by_piece(hook, monkeypatch):
    monkeypatch.setattr(outbox, "_REPLAYED_AT_ONCE", 2)
    webhook = hook(["accepted"])
    Webhook.objects.filter(pk=webhook.pk).update(enabled=True)
    numbers = [accept("bob@far.test", received=LOGGED_IN) for _ in range(5)]
    WebhookDelivery.objects.all().delete()
    replay(webhook, timezone.now() - timedelta(hours=1), None)
    told = []
    for _ in range(20):
        for target in leased():
            for each in take(target, timezone.now(), 100):
                told.append(json.loads(each.body)["data"]["queue_id"])
                settle(target, [Answer(each.row)], timezone.now())
    assert told == [to_text(number) for number in numbers]
    webhook.refresh_from_db()
    assert webhook.replay_after is None


@pytest.mark.parametrize(("since", "until", "expected"), [
    (0, None, [0, 1, 2, 3]), (1, None, [1, 2, 3]), (1, 3, [1, 2]), (4, None, []), (0, 0, []), (2, 9, [2, 3]),
])  # fmt: skip
def test_replay_from_one_moment_to_another(hook, since, until, expected):
    webhook = hook(["accepted"])
    start = timezone.now() - timedelta(days=1)
    for n in range(4):
        number = accept(f"bob{n}@far.test", received=LOGGED_IN)
        MessageEvent.objects.filter(message=number).update(at=start + timedelta(minutes=n))
    WebhookDelivery.objects.all().delete()
    end = None if until is None else start + timedelta(minutes=until)
    assert replay(webhook, start + timedelta(minutes=since), end) is bool(expected)
    told = [each["data"]["recipients"][0] for target in leased() for each in said(target)]
    assert told == [f"bob{n}@far.test" for n in expected]


def test_what_the_log_has_forgotten_is_dropped(hook):
    hook(["accepted"])
    accept("bob@far.test", received=LOGGED_IN)
    MessageTrace.objects.all().delete()
    assert said(leased()[0]) == []
    assert WebhookDelivery.objects.count() == 0


def test_however_much_is_dropped_what_comes_after_it_is_found(hook):
    webhook = hook(["accepted"])
    now = timezone.now()
    common = {"webhook": webhook, "at": now, "kind": "received", "detail": {}, "queued_at": now, "next_attempt_at": now}
    WebhookDelivery.objects.bulk_create(WebhookDelivery(message=new_id(), **common) for _ in range(1500))
    number = accept("bob@far.test", received=LOGGED_IN)
    (told,) = take(leased()[0], timezone.now(), 1)
    assert json.loads(told.body)["data"]["queue_id"] == to_text(number)
    assert WebhookDelivery.objects.count() == 1


def test_a_test_says_nothing_and_each_has_an_id_of_its_own(hook):
    webhook = hook([], not_before=timezone.now() + timedelta(hours=1))
    now = timezone.now()
    rows = [outbox.put_test(webhook, now) for _ in range(2)]
    assert event_id(rows[0]) != event_id(rows[1])
    # It is nobody's mail: webhooks that want no event at all are asked too.
    webhook.events = ["bounced"]
    webhook.save(update_fields=["events"])
    (target,) = leased()
    (each,) = said(target)
    assert (each["type"], each["data"]) == ("test", {"webhook_id": f"webhook_{webhook.pk}"})


# -- Secrets and targets -----------------------------------------------------------------------------------------------


def test_two_secrets_sign_for_a_day():
    now = timezone.now()
    webhook = Webhook(url="https://hook.example/", events=["bounced"])
    first = webhooks.new_secret(webhook, now)
    assert webhooks.secrets_of(webhook, now) == (first,)
    second = webhooks.new_secret(webhook, now)
    assert webhooks.secrets_of(webhook, now) == (second, first)
    assert webhooks.secrets_of(webhook, now + timedelta(hours=24)) == (second,)
    assert first not in webhook.secret_encrypted
    assert first.startswith("whsec_")


@pytest.mark.parametrize(
    ("address", "targets", "encrypted", "may"),
    [
        ("8.8.8.8", "", True, True),
        ("8.8.8.8", "", False, False),
        ("127.0.0.1", "", True, False),
        ("10.0.0.7", "", True, False),
        ("169.254.169.254", "", True, False),
        ("::1", "", True, False),
        ("64:ff9b::7f00:1", "", True, False),
        ("2002:7f00:1::", "", True, False),
        ("10.0.0.7", "10.0.0.0/8", True, True),
        ("10.0.0.7", "10.0.0.0/8", False, True),
        ("10.0.0.7", "192.168.0.0/16,10.0.0.7", False, True),
        ("127.0.0.1", "10.0.0.0/8", True, False),
    ],
)
def test_which_addresses_may_be_told(monkeypatch, address, targets, encrypted, may):
    monkeypatch.setattr(env, "_current", dataclasses.replace(env.current(), webhook_targets=targets))
    assert webhooks.may_be_sent_to(address, encrypted=encrypted) is may
