"""Flags, expunge, copy, move, append: what they change, what they refuse, and what they must not touch."""

import pytest

from accounts.models import User
from mailcore.store import mailboxes
from mailcore.store.batch import GoneError, OverQuotaError
from mailcore.store.changes import Append, Copy, Expunge, Mode, NewMessage, StoreFlags
from mailcore.store.commit import run
from mailcore.store.flags import ANSWERED, DELETED, FLAGGED, SEEN
from mailcore.store.models import Expunged, Mailbox, Message
from mailcore.store.prepared import prepare
from mailcore.store.refusals import LimitError, NoSuchMailboxError
from mailqueue.bodies import ROW_LIMIT
from mailqueue.models import Body
from tests.mailcore.store.samples import append, make_user, message

pytestmark = pytest.mark.django_db


@pytest.fixture
def five(user, inbox):
    """Five messages with the UIDs 1 to 5."""
    return append(user, inbox, *[message() for _ in range(5)])


def box(mailbox):
    return Mailbox.objects.get(pk=mailbox)


def rows(mailbox):
    return list(Message.objects.filter(mailbox_id=mailbox).order_by("uid").values_list("uid", "flags", "keywords"))


def store(owner, mailbox, uids, mode=Mode.ADD, flags=0, *keywords, since=None):
    return run(StoreFlags(owner, mailbox, uids, mode, flags, keywords, since))


def state(mailbox):
    """Everything that a refused work must leave as it was."""
    return (
        Mailbox.objects.filter(pk=mailbox).values().get(),
        list(Message.objects.filter(mailbox_id=mailbox).values().order_by("uid")),
        list(Expunged.objects.values("mailbox_id", "uid", "modseq")),
        list(User.objects.order_by("pk").values_list("pk", "used_quota")),
        Body.objects.count(),
    )


# -- Refusals ---------------------------------------------------------------------------------------------------------


def test_nobody_changes_the_messages_of_another(user, inbox, five):
    other = make_user()
    theirs = mailboxes.inbox_id(other)
    before = state(inbox)
    for work, error in (
        (StoreFlags(other, inbox, five, Mode.ADD, DELETED), GoneError),
        (Expunge(other, inbox, five, flagged_only=False), GoneError),
        (Copy(other, inbox, five, theirs), GoneError),
        (Copy(other, inbox, five, theirs, move=True), GoneError),
        (Copy(other, theirs, [1], inbox), NoSuchMailboxError),
        (Copy(user, inbox, five, theirs), NoSuchMailboxError),
        (Copy(user, inbox, five, theirs, move=True), NoSuchMailboxError),
        (Append(other, inbox, [NewMessage(prepare(message()))]), NoSuchMailboxError),
    ):
        with pytest.raises(error):
            run(work)
    assert state(inbox) == before


def test_a_mailbox_that_is_gone_is_said_to_be(user):
    for work, error in (
        (StoreFlags(user, 1 << 40, [1], Mode.ADD, SEEN), GoneError),
        (Expunge(user, 1 << 40), GoneError),
        (Append(user, 1 << 40, [NewMessage(prepare(message()))]), NoSuchMailboxError),
    ):
        with pytest.raises(error):
            run(work)


def test_append_and_copy_over_quota_change_nothing_and_a_move_needs_no_room(user, inbox):
    content = message()
    uids = append(user, inbox, content)
    User.objects.filter(pk=user).update(quota=2 * len(content) - 1)
    sent = mailboxes.find(user, "Sent")
    before = state(inbox)
    for work in (Append(user, inbox, [NewMessage(prepare(content))]), Copy(user, inbox, uids, sent)):
        with pytest.raises(OverQuotaError):
            run(work)
    assert state(inbox) == before
    assert run(Copy(user, inbox, uids, sent, move=True)).target_uids == [1]
    assert User.objects.get(pk=user).used_quota == len(content)


def test_an_append_of_several_is_all_or_none(user, inbox):
    content = message()
    User.objects.filter(pk=user).update(quota=3 * len(content))
    before = state(inbox)
    with pytest.raises(OverQuotaError):
        append(user, inbox, *[content] * 4)
    assert state(inbox) == before
    assert append(user, inbox, *[content] * 3) == [1, 2, 3]


@pytest.mark.parametrize("words", [[f"k{n}" for n in range(65)], ["x" * 101]])
def test_too_many_or_too_long_keywords_are_refused(user, inbox, five, words):
    before = state(inbox)
    for mode in (Mode.ADD, Mode.REPLACE):
        with pytest.raises(LimitError):
            store(user, inbox, five, mode, SEEN, *words)
    with pytest.raises(LimitError):
        append(user, inbox, message(), keywords=tuple(words))
    assert state(inbox)[:4] == before[:4]


# -- Flags ------------------------------------------------------------------------------------------------------------


def test_add_remove_and_replace(user, inbox, five):
    store(user, inbox, [1, 2], Mode.ADD, SEEN | FLAGGED, "Work")
    store(user, inbox, [2], Mode.REMOVE, FLAGGED, "work")
    store(user, inbox, [3], Mode.REPLACE, ANSWERED, "b", "a")
    assert rows(inbox) == [(1, SEEN | FLAGGED, "Work"), (2, SEEN, ""), (3, ANSWERED, "a b"), (4, 0, ""), (5, 0, "")]
    assert box(inbox).unseen == 3
    store(user, inbox, five, Mode.REPLACE, 0)
    assert rows(inbox) == [(uid, 0, "") for uid in five]
    assert box(inbox).unseen == 5


def test_the_answer_has_every_message_that_is_there_in_order(user, inbox, five):
    run(Expunge(user, inbox, [3], flagged_only=False))
    store(user, inbox, [2], Mode.ADD, SEEN)
    old = dict(Message.objects.filter(mailbox_id=inbox).values_list("uid", "modseq"))
    stored = store(user, inbox, [1, 2, 3, 5, 99], Mode.ADD, SEEN)
    now = box(inbox).highestmodseq
    assert stored.rows == [(1, SEEN, (), now), (2, SEEN, (), old[2]), (5, SEEN, (), now)]
    assert stored.failed == []
    assert Message.objects.get(mailbox_id=inbox, uid=4).flags == 0


def test_what_changes_nothing_takes_no_modseq(user, inbox, five):
    store(user, inbox, five, Mode.ADD, SEEN, "a")
    before = box(inbox).highestmodseq
    store(user, inbox, five, Mode.ADD, SEEN, "A")
    store(user, inbox, five, Mode.REMOVE, FLAGGED, "b")
    store(user, inbox, five, Mode.REPLACE, SEEN, "A")
    store(user, inbox, [], Mode.ADD, FLAGGED)
    store(user, inbox, [77], Mode.ADD, FLAGGED)
    assert box(inbox).highestmodseq == before


def test_all_changes_of_one_store_have_one_new_modseq(user, inbox, five):
    store(user, inbox, [2], Mode.ADD, FLAGGED)
    before = box(inbox).highestmodseq
    stored = store(user, inbox, five, Mode.ADD, SEEN)
    assert {row[3] for row in stored.rows} == {before + 1} == {box(inbox).highestmodseq}


def test_unchangedsince_leaves_newer_messages_alone(user, inbox, five):
    since = box(inbox).highestmodseq
    store(user, inbox, [2, 4], Mode.ADD, FLAGGED)
    stored = store(user, inbox, five, Mode.ADD, SEEN, since=since)
    assert [row[0] for row in stored.rows] == [1, 3, 5]
    assert stored.failed == [2, 4]
    assert rows(inbox)[1] == (2, FLAGGED, "")
    assert store(user, inbox, five, Mode.REMOVE, SEEN, since=0).failed == five


@pytest.mark.parametrize("uids", [[1, 3, 5, 7], list(range(1, 41)), [2, 39], [1, 2, 3, 30, 31, 40]])
def test_any_set_of_uids_is_hit_and_nothing_else(user, inbox, uids):
    append(user, inbox, *[message() for _ in range(40)])
    run(Expunge(user, inbox, [4, 5, 20], flagged_only=False))
    # Forty different keywords make more groups than are updated by group.
    for uid in range(1, 41):
        store(user, inbox, [uid], Mode.ADD, 0, f"k{uid}")
    store(user, inbox, uids, Mode.ADD, FLAGGED)
    there = set(range(1, 41)) - {4, 5, 20}
    assert {uid for uid, flags, _ in rows(inbox) if flags} == there & set(uids)
    assert all(words == f"k{uid}" for uid, _, words in rows(inbox))


# -- Expunge ----------------------------------------------------------------------------------------------------------


def test_expunge_takes_flagged_messages_and_with_uids_only_those(user, inbox, five):
    store(user, inbox, [1, 3, 5], Mode.ADD, DELETED)
    assert run(Expunge(user, inbox, [1, 2])).uids == [1]
    removed = run(Expunge(user, inbox))
    assert removed == ([3, 5], box(inbox).highestmodseq)
    assert [row[0] for row in rows(inbox)] == [2, 4]
    assert set(Expunged.objects.filter(mailbox_id=inbox).values_list("uid", flat=True)) == {1, 3, 5}
    before = state(inbox)
    assert run(Expunge(user, inbox)) == ([], removed.modseq)
    assert state(inbox) == before


def test_expunge_without_flags_is_what_pop3_wants(user, inbox, five):
    assert run(Expunge(user, inbox, [2, 4, 9], flagged_only=False)).uids == [2, 4]


def test_uids_are_never_given_again(user, inbox, five):
    run(Expunge(user, inbox, [5], flagged_only=False))
    assert append(user, inbox, message()) == [6]


# -- Copy and move ----------------------------------------------------------------------------------------------------


def test_a_copy_shares_the_body_and_keeps_flags_keywords_and_date(user, inbox):
    append(user, inbox, message(), flags=SEEN | FLAGGED, keywords=("a",), internal_date=12345)
    sent = mailboxes.find(user, "Sent")
    copied = run(Copy(user, inbox, [1, 2], sent))
    assert copied == (box(sent).uidvalidity, [1], [1])
    columns = "body_id", "flags", "keywords", "internal_date", "size"
    assert Message.objects.values(*columns).get(mailbox_id=sent) == Message.objects.values(*columns).get(
        mailbox_id=inbox
    )
    assert Body.objects.count() == 1
    assert User.objects.get(pk=user).used_quota == 2 * box(inbox).size


def test_a_move_leaves_the_source_and_the_quota_as_it_was(user, inbox, five):
    store(user, inbox, [2], Mode.ADD, SEEN)
    used = User.objects.get(pk=user).used_quota
    sent = mailboxes.find(user, "Sent")
    moved = run(Copy(user, inbox, [2, 4], sent, move=True))
    assert (moved.source_uids, moved.target_uids) == ([2, 4], [1, 2])
    assert [row[0] for row in rows(inbox)] == [1, 3, 5]
    assert (box(inbox).messages, box(inbox).unseen, box(sent).messages, box(sent).unseen) == (3, 3, 2, 1)
    assert User.objects.get(pk=user).used_quota == used


@pytest.mark.parametrize("move", [False, True])
def test_a_mailbox_can_be_its_own_target(user, inbox, five, move):
    assert run(Copy(user, inbox, [1, 2], inbox, move=move)).target_uids == [6, 7]
    assert box(inbox).messages == (5 if move else 7)


def test_a_copy_of_nothing_is_empty(user, inbox):
    sent = mailboxes.find(user, "Sent")
    before = state(sent)
    assert run(Copy(user, inbox, [7, 8], sent)).target_uids == []
    assert state(sent) == before


# -- Append -----------------------------------------------------------------------------------------------------------


def test_an_appended_message_has_what_it_was_given(user, inbox):
    content = message(body=b"x" * ROW_LIMIT)
    assert append(user, inbox, content, flags=SEEN, keywords=("b", "a", "B"), internal_date=0) == [1]
    row = Message.objects.get(mailbox_id=inbox)
    assert (row.flags, row.keywords, row.internal_date, row.size) == (SEEN, "a b", 0, len(content))
    assert row.saved_at > 0
    assert box(inbox).unseen == 0
