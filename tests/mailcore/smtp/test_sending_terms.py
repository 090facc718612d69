"""On which terms one may send: limits that hold mail, time to think it over, mail for later (RFC 4865)."""

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone
from test_smtp_backend import Doors, logged_in, now

from a3mailer_site import env
from mailcore.conversation import CommandRefusedError
from mailcore.delivery import claims
from mailcore.delivery.local import deliver_here
from mailcore.delivery.settlement import Settlements, settle
from mailcore.intake.sending import FAR_TOO_MUCH
from mailcore.message.envelope import Client, Envelope, Recipient
from mailcore.smtp.backend import accept_message, check_sender
from mailcore.smtp.grammar import make_envelope, parse_sender
from mailcore.smtp.questions import AcceptMessage, CheckSender
from mailcore.smtp.replies import BAD_ARGUMENT, TOO_FAR_AHEAD, UNKNOWN_PARAMETER
from mailcore.store import commit, spool
from mailcore.store.mailboxes import forget_inbox
from mailcore.store.models import Message
from mailqueue import holds, interventions, sending
from mailqueue.counts import tallies
from mailqueue.models import MessageEvent, MessageTrace, QueuedMessage, QueueEntry, SendingTally
from mailqueue.timeline import timeline
from security.models import AuditEntry

pytestmark = pytest.mark.django_db
LETTER = b"From: <alice@example.com>\r\nSubject: x\r\n\r\nhello\r\n"
FAR = "far@elsewhere.example"


@pytest.fixture
def alice(make_user):
    user = make_user("alice@example.com")
    forget_inbox(user.pk)
    return user


@pytest.fixture
def bob(make_user):
    user = make_user("bob@example.com")
    forget_inbox(user.pk)
    return user


@pytest.fixture
def setting(monkeypatch):
    def change(**fields):
        monkeypatch.setattr(env, "_current", dataclasses.replace(env.current(), **fields))

    return change


def send(user, *recipients, **fields):
    body = spool.Spool()
    body.write(LETTER)
    envelope = Envelope(logged_in(user), "alice@example.com", tuple(map(Recipient, recipients)), body.size, **fields)
    return now(accept_message(AcceptMessage(envelope, body), Doors()))


def many(count, start=0):
    return [f"r{start + number}@elsewhere.example" for number in range(count)]


# -- Limits ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("of_server", "of_user", "of_domain", "code"),
    [
        ("0/0", {}, {}, ""),
        ("5/0", {}, {}, "limit:user:hour:5"),
        ("0/5", {}, {}, "limit:user:day:5"),
        ("100/100", {}, {}, ""),
        ("5/5", {"send_limit_hour": 0, "send_limit_day": 0}, {}, ""),
        ("0/0", {"send_limit_hour": 5}, {}, "limit:user:hour:5"),
        ("0/0", {"send_limit_day": 5}, {}, "limit:user:day:5"),
        ("0/0", {}, {"send_limit_hour": 5}, "limit:domain:hour:5"),
        ("0/0", {}, {"send_limit_day": 5}, "limit:domain:day:5"),
    ],
)
def test_what_is_beyond_a_limit_is_accepted_and_held(alice, setting, of_server, of_user, of_domain, code):
    setting(send_limits=of_server)
    type(alice).objects.filter(pk=alice.pk).update(**of_user) if of_user else None
    type(alice.domain).objects.filter(pk=alice.domain.pk).update(**of_domain) if of_domain else None
    assert send(alice, *many(5)).code == 250
    assert send(alice, FAR).code == 250
    assert QueueEntry.objects.filter(state="held").count() == (1 if code else 0)
    assert list(QueueEntry.objects.filter(state="held").values_list("recipient", "hold_reason")) == (
        [(FAR, code)] if code else []
    )
    number = tallies()
    assert (number["held"], number["retry"]) == ((1, 1) if code else (0, 0))


def test_the_administrator_hears_of_it_once(alice, make_user, setting):
    root = make_user("root@example.com", is_staff=True, is_superuser=True)
    forget_inbox(root.pk)
    setting(send_limits="3/0")
    send(alice, *many(3))
    for number in range(4):
        send(alice, f"x{number}@elsewhere.example")
    (entry,) = AuditEntry.objects.filter(action="sending_limit_reached")
    assert entry.severity == "warning"
    assert entry.user_id == f"user_{alice.pk}"
    assert Message.objects.filter(mailbox__owner=root).count() == 1
    tally = SendingTally.objects.get(kind="user")
    assert (tally.recipients, tally.held, tally.alarmed) == (7, 4, True)


def test_far_beyond_it_nothing_is_taken_any_more(alice, setting):
    setting(send_limits="3/0")
    assert send(alice, *many(15)).code == 250
    assert send(alice, FAR) == FAR_TOO_MUCH
    assert QueueEntry.objects.count() == 15


def test_one_large_message_of_somebody_with_a_low_limit_waits_for_somebody_to_look_at_it(alice, setting):
    setting(send_limits="3/0")
    assert send(alice, *many(50)).code == 250
    assert set(QueueEntry.objects.values_list("state", flat=True)) == {"held"}
    assert send(alice, FAR) == FAR_TOO_MUCH


def test_mail_to_mailboxes_here_is_not_counted(alice, bob, setting):
    setting(send_limits="1/1")
    for _ in range(5):
        assert send(alice, "bob@example.com").code == 250
    assert Message.objects.count() == 5
    assert not SendingTally.objects.exists()


def test_of_a_message_to_both_only_what_leaves_is_held(alice, bob, setting):
    setting(send_limits="1/0")
    send(alice, FAR)
    assert send(alice, "bob@example.com", "x@elsewhere.example").code == 250
    assert Message.objects.count() == 1
    assert QueueEntry.objects.get(state="held").recipient == "x@elsewhere.example"


def test_an_hour_slides(alice, setting):
    setting(send_limits="10/0")
    at = datetime(2026, 11, 27, 12, 15, tzinfo=UTC)
    hour = sending.hour_of(at)
    SendingTally.objects.create(kind="user", number=alice.pk, hour=hour, recipients=2)
    SendingTally.objects.create(kind="user", number=alice.pk, hour=hour - 1, recipients=8)
    SendingTally.objects.create(kind="user", number=alice.pk, hour=hour - 24, recipients=100)
    SendingTally.objects.create(kind="user", number=alice.pk + 1, hour=hour, recipients=1000)
    assert sending.used("user", alice.pk, at) == (2 + 6, 10 + 75)
    limit = sending.Limit("user", alice.pk, 10, 0)
    assert sending.excess([limit], 2, at) is None
    assert sending.excess([limit], 3, at).code == "limit:user:hour:10"
    assert sending.forget(at) == 2


def test_what_is_released_goes_and_what_is_discarded_can_be_had_back(alice, setting):
    setting(send_limits="1/0")
    send(alice, FAR)
    send(alice, "x@elsewhere.example")
    held = QueueEntry.objects.filter(state="held")
    steps = [step.text for step in timeline(held.get().message_id).steps]
    assert "The user has sent to more than 1 recipients within an hour." in steps
    assert interventions.release(held, timezone.now(), "root") == 1
    entry = QueueEntry.objects.get(recipient="x@elsewhere.example")
    assert (entry.state, entry.hold_reason) == ("queued", "")
    interventions.hold(QueueEntry.objects.all(), timezone.now(), "root")
    assert holds.words(QueueEntry.objects.first().hold_reason) == "root has held it."


@pytest.mark.parametrize("text", ["5", "a/b", "-1/5", "5/", "/"])
def test_limits_that_are_none_are_refused_at_the_start(text):
    with pytest.raises(env.SettingError, match="A3MAILER_SEND_LIMITS"):
        dataclasses.replace(env.current(), send_limits=text)


def test_in_production_there_are_limits_unless_somebody_says_otherwise():
    assert dataclasses.replace(env.current(), profile="production").sending_limits == (1000, 5000)
    assert dataclasses.replace(env.current(), profile="production", send_limits="0/0").sending_limits == (0, 0)


# -- Time to think it over ---------------------------------------------------------------------------------------------


def test_what_can_be_taken_back_is_with_nobody_yet(alice, bob):
    type(alice).objects.filter(pk=alice.pk).update(undo_seconds=30)
    before = timezone.now()
    assert send(alice, FAR, "bob@example.com").code == 250
    assert Message.objects.count() == 0
    message = QueuedMessage.objects.get()
    assert 29 < (message.release_at - before).total_seconds() < 35
    assert message.expires_at > before + timedelta(days=5)
    assert claims.claim("w", before + timedelta(seconds=25), 10) == []
    assert claims.mend(timezone.now()) == 0
    jobs = claims.claim("w", message.release_at, 10)
    assert sorted(entry.recipient for job in jobs for entry in job.entries) == ["bob@example.com", FAR]
    (here,) = [job for job in jobs if job.nexthop.local]
    commit.run(Settlements([settle(here, deliver_here(here), timezone.now())]))
    assert Message.objects.count() == 1


def test_strangers_cannot_have_their_mail_held_up(alice, bob):
    type(bob).objects.update(undo_seconds=30)
    body = spool.Spool()
    body.write(LETTER)
    outside = Client(logged_in(alice).peer, None, "mx.example.net", "ESMTP")
    envelope = Envelope(outside, "s@example.net", (Recipient("bob@example.com"),), body.size)
    assert now(accept_message(AcceptMessage(envelope, body), Doors())).code == 250
    assert Message.objects.count() == 1


# -- For later ---------------------------------------------------------------------------------------------------------


def test_mail_for_later_is_not_due_before_and_expires_from_then_on(alice):
    week = 7 * 24 * 3600
    assert send(alice, FAR, hold_for=week).code == 250
    message = QueuedMessage.objects.get()
    assert abs((message.release_at - timezone.now()).total_seconds() - week) < 5
    assert message.expires_at - message.release_at == timedelta(seconds=env.current().queue_lifetime)
    # A clock that went wrong does not bring it forward.
    assert claims.mend(timezone.now()) == 0
    assert claims.claim("w", message.release_at - timedelta(seconds=1), 10) == []
    assert claims.claim("w", message.release_at, 10)
    kinds = MessageEvent.objects.filter(kind="queued").values_list("detail", flat=True)
    assert [detail["release_at"] for detail in kinds] == [message.release_at.isoformat()]


def test_a_moment_that_is_past_is_now(alice):
    assert send(alice, FAR, hold_until=1_000_000_000).code == 250
    assert QueuedMessage.objects.get().release_at is None
    assert claims.claim("w", timezone.now() + timedelta(seconds=1), 10)


def test_it_can_go_earlier_or_not_at_all(alice):
    send(alice, FAR, hold_for=3600)
    assert interventions.retry(QueueEntry.objects.all(), timezone.now(), "alice") == 1
    assert claims.claim("w", timezone.now() + timedelta(seconds=1), 10)
    assert MessageTrace.objects.get().status == "queued"


def test_nobody_hands_in_for_the_next_century(alice):
    later = int(timezone.now().timestamp()) + 31 * 24 * 3600
    assert now(check_sender(CheckSender(Envelope(logged_in(alice), "", hold_until=later)), Doors())) == TOO_FAR_AHEAD
    sooner = later - 2 * 24 * 3600
    assert now(check_sender(CheckSender(Envelope(logged_in(alice), "", hold_until=sooner)), Doors())) is None


@pytest.mark.parametrize(
    ("parameters", "longest", "found"),
    [
        ("HOLDFOR=60", 3600, (60, 0)),
        ("holdfor=0", 3600, (0, 0)),
        ("HOLDFOR=3600", 3600, (3600, 0)),
        ("HOLDFOR=3601", 3600, TOO_FAR_AHEAD),
        ("HOLDFOR=999999999", 3600, TOO_FAR_AHEAD),
        ("HOLDFOR=9999999999", 3600, BAD_ARGUMENT),
        ("HOLDFOR=-1", 3600, BAD_ARGUMENT),
        ("HOLDFOR", 3600, BAD_ARGUMENT),
        ("HOLDFOR=x", 3600, BAD_ARGUMENT),
        ("HOLDFOR=60", 0, UNKNOWN_PARAMETER),
        ("HOLDUNTIL=2026-11-27T12:00:00Z", 3600, (0, 1795780800)),
        ("HOLDUNTIL=2026-11-27t12:00:00z", 3600, (0, 1795780800)),
        ("HOLDUNTIL=2026-11-27T13:00:00+01:00", 3600, (0, 1795780800)),
        ("HOLDUNTIL=2026-11-27T12:00:00", 3600, BAD_ARGUMENT),
        ("HOLDUNTIL=2026-13-27T12:00:00Z", 3600, BAD_ARGUMENT),
        ("HOLDUNTIL=tomorrow", 3600, BAD_ARGUMENT),
        ("HOLDUNTIL", 3600, BAD_ARGUMENT),
        ("HOLDUNTIL=2026-11-27T12:00:00Z", 0, UNKNOWN_PARAMETER),
        ("HOLDFOR=60 HOLDUNTIL=2026-11-27T12:00:00Z", 3600, BAD_ARGUMENT),
    ],
)
def test_the_parameters_of_rfc_4865(alice, parameters, longest, found):
    sender, given = parse_sender(f"FROM:<alice@example.com> {parameters}")
    if isinstance(found, tuple):
        envelope = make_envelope(logged_in(alice), sender, given, 1000, longest)
        assert (envelope.hold_for, envelope.hold_until) == found
        assert envelope.with_size(7).hold_for == envelope.hold_for
    else:
        with pytest.raises(CommandRefusedError) as refused:
            make_envelope(logged_in(alice), sender, given, 1000, longest)
        assert refused.value.reply == found
