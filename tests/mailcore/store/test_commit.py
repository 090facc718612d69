"""Group commit: each waiter its own answer, bad works fail alone, numbers agree with what is there."""

import threading
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.db.models import Sum

from accounts.models import User
from domains.models import Domain
from mailcore.dialogue import UnavailableError
from mailcore.store import commit
from mailcore.store.batch import Batch, GoneError, new_uidvalidity
from mailcore.store.commit import Committer, run
from mailcore.store.models import Mailbox, MailboxChange, Message
from mailcore.store.prepared import prepare
from mailcore.threads import WayBack
from mailqueue.bodies import ROW_LIMIT, open_body, read_body
from mailqueue.models import Body

pytestmark = pytest.mark.django_db(transaction=True)
MAIL = b"Subject: hello\r\n\r\nbody\r\n"


@pytest.fixture
def mailbox():
    domain = Domain.objects.create(name="example.com")
    user = User.objects.create(username="bob", email="bob@example.com", domain=domain)
    return Mailbox.objects.create(owner=user, name="INBOX", uidvalidity=1)


@dataclass
class Put:
    """Puts one message into a mailbox, then perhaps fails."""

    mailbox: Mailbox
    content: bytes = MAIL
    error: Exception | None = None
    users: list[int] = field(init=False)
    mailboxes: list[int] = field(init=False)
    weight: int = 0

    def __post_init__(self):
        self.users, self.mailboxes = [self.mailbox.owner_id], [self.mailbox.pk]
        self.prepared = prepare(self.content)

    def apply(self, batch: Batch) -> int:
        ready = self.prepared
        batch.add_body(ready.body_id, ready.size, ready.data, ready.summary)
        uid = batch.add_message(self.mailbox.pk, ready.body_id, size=ready.size)
        if self.error:
            raise self.error
        return uid


class Reactor:
    """Runs what threads hand over at once, in their thread."""

    def callFromThread(self, function: Any, *args: Any) -> None:  # noqa: N802
        function(*args)


@pytest.fixture
def committer():
    one = Committer(WayBack(Reactor()))
    yield one
    one.stop()


def answers(committer, works):
    """Submit works before the thread starts, so that they share a batch; wait for all answers."""
    results: list[Any] = [None] * len(works)
    done = [threading.Event() for _ in works]
    for position, work in enumerate(works):

        def keep(result, position=position):
            results[position] = getattr(result, "value", result)
            done[position].set()

        committer.submit(work).addBoth(keep)
    committer.start()
    assert all(event.wait(20) for event in done)
    return results


def test_a_message_has_its_uid_its_counters_and_a_doorbell(mailbox):
    assert run(Put(mailbox)) == 1
    assert run(Put(mailbox)) == 2
    mailbox.refresh_from_db()
    assert (mailbox.uidnext, mailbox.messages, mailbox.unseen, mailbox.size) == (3, 2, 2, 2 * len(MAIL))
    assert mailbox.highestmodseq == 3
    assert User.objects.get().used_quota == 2 * len(MAIL)
    rung = list(MailboxChange.objects.values_list("mailbox_id", "modseq"))  # PostgreSQL notifies instead
    assert rung == ([(mailbox.pk, 2), (mailbox.pk, 3)] if connection.vendor == "sqlite" else [])


def test_messages_of_one_batch_share_a_modseq_and_have_consecutive_uids(mailbox, committer):
    assert answers(committer, [Put(mailbox) for _ in range(5)]) == [1, 2, 3, 4, 5]
    assert set(Message.objects.values_list("modseq", flat=True)) == {2}
    mailbox.refresh_from_db()
    assert (mailbox.highestmodseq, mailbox.uidnext) == (2, 6)


def test_a_bad_message_fails_alone_and_leaves_no_gap(mailbox, committer):
    works = [Put(mailbox), Put(mailbox, error=ValueError("bad")), Put(mailbox)]
    first, bad, last = answers(committer, works)
    assert (first, last) == (1, 2)
    assert isinstance(bad, ValueError)
    mailbox.refresh_from_db()
    assert (mailbox.messages, mailbox.uidnext) == (2, 3)
    assert Body.objects.count() == 2


def test_a_mailbox_that_is_gone_fails_alone(mailbox, committer):
    gone = Put(Mailbox(id=mailbox.pk + 1, owner_id=mailbox.owner_id))
    assert isinstance(answers(committer, [gone, Put(mailbox)])[0], GoneError)
    assert Message.objects.count() == 1


def test_a_database_that_is_away_is_told_to_all_and_the_writer_lives_on(mailbox, committer, monkeypatch):
    real, calls = commit._transact, []

    def away(works):
        calls.append(len(works))
        if len(calls) == 1:
            raise OperationalError("database is locked")
        return real(works)

    monkeypatch.setattr(commit, "_transact", away)
    assert all(isinstance(answer, UnavailableError) for answer in answers(committer, [Put(mailbox), Put(mailbox)]))
    later: list[Any] = []
    done = threading.Event()
    committer.submit(Put(mailbox)).addBoth(lambda result: (later.append(result), done.set()))
    assert done.wait(20)
    assert later == [1]
    assert calls == [2, 1]


def test_nothing_is_taken_after_the_end(mailbox, committer):
    committer.start()
    committer.stop()
    failed: list[Any] = []
    committer.submit(Put(mailbox)).addErrback(lambda failure: failed.append(failure.value))
    assert isinstance(failed[0], UnavailableError)


def test_listeners_hear_of_every_commit_after_it(mailbox, monkeypatch):
    heard = []
    monkeypatch.setattr(commit, "_listeners", [lambda changes: heard.extend((c.mailbox_id, c.modseq) for c in changes)])
    with pytest.raises(ValueError, match="bad"):
        run(Put(mailbox, error=ValueError("bad")))
    assert heard == []
    run(Put(mailbox))
    assert heard == [(mailbox.pk, 2)]


def test_many_threads_lose_nothing(mailbox):
    def put():
        for _ in range(20):
            run(Put(mailbox))
        connection.close()

    threads = [threading.Thread(target=put) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    mailbox.refresh_from_db()
    assert sorted(Message.objects.values_list("uid", flat=True)) == list(range(1, 81))
    assert mailbox.messages == 80
    assert mailbox.size == Message.objects.aggregate(Sum("size"))["size__sum"] == User.objects.get().used_quota


@pytest.mark.parametrize("size", [10, ROW_LIMIT - 30, ROW_LIMIT + 1, 3_000_000])
def test_a_body_comes_back_byte_for_byte_wherever_it_is_kept(mailbox, size, settings, tmp_path):
    content = b"Subject: x\r\n\r\n" + bytes(range(1, 256)) * (size // 255) + b"x" * (size % 255)
    work = Put(mailbox, content)
    run(work)
    assert read_body(work.prepared.body_id) == content
    with open_body(work.prepared.body_id) as file:
        assert file.read(3) == b"Sub"
    assert (Body.objects.get(pk=work.prepared.body_id).data is None) == (len(content) > ROW_LIMIT)


def test_uidvalidity_only_grows():
    from datetime import UTC, datetime

    from django.db import transaction

    with transaction.atomic():
        values = [new_uidvalidity(datetime(2026, 1, 1, tzinfo=UTC)) for _ in range(3)]
        values.append(new_uidvalidity(datetime(2020, 1, 1, tzinfo=UTC)))  # the clock was set back
    assert values == sorted(set(values))
    assert values[-1] < 2**32


@pytest.mark.sqlite
def test_what_is_accepted_is_flushed_even_where_the_process_usually_does_not(mailbox):
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA synchronous=NORMAL")
        run(Put(mailbox))
        assert cursor.execute("PRAGMA synchronous").fetchone() == (2,)
