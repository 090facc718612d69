"""The tree of mailboxes: making, deleting, renaming, subscribing."""

import pytest

from accounts.models import User
from mailcore.store import mailboxes
from mailcore.store.batch import GoneError
from mailcore.store.commit import run
from mailcore.store.mailboxes import CreateMailbox, DeleteMailbox, Subscribe, plan_delete, plan_rename
from mailcore.store.models import Mailbox, Message
from mailcore.store.refusals import (
    HasChildrenError,
    LimitError,
    MailboxExistsError,
    NameNotAllowedError,
    NoSuchMailboxError,
)
from tests.mailcore.store.samples import append, make_user, message

pytestmark = pytest.mark.django_db


def names(owner):
    return sorted(row.name for row in mailboxes.listing(owner).rows)


def create(owner, *wanted):
    for name in wanted:
        run(CreateMailbox(owner, name))


def rename(owner, old, new):
    run(plan_rename(owner, old, new))


DEFAULTS = sorted(mailboxes.DEFAULTS)


def test_a_new_user_finds_the_default_mailboxes_subscribed_and_with_their_uses(user):
    listing = mailboxes.listing(user)
    assert sorted(row.name for row in listing.rows) == DEFAULTS
    assert {row.special_use for row in listing.rows} == {"", "\\Drafts", "\\Sent", "\\Junk", "\\Trash", "\\Archive"}
    assert all(row.subscribed for row in listing.rows)
    assert listing.orphaned_subscriptions == []


def test_deleted_default_mailboxes_do_not_come_back(user):
    mailboxes.listing(user)
    run(plan_delete(user, "Junk"))
    assert "Junk" not in names(user)
    mailboxes.ensure_defaults(user)
    assert "Junk" not in names(user)


def test_creating_before_anything_else_makes_the_defaults_too(user):
    create(user, "Work")
    assert names(user) == sorted([*DEFAULTS, "Work"])


def test_a_user_that_is_gone_has_no_mailboxes():
    for ask in (mailboxes.listing, mailboxes.inbox_id):
        with pytest.raises(GoneError):
            ask(1 << 40)


def test_the_inbox_id_is_remembered_until_forgotten(user):
    found = mailboxes.inbox_id(user)
    assert Mailbox.objects.get(owner_id=user, name="INBOX").pk == found
    User.objects.filter(pk=user).delete()
    assert mailboxes.inbox_id(user) == found
    mailboxes.forget_inbox(user)
    with pytest.raises(GoneError):
        mailboxes.inbox_id(user)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/",
        "/etc/passwd",
        "a/",
        "a//b",
        "a\0b",
        "a\r\nb",
        "\x7f",
        "a\x85b",
        "\ud800",
        "inbox",
        "Inbox/a",
        "x" * 256,
        "/".join("x" * 33),
        "/".join(["x" * 200] * 6),
    ],
)
def test_a_name_that_nobody_may_have_is_refused(user, name):
    with pytest.raises(NameNotAllowedError):
        create(user, name)
    mailboxes.listing(user)
    create(user, "old")
    with pytest.raises(NameNotAllowedError):
        rename(user, "old", name)
    assert names(user) == sorted([*DEFAULTS, "old"])


@pytest.mark.parametrize(
    "name", ["..", "../../etc", "~root", "a'b", 'a"b', "100%", "a*", "a_b", "日本語", "x" * 255, "é\u0301"]
)
def test_a_name_is_data(user, name):
    create(user, name)
    assert mailboxes.status(user, name).name == name
    assert names(user).count(name) == 1


def test_creating_makes_what_is_missing_above(user):
    create(user, "a/b/c")
    assert {"a", "a/b", "a/b/c"} <= set(names(user))
    create(user, "a/b/d")
    with pytest.raises(MailboxExistsError):
        create(user, "a/b")


def test_a_name_used_again_gets_a_greater_uidvalidity(user):
    create(user, "a")
    first = mailboxes.status(user, "a").uidvalidity
    run(plan_delete(user, "a"))
    create(user, "a")
    assert mailboxes.status(user, "a").uidvalidity > first


def test_there_is_a_limit_to_the_number_of_mailboxes(user, monkeypatch):
    mailboxes.listing(user)
    monkeypatch.setattr(mailboxes, "MAILBOX_LIMIT", len(DEFAULTS) + 2)
    with pytest.raises(LimitError):
        create(user, "a/b/c")
    create(user, "a/b")
    with pytest.raises(LimitError):
        create(user, "c")
    with pytest.raises(LimitError):
        rename(user, "a/b", "x/b")


def test_inbox_is_not_deleted(user, inbox):
    with pytest.raises(NameNotAllowedError):
        plan_delete(user, "INBOX")
    with pytest.raises(NameNotAllowedError):
        run(DeleteMailbox(user, inbox))


def test_deleting_gives_quota_back_and_leaves_what_is_below(user, inbox):
    create(user, "a/b")
    a = mailboxes.find(user, "a")
    append(user, a, message(), message())
    append(user, inbox, message())
    assert run(plan_delete(user, "a")) == a
    assert "a" not in names(user)
    assert "a/b" in names(user)
    assert not Message.objects.filter(mailbox_id=a).exists()
    assert User.objects.get(pk=user).used_quota == mailboxes.status(user, "INBOX").size
    with pytest.raises(HasChildrenError):
        plan_delete(user, "a")
    with pytest.raises(NoSuchMailboxError):
        plan_delete(user, "a/x")


def test_a_large_mailbox_is_deleted_in_slices(user, monkeypatch):
    monkeypatch.setattr(mailboxes, "DELETE_SLICE", 2)
    create(user, "a")
    a = mailboxes.find(user, "a")
    append(user, a, *[message() for _ in range(5)])
    work = plan_delete(user, "a")
    assert run(work) is None
    assert mailboxes.status(user, "a").messages == 3
    assert run(work) is None
    assert run(work) == a
    assert "a" not in names(user)
    assert User.objects.get(pk=user).used_quota == 0


def test_renaming_takes_everything_below_along_and_makes_parents(user):
    create(user, "a/b/c", "ab")
    ids = {row.name: row.mailbox for row in mailboxes.listing(user).rows}
    rename(user, "a", "x/y")
    now = {row.name: row.mailbox for row in mailboxes.listing(user).rows}
    assert sorted(now) == sorted([*DEFAULTS, "x", "x/y", "x/y/b", "x/y/b/c", "ab"])
    assert now["x/y/b/c"] == ids["a/b/c"]


def test_renaming_a_level_without_a_mailbox_renames_what_is_below(user):
    create(user, "a/b")
    run(plan_delete(user, "a"))
    rename(user, "a", "z")
    assert "z/b" in names(user)


def test_a_tree_can_move_up(user):
    create(user, "a/b/b/b")
    run(plan_delete(user, "a"))
    rename(user, "a/b", "a")
    assert {"a", "a/b", "a/b/b"} <= set(names(user))
    assert "a/b/b/b" not in names(user)


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ("none", "x", NoSuchMailboxError),
        ("a", "Sent", MailboxExistsError),
        ("a", "a", MailboxExistsError),
        ("a", "c", MailboxExistsError),  # c is no mailbox, c/b is one
        ("a", "a/x", NameNotAllowedError),
        ("a", "INBOX", MailboxExistsError),
        ("INBOX", "Sent", MailboxExistsError),
        ("INBOX", "a//b", NameNotAllowedError),
    ],
)
def test_a_rename_that_cannot_be_is_refused_and_changes_nothing(user, old, new, error):
    create(user, "a/b", "c/b")
    run(plan_delete(user, "c"))
    before = names(user)
    with pytest.raises(error):
        rename(user, old, new)
    assert names(user) == before


def test_renaming_inbox_moves_its_messages_and_leaves_it_empty(user, inbox):
    create(user, "INBOX/below")
    append(user, inbox, message(), message(), flags=1)
    append(user, inbox, message())
    before = mailboxes.status(user, "INBOX")
    rename(user, "INBOX", "old/mail")
    after = mailboxes.status(user, "INBOX")
    moved = mailboxes.status(user, "old/mail")
    assert (after.mailbox, after.messages, after.unseen, after.size) == (inbox, 0, 0, 0)
    assert after.highestmodseq > before.highestmodseq
    assert after.uidnext == before.uidnext
    assert (moved.messages, moved.unseen, moved.size) == (before.messages, before.unseen, before.size)
    assert moved.uidvalidity > before.uidvalidity
    assert list(Message.objects.filter(mailbox_id=moved.mailbox).values_list("uid", flat=True)) == [1, 2, 3]
    assert {"INBOX/below", "old"} <= set(names(user))
    assert User.objects.get(pk=user).used_quota == before.size


def test_a_subscription_outlives_its_mailbox_and_stays_at_a_rename(user):
    create(user, "a", "b")
    for name in ("a", "b", "b"):
        run(Subscribe(user, name, subscribed=True))
    run(plan_delete(user, "a"))
    rename(user, "b", "c")
    listing = mailboxes.listing(user)
    assert listing.orphaned_subscriptions == ["a", "b"]
    assert not mailboxes.status(user, "c").subscribed
    run(Subscribe(user, "a", subscribed=False))
    run(Subscribe(user, "never", subscribed=False))
    assert mailboxes.listing(user).orphaned_subscriptions == ["b"]
    with pytest.raises(NoSuchMailboxError):
        run(Subscribe(user, "never", subscribed=True))


def test_one_user_never_reaches_the_mailboxes_of_another(user, inbox):
    create(user, "mine")
    mine = mailboxes.find(user, "mine")
    other = make_user()
    for refused in (
        lambda: mailboxes.status(other, "mine"),
        lambda: mailboxes.find(other, "mine"),
        lambda: plan_delete(other, "mine"),
        lambda: plan_rename(other, "mine", "yours"),
        lambda: run(Subscribe(other, "mine", subscribed=True)),
    ):
        with pytest.raises(NoSuchMailboxError):
            refused()
    with pytest.raises(GoneError):
        run(DeleteMailbox(other, mine))
    create(other, "mine")
    rename(other, "mine", "theirs")
    assert "mine" in names(user)
    assert mailboxes.find(user, "mine") == mine


def test_recent_counts_what_no_session_was_told_of(user, inbox):
    append(user, inbox, message(), message())
    assert mailboxes.status(user, "INBOX").recent == 2
    Mailbox.objects.filter(pk=inbox).update(first_recent_uid=2)
    assert mailboxes.status(user, "INBOX").recent == 1
