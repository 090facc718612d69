"""What was expunged, and for how long that is known."""

import time

import pytest

from mailcore.store import history
from mailcore.store.changes import Expunge
from mailcore.store.commit import run
from mailcore.store.history import KEEP, expunged_between, forget_expunged
from mailcore.store.models import Expunged, Mailbox
from mailcore.store.views import Views
from tests.mailcore.store.samples import append, make_user, message

pytestmark = pytest.mark.django_db


def expunge(user, mailbox, *uids):
    return run(Expunge(user, mailbox, list(uids), flagged_only=False)).modseq


def age(mailbox, seconds, **which):
    Expunged.objects.filter(mailbox_id=mailbox, **which).update(at=int(time.time()) - seconds)


def test_what_was_expunged_between_two_moments(user, inbox):
    append(user, inbox, *[message() for _ in range(5)])
    first, second = expunge(user, inbox, 2, 1), expunge(user, inbox, 4)
    assert expunged_between(user, inbox, 0, second) == [1, 2, 4]
    assert expunged_between(user, inbox, first, second) == [4]
    assert expunged_between(user, inbox, 0, first) == [1, 2]
    assert expunged_between(user, inbox, second, second) == []


def test_nobody_hears_of_the_mailbox_of_another(user, inbox):
    append(user, inbox, message())
    assert expunged_between(make_user(), inbox, 0, expunge(user, inbox, 1)) is None


def test_too_many_are_not_listed(user, inbox, monkeypatch):
    monkeypatch.setattr(history, "ANSWER_LIMIT", 2)
    append(user, inbox, *[message() for _ in range(3)])
    assert expunged_between(user, inbox, 0, expunge(user, inbox, 1, 2)) == [1, 2]
    assert expunged_between(user, inbox, 0, expunge(user, inbox, 3)) is None


def test_the_old_is_forgotten_and_the_mailbox_knows_how_far(user, inbox, monkeypatch):
    monkeypatch.setattr(history, "_SLICE", 2)
    append(user, inbox, *[message() for _ in range(6)])
    old = [expunge(user, inbox, uid) for uid in (1, 2, 3)]
    age(inbox, KEEP + 10)
    young = expunge(user, inbox, 4)
    assert forget_expunged(time.time()) == 3
    assert forget_expunged(time.time()) == 0
    assert Mailbox.objects.get(pk=inbox).history == old[-1]
    assert expunged_between(user, inbox, old[-1] - 1, young) is None
    assert expunged_between(user, inbox, old[-1], young) == [4]


def test_nothing_is_forgotten_before_its_time(user, inbox):
    append(user, inbox, message())
    expunge(user, inbox, 1)
    age(inbox, KEEP - 10)
    assert forget_expunged(time.time()) == 0
    assert Mailbox.objects.get(pk=inbox).history == 0


def test_a_view_that_nobody_looked_at_for_so_long_is_made_anew(user, inbox):
    append(user, inbox, *[message() for _ in range(3)])
    views = Views()
    views.close(user, views.open(user, "INBOX", read_only=True).mailbox)
    expunge(user, inbox, 2)  # these views are not told: as when another process does it
    age(inbox, KEEP + 10)
    forget_expunged(time.time())
    opened = views.open(user, "INBOX", read_only=True)
    assert list(opened.snapshot.uids) == [1, 3]
    assert list(views.changes(user, inbox, opened.snapshot.modseq, read_only=True).vanished) == []
