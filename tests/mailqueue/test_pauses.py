"""Pausing a destination: its mail stays, says why, and goes when somebody lets it go."""

from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from mailqueue import pauses
from mailqueue.models import QueueDestination, QueueEntry
from queued import accept, claim

pytestmark = pytest.mark.django_db


def claimed(now=None):
    return sorted(entry.recipient for job in claim("w", now) for entry in job.entries)


def test_mail_for_it_stays_and_says_why():
    now = timezone.now()
    pauses.pause("far.test", now, "root", reason="they are moving", request=None)
    accept("bob@far.test")
    accept("amy@near.test")
    later = now + timedelta(seconds=1)
    assert claimed(later) == ["amy@near.test"]
    assert pauses.waiting(["far.test", "near.test"]) == {"far.test": 1, "near.test": 0}
    entry = QueueEntry.objects.get(parked__gt=0)
    assert entry.last_reply == "mail for far.test is held back by the administrator"
    assert pauses.resume(["far.test", "near.test"], later, request=None) == 1
    assert claimed(later) == ["bob@far.test"]


def test_a_pause_ends_by_itself():
    now = timezone.now()
    pauses.pause("far.test", now, "root", until=now + timedelta(hours=1), request=None)
    accept("bob@far.test")
    assert claimed(now + timedelta(minutes=59)) == []
    from mailcore.delivery.claims import resume_paused

    assert resume_paused(now + timedelta(minutes=59)) == 0
    assert resume_paused(now + timedelta(minutes=61)) == 1
    assert claimed(now + timedelta(minutes=61)) == ["bob@far.test"]


def test_what_is_away_can_be_looked_at_now():
    now = timezone.now()
    QueueDestination.objects.create(name="far.test", failures=3, next_attempt_at=now + timedelta(hours=1))
    QueueDestination.objects.create(name="paused.test", failures=3, paused=True, next_attempt_at=now)
    assert pauses.probe(["far.test", "paused.test"], now) == 1
    assert QueueDestination.objects.get(pk="far.test").next_attempt_at == now


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Far.Test", "far.test"),
        (" far.test ", "far.test"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("[192.0.2.1]", "[192.0.2.1]"),
    ],
)
def test_a_destination_has_one_name(text, name):
    assert pauses.destination_name(text) == name


@pytest.mark.parametrize("text", ["", "no domain", "a..b", "@", "-"])
def test_what_is_no_destination_is_refused(text):
    with pytest.raises(ValidationError):
        pauses.destination_name(text)
