"""Views: one a mailbox and process, kept true by reading what changed."""

import time

import pytest

from mailcore.store import commit, mailboxes, views
from mailcore.store.changes import Copy, Expunge, Mode, StoreFlags
from mailcore.store.commit import run
from mailcore.store.flags import FLAGGED, SEEN
from mailcore.store.mailboxes import plan_delete
from mailcore.store.models import Mailbox
from mailcore.store.refusals import NoSuchMailboxError
from mailcore.store.views import Views
from tests.mailcore.store.samples import append, make_user, message

pytestmark = pytest.mark.django_db


def flag(owner, mailbox, uids, flags=SEEN, *keywords):
    run(StoreFlags(owner, mailbox, uids, Mode.ADD, flags, keywords))


def expunge(owner, mailbox, *uids):
    run(Expunge(owner, mailbox, list(uids), flagged_only=False))


def content(snapshot):
    return list(zip(snapshot.uids, snapshot.flags, snapshot.keywords, strict=True))


def test_nobody_opens_the_mailbox_of_another(user, inbox):
    other = make_user()
    shared = Views()
    opened = shared.open(user, "INBOX", read_only=False)
    with pytest.raises(NoSuchMailboxError):
        shared.open(other, "INBOX", read_only=False)
    for ask in (other, user + 1000):
        with pytest.raises(NoSuchMailboxError):
            shared.changes(ask, inbox, 0, read_only=False)
        shared.close(ask, inbox)
    assert shared.changes(user, inbox, opened.snapshot.modseq, read_only=False).snapshot is opened.snapshot


def test_what_is_not_open_cannot_be_asked(user, inbox):
    with pytest.raises(NoSuchMailboxError):
        Views().changes(user, inbox, 0, read_only=True)
    with pytest.raises(NoSuchMailboxError):
        Views().open(user, "none", read_only=True)


def test_a_mailbox_is_seen_whole(user, inbox, monkeypatch):
    monkeypatch.setattr(views, "SLICE", 2)
    append(user, inbox, *[message() for _ in range(5)])
    flag(user, inbox, [2], SEEN | FLAGGED, "b", "a")
    opened = Views().open(user, "INBOX", read_only=False)
    row = Mailbox.objects.get(pk=inbox)
    assert content(opened.snapshot) == [(1, 0, ()), (2, SEEN | FLAGGED, ("a", "b")), (3, 0, ()), (4, 0, ()), (5, 0, ())]
    assert (opened.snapshot.modseq, opened.snapshot.uidnext) == (row.highestmodseq, 6)
    assert (opened.mailbox, opened.snapshot.uidvalidity, opened.special_use) == (inbox, row.uidvalidity, "")


def test_changes_tell_what_is_new_changed_and_gone(user, inbox):
    append(user, inbox, *[message() for _ in range(3)])
    shared = Views()
    since = shared.open(user, "INBOX", read_only=False).snapshot.modseq
    flag(user, inbox, [1])
    expunge(user, inbox, 2)
    append(user, inbox, message())
    changes = shared.changes(user, inbox, since, read_only=False)
    assert content(changes.snapshot) == [(1, SEEN, ()), (3, 0, ()), (4, 0, ())]
    assert (list(changes.updated), list(changes.vanished)) == ([1, 4], [2])
    again = shared.changes(user, inbox, changes.snapshot.modseq, read_only=False)
    assert (list(again.updated), list(again.vanished)) == ([], [])
    assert again.snapshot is changes.snapshot


@pytest.mark.parametrize("steps", [64, 1])
def test_who_lags_behind_is_told_everything(user, inbox, steps, monkeypatch):
    monkeypatch.setattr(views, "STEPS", steps)
    append(user, inbox, *[message() for _ in range(6)])
    shared = Views()
    since = shared.open(user, "INBOX", read_only=False).snapshot.modseq
    told = shared.open(user, "INBOX", read_only=False)
    for act in (
        lambda: flag(user, inbox, [1, 2]),
        lambda: expunge(user, inbox, 2, 5),
        lambda: append(user, inbox, message()),
        lambda: flag(user, inbox, [1, 7], FLAGGED),
    ):
        act()
        shared.changes(user, inbox, told.snapshot.modseq, read_only=False)
    late = shared.changes(user, inbox, since, read_only=False)
    assert (list(late.updated), list(late.vanished)) == ([1, 7], [2, 5])


def test_what_came_and_went_between_two_looks_is_no_harm(user, inbox):
    shared = Views()
    since = shared.open(user, "INBOX", read_only=False).snapshot.modseq
    append(user, inbox, message(), message())
    expunge(user, inbox, 1)
    changes = shared.changes(user, inbox, since, read_only=False)
    assert list(changes.snapshot.uids) == [2]


def test_a_deleted_mailbox_is_said_to_be_gone(user, inbox):
    run(mailboxes.CreateMailbox(user, "a"))
    shared = Views()
    opened = shared.open(user, "a", read_only=False)
    run(plan_delete(user, "a"))
    with pytest.raises(NoSuchMailboxError):
        shared.changes(user, opened.mailbox, 0, read_only=False)
    shared.close(user, opened.mailbox)


def test_a_message_is_recent_for_one_session_only(user, inbox):
    append(user, inbox, message())
    shared = Views()
    assert shared.open(user, "INBOX", read_only=True).recent_from == 1
    assert shared.open(user, "INBOX", read_only=False).recent_from == 1
    assert shared.open(user, "INBOX", read_only=False).recent_from == 2
    append(user, inbox, message())
    assert shared.changes(user, inbox, 0, read_only=True).recent_from == 2
    assert shared.changes(user, inbox, 0, read_only=False).recent_from == 2
    assert shared.changes(user, inbox, 0, read_only=False).recent_from == 3


def test_what_was_recent_once_is_not_again_after_everybody_has_left(user, inbox):
    append(user, inbox, message())
    mailboxes.views.open(user, "INBOX", read_only=False)
    assert mailboxes.status(user, "INBOX").recent == 0
    mailboxes.views.close(user, inbox)
    assert Mailbox.objects.get(pk=inbox).first_recent_uid == 2
    assert Views().open(user, "INBOX", read_only=False).recent_from == 2


def test_leaving_asks_the_database_nothing_when_nothing_was_recent(user, inbox, django_assert_num_queries):
    append(user, inbox, message())
    shared = Views()
    shared.open(user, "INBOX", read_only=False)
    assert shared.leave(user, inbox) == 2
    shared.mark(user, inbox, 2)
    for read_only in (False, True):
        shared.open(user, "INBOX", read_only=read_only)
        with django_assert_num_queries(0):
            assert shared.leave(user, inbox) is None


def test_examine_leaves_messages_recent(user, inbox):
    append(user, inbox, message())
    shared = Views()
    shared.open(user, "INBOX", read_only=True)
    shared.close(user, inbox)
    assert Mailbox.objects.get(pk=inbox).first_recent_uid == 1


def test_sessions_share_one_view_and_few_are_kept_when_all_have_left(user, inbox, monkeypatch):
    monkeypatch.setattr(views, "IDLE_VIEWS", 1)
    shared = Views()
    first = shared.open(user, "INBOX", read_only=True)
    assert shared.open(user, "INBOX", read_only=True).snapshot is first.snapshot
    shared.close(user, inbox)
    shared.open(user, "Sent", read_only=True)
    shared.close(user, mailboxes.find(user, "Sent"))
    assert shared.changes(user, inbox, 0, read_only=True).snapshot is first.snapshot  # one session is still there
    shared.close(user, inbox)
    assert list(shared._views) == [inbox]


def test_notices_are_asked_for_before_the_mailbox_is_read(user, inbox):
    def before(mailbox):
        assert mailbox == inbox
        append(user, inbox, message())

    assert list(Views().open(user, "INBOX", read_only=True, before=before).snapshot.uids) == [1]


def test_copies_into_an_open_mailbox_are_seen(user, inbox):
    append(user, inbox, message(), message(), flags=SEEN, keywords=("a",))
    shared = Views()
    sent = shared.open(user, "Sent", read_only=False)
    run(Copy(user, inbox, [1, 2], sent.mailbox, move=True))
    changes = shared.changes(user, sent.mailbox, sent.snapshot.modseq, read_only=False)
    assert content(changes.snapshot) == [(1, SEEN, ("a",)), (2, SEEN, ("a",))]


@pytest.fixture
def followed():
    """Views that are told of every commit, as those of a process are."""
    shared = Views()
    commit.on_commit(shared.follow)
    yield shared
    commit._listeners.remove(shared.follow)


def known(shared, owner, mailbox, since, *, heard=0, looking_since=0.0):
    return shared.known_changes(owner, mailbox, since, read_only=False, heard=heard, looking_since=looking_since)


@pytest.mark.django_db(transaction=True)
def test_a_view_follows_what_this_process_commits_without_reading(user, inbox, followed, django_assert_num_queries):
    append(user, inbox, message(), message())
    since = followed.open(user, "INBOX", read_only=False).snapshot.modseq
    flag(user, inbox, [2], FLAGGED, "b", "a")
    expunge(user, inbox, 1)
    append(user, inbox, message(), flags=SEEN)
    run(Copy(user, inbox, [2], inbox))
    with django_assert_num_queries(0):
        changes = known(followed, user, inbox, since)
    assert content(changes.snapshot) == [(2, FLAGGED, ("a", "b")), (3, SEEN, ()), (4, FLAGGED, ("a", "b"))]
    assert (list(changes.updated), list(changes.vanished)) == ([2, 3, 4], [1])
    fresh = Views().open(user, "INBOX", read_only=True).snapshot
    assert fresh == changes.snapshot


class Both:
    """Two works in one transaction."""

    weight = 0

    def __init__(self, *works):
        self.works = works
        self.users = {user for work in works for user in work.users}
        self.mailboxes = {mailbox for work in works for mailbox in work.mailboxes}

    def apply(self, batch):
        return [work.apply(batch) for work in self.works]


@pytest.mark.django_db(transaction=True)
def test_what_is_changed_twice_in_one_transaction_is_followed(user, inbox, followed):
    append(user, inbox, *[message() for _ in range(4)])
    followed.open(user, "INBOX", read_only=False)
    run(
        Both(
            StoreFlags(user, inbox, [1, 2, 4], Mode.ADD, SEEN, ()),
            StoreFlags(user, inbox, [1, 3], Mode.ADD, FLAGGED, ("x",)),
            Expunge(user, inbox, [2, 4], flagged_only=False),
            Copy(user, inbox, [1], inbox),
        )
    )
    fresh = Views().open(user, "INBOX", read_only=True).snapshot
    assert followed._views[inbox].snapshot == fresh
    assert content(fresh) == [(1, SEEN | FLAGGED, ("x",)), (3, FLAGGED, ("x",)), (5, SEEN | FLAGGED, ("x",))]


@pytest.mark.django_db(transaction=True)
def test_what_cannot_be_known_from_memory_is_read(user, inbox, followed, monkeypatch):
    append(user, inbox, message())
    snapshot = followed.open(user, "INBOX", read_only=False).snapshot
    assert known(followed, user, inbox, snapshot.modseq).snapshot is snapshot
    assert known(followed, user + 1, inbox, snapshot.modseq) is None
    assert known(followed, user, inbox + 1, snapshot.modseq) is None
    assert known(followed, user, inbox, snapshot.modseq, heard=snapshot.modseq + 1) is None
    assert known(followed, user, inbox, snapshot.modseq, looking_since=time.monotonic()) is None
    assert known(followed, user, inbox, snapshot.modseq - 1) is None  # from before the view began
    monkeypatch.setattr(views, "TRUSTED", -1.0)
    assert known(followed, user, inbox, snapshot.modseq) is None


@pytest.mark.django_db(transaction=True)
def test_a_view_that_missed_a_change_follows_no_later_one(user, inbox, followed):
    append(user, inbox, message(), message())
    since = followed.open(user, "INBOX", read_only=False).snapshot.modseq
    with followed._views[inbox].lock:  # somebody is reading
        flag(user, inbox, [1])
    flag(user, inbox, [2])
    assert known(followed, user, inbox, since, heard=since + 2) is None
    assert list(followed.changes(user, inbox, since, read_only=False).updated) == [1, 2]
    flag(user, inbox, [1], FLAGGED)
    assert list(known(followed, user, inbox, since, heard=since + 3).updated) == [1, 2]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("ending", ["delete", "rename"])
def test_a_mailbox_that_is_deleted_or_emptied_by_rename_is_read_again(user, inbox, followed, ending):
    append(user, inbox, message())
    name = "INBOX" if ending == "rename" else "other"
    mailbox = inbox if ending == "rename" else run(mailboxes.CreateMailbox(user, name))
    since = followed.open(user, name, read_only=False).snapshot.modseq
    run(plan_delete(user, name) if ending == "delete" else mailboxes.plan_rename(user, name, "elsewhere"))
    assert known(followed, user, mailbox, since, heard=since + 1) is None


def test_a_transaction_that_is_not_over_is_not_followed(user, inbox, followed):
    append(user, inbox, message())
    snapshot = followed.open(user, "INBOX", read_only=False).snapshot
    flag(user, inbox, [1])  # inside the test's own transaction
    assert followed._views[inbox].snapshot is snapshot
