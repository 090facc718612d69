"""INBOX as a maildrop: one session at a time, the next waits its turn, deletions by UID and owner."""

import pytest

from mailcore.dialogue import Login, Peer
from mailcore.intake.acceptance import Acceptance
from mailcore.intake.routing import plan
from mailcore.message.envelope import Recipient
from mailcore.pop3.backend import ANSWERS, Locks
from mailcore.pop3.questions import (
    DeleteMessages,
    FetchMessage,
    Holder,
    Maildrop,
    OpenMaildrop,
    ReleaseMaildrop,
)
from mailcore.store.commit import run
from mailcore.store.models import Message
from mailcore.store.prepared import prepare

MAIL = b"Subject: x\r\n\r\nbody\r\n"


def test_the_second_waits_for_the_first():
    locks, first, second = Locks(), Holder(), Holder()
    assert locks.take(1, first).result is True
    turn = locks.take(1, second)
    assert not turn.called
    locks.let_go(1, first)
    assert turn.result is True


def test_accounts_do_not_wait_for_each_other():
    locks = Locks()
    assert locks.take(1, Holder()).called
    assert locks.take(2, Holder()).called


def test_who_gives_up_waiting_is_passed_over():
    locks, holders = Locks(), [Holder() for _ in range(3)]
    turns = [locks.take(1, holder) for holder in holders]
    locks.let_go(1, holders[1])
    assert turns[1].result is False
    locks.let_go(1, holders[0])
    assert turns[2].result is True
    locks.let_go(1, holders[2])
    assert locks.take(1, Holder()).called


def test_letting_go_of_what_one_does_not_hold_changes_nothing():
    locks, holder = Locks(), Holder()
    locks.take(1, holder)
    locks.let_go(1, Holder())
    assert not locks.take(1, Holder()).called


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


@pytest.fixture
def alice(make_user, transactional_db):
    user = make_user("alice@example.com")
    for _ in range(3):
        where = plan([Recipient("alice@example.com")])
        run(Acceptance(message=1, prepared=prepare(MAIL), plan=where, sender="", direction="in"))
    return user


def opened(user):
    holder = Holder()
    login = Login(user.pk, user.username)
    maildrop = ask(OpenMaildrop(login, holder), user.pk)
    ask(ReleaseMaildrop(login, holder), user.pk)
    assert isinstance(maildrop, Maildrop)
    return maildrop


def test_a_maildrop_lists_what_is_there_with_lasting_names(alice):
    maildrop = opened(alice)
    assert [message.uid for message in maildrop.messages] == [1, 2, 3]
    assert {message.size for message in maildrop.messages} == {len(MAIL)}
    assert len({message.unique for message in maildrop.messages}) == 3
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
    ask(DeleteMessages(maildrop.mailbox_id, (1, 2, 3)), bob.pk)
    assert Message.objects.count() == 3
