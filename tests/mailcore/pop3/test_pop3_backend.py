"""INBOX as a maildrop: what is listed, read and deleted, by UID and owner."""

from array import array

import pytest

from mailcore.dialogue import Login, Peer
from mailcore.intake.acceptance import Acceptance
from mailcore.intake.routing import plan
from mailcore.message.envelope import Recipient
from mailcore.pop3 import backend, listing
from mailcore.pop3.backend import ANSWERS
from mailcore.pop3.listing import Listings
from mailcore.pop3.locks import MaildropLocks
from mailcore.pop3.questions import (
    DeleteMessages,
    FetchMessage,
    FetchMessages,
    Holder,
    Maildrop,
    MaildropRefusal,
    OpenMaildrop,
    ReleaseMaildrop,
)
from mailcore.store.commit import run
from mailcore.store.models import Mailbox, Message
from mailcore.store.prepared import prepare
from mailqueue.bodies import ROW_LIMIT

MAIL = b"Subject: x\r\n\r\nbody\r\n"


class Doors:
    """Doors that do everything at once."""

    def __init__(self, account):
        peer = Peer("192.0.2.1", 4711)
        self.connection = type(
            "Connection", (), {"account_id": account, "login": "bob", "peer": peer, "protocol": "pop3"}
        )

    async def database(self, function, *args):
        return function(*args)

    async def commit(self, work):
        return run(work)


def ask(question, account):
    coroutine = ANSWERS[type(question)](question, Doors(account))
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("the answer waits for something")


@pytest.fixture(autouse=True)
def own_locks(tmp_path, monkeypatch):
    monkeypatch.setattr(backend, "locks", MaildropLocks(lambda: tmp_path / "locks", None))
    monkeypatch.setattr(backend, "listings", Listings())


@pytest.fixture
def alice(make_user, transactional_db):
    user = make_user("alice@example.com")
    for _ in range(3):
        deliver(MAIL)
    return user


def deliver(content):
    where = plan([Recipient("alice@example.com")])
    run(Acceptance(message=1, prepared=prepare(content), plan=where, sender="", direction="in"))


def opened(user):
    holder = Holder()
    login = Login(user.pk, user.username)
    maildrop = ask(OpenMaildrop(login, holder), user.pk)
    ask(ReleaseMaildrop(login, holder), user.pk)
    assert isinstance(maildrop, Maildrop)
    return maildrop


def test_a_maildrop_lists_what_is_there_with_lasting_names(alice):
    maildrop = opened(alice)
    assert list(maildrop.uids) == [1, 2, 3]
    assert set(maildrop.sizes) == {len(MAIL)}
    assert maildrop.uidvalidity == Mailbox.objects.get(pk=maildrop.mailbox_id).uidvalidity
    assert opened(alice) == maildrop


def test_deleting_is_by_uid_and_twice_is_once(alice):
    maildrop = opened(alice)
    for _ in range(2):
        ask(DeleteMessages(maildrop.mailbox_id, (1, 3)), alice.pk)
    assert list(Message.objects.values_list("uid", flat=True)) == [2]


def test_somebody_elses_mail_is_neither_read_nor_deleted(alice, make_user):
    maildrop = opened(alice)
    bob = make_user("bob@example.com")
    assert ask(FetchMessage(maildrop.mailbox_id, 1, 0, 100), alice.pk) == MAIL
    assert ask(FetchMessage(maildrop.mailbox_id, 1, 0, 100), bob.pk) is None
    assert ask(FetchMessages(maildrop.mailbox_id, (1, 2)), bob.pk) == {}
    ask(DeleteMessages(maildrop.mailbox_id, (1, 2, 3)), bob.pk)
    assert Message.objects.count() == 3


def test_messages_are_read_together_and_what_is_gone_is_left_out(alice):
    maildrop = opened(alice)
    ask(DeleteMessages(maildrop.mailbox_id, (2,)), alice.pk)
    assert ask(FetchMessages(maildrop.mailbox_id, (1, 2, 3)), alice.pk) == {1: MAIL, 3: MAIL}


def test_a_message_that_lies_in_a_file_is_read_whole(alice):
    large = MAIL + b"x" * ROW_LIMIT
    deliver(large)
    maildrop = opened(alice)
    assert ask(FetchMessages(maildrop.mailbox_id, (3, 4)), alice.pk) == {3: MAIL, 4: large}


def test_an_account_that_is_gone_has_no_maildrop_and_holds_no_lock(transactional_db):
    login = Login(4711, "nobody")
    for _ in range(2):
        assert ask(OpenMaildrop(login, Holder()), 4711) is MaildropRefusal.GONE


def test_a_list_that_has_not_changed_is_not_read_again(alice, django_assert_num_queries):
    first = opened(alice)
    with django_assert_num_queries(1):
        assert opened(alice) is first
    Message.objects.update(flags=1)
    assert opened(alice) is first


def test_what_is_new_is_added_and_what_is_gone_is_missed(alice):
    first = opened(alice)
    deliver(MAIL + b"more\r\n")
    longer = opened(alice)
    assert list(longer.uids) == [1, 2, 3, 4]
    assert list(longer.sizes) == [*first.sizes, len(MAIL) + 6]
    ask(DeleteMessages(first.mailbox_id, (2,)), alice.pk)
    assert list(opened(alice).uids) == [1, 3, 4]
    ask(DeleteMessages(first.mailbox_id, (4,)), alice.pk)
    deliver(MAIL)
    last = opened(alice)
    assert list(last.uids) == [1, 3, 5]
    assert last.octets == sum(last.sizes) == 3 * len(MAIL)
    assert list(first.uids) == [1, 2, 3]
    ask(DeleteMessages(first.mailbox_id, (1, 3, 5)), alice.pk)
    assert opened(alice).uids == array("I")


def test_of_many_lists_the_least_used_is_forgotten(alice, make_user, monkeypatch):
    monkeypatch.setattr(listing, "_LISTS", 1)
    first = opened(alice)
    opened(make_user("bob@example.com"))
    again = opened(alice)
    assert again is not first
    assert again == first
