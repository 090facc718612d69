"""Several threads and processes on the same mailbox: nothing is lost, doubled, or seen in the wrong order."""

import os
import subprocess
import sys
import threading
from urllib.parse import quote

import pytest
from django.db import IntegrityError, connection
from django.db.models import Sum

from accounts.models import User
from mailcore.store import commit, mailboxes
from mailcore.store.changes import Append, Copy, Expunge, Mode, NewMessage, StoreFlags
from mailcore.store.commit import run
from mailcore.store.models import Expunged, Mailbox, Message
from mailcore.store.prepared import prepare
from mailcore.store.views import Views
from tests.mailcore.store.samples import append, make_user, message

pytestmark = pytest.mark.django_db(transaction=True)


def in_threads(*functions):
    """Run all at once; raise what the first of them raised."""
    errors = []

    def guarded(function):
        try:
            function()
        except BaseException as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=guarded, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    if errors:
        raise errors[0]


def assert_counts_are_right(owner, mailbox):
    box = Mailbox.objects.get(pk=mailbox)
    rows = Message.objects.filter(mailbox_id=mailbox)
    assert (box.messages, box.unseen) == (rows.count(), rows.exclude(flags__in=range(1, 32, 2)).count())
    assert box.size == (rows.aggregate(sum=Sum("size"))["sum"] or 0) == User.objects.get(pk=owner).used_quota


def watch(shared, owner, mailbox, begin, done):
    """Be a session that looks again and again; return what it believes in the end, from changes alone."""
    snapshot = begin.snapshot
    believed = dict(zip(snapshot.uids, snapshot.flags, strict=True))
    while True:
        last = done.is_set()
        changes = shared.changes(owner, mailbox, snapshot.modseq, read_only=True)
        assert changes.snapshot.modseq >= snapshot.modseq
        for uid in changes.vanished:
            believed.pop(uid, None)
        for uid in changes.updated:
            believed[uid] = changes.snapshot.flags[changes.snapshot.position(uid)]
        snapshot = changes.snapshot
        if last:
            return believed, snapshot


def test_a_session_that_looks_while_others_write_misses_nothing(user, inbox):
    append(user, inbox, *[message() for _ in range(50)])
    shared = Views()
    begin = shared.open(user, "INBOX", read_only=True)
    done = threading.Event()
    writers_left = threading.Semaphore(0)
    seen = []

    def writer(act):
        def write():
            try:
                for turn in range(25):
                    act(turn)
            finally:
                writers_left.release()

        return write

    def finish():
        for _ in range(3):
            assert writers_left.acquire(timeout=50)
        done.set()

    in_threads(
        writer(lambda _: append(user, inbox, message(), message())),
        writer(lambda turn: run(StoreFlags(user, inbox, range(1, 51), Mode.ADD if turn % 2 else Mode.REMOVE, 1))),
        writer(lambda turn: run(Expunge(user, inbox, [2 * turn + 1], flagged_only=False))),
        finish,
        lambda: seen.append(watch(shared, user, inbox, begin, done)),
        lambda: seen.append(watch(shared, user, inbox, begin, done)),
    )
    truth = dict(Message.objects.filter(mailbox_id=inbox).values_list("uid", "flags"))
    assert len(truth) == 50 + 50 - 25
    for believed, snapshot in seen:
        assert believed == truth
        assert snapshot.modseq == Mailbox.objects.get(pk=inbox).highestmodseq
    assert_counts_are_right(user, inbox)


def test_default_mailboxes_are_made_once_by_many_at_once():
    owner = make_user()
    found = []
    in_threads(*[lambda: found.append(mailboxes.inbox_id(owner)) for _ in range(4)], lambda: mailboxes.listing(owner))
    assert len(set(found)) == 1
    assert Mailbox.objects.filter(owner_id=owner).count() == len(mailboxes.DEFAULTS)


def test_one_of_many_gets_the_name():
    owner = make_user()
    made = []

    def create():
        try:
            made.append(run(mailboxes.CreateMailbox(owner, "a/b")))
        except mailboxes.MailboxExistsError:
            made.append(None)

    in_threads(*[create] * 4)
    assert len([mailbox for mailbox in made if mailbox]) == 1
    assert Mailbox.objects.filter(owner_id=owner, name__in=["a", "a/b"]).count() == 2


PROGRAM = """
import sys, django
django.setup()
from mailcore.store.changes import Expunge, Mode, StoreFlags
from mailcore.store.commit import run
from tests.mailcore.store.samples import append, message

owner, mailbox, turns = map(int, sys.argv[1:])
for turn in range(turns):
    uids = list(append(owner, mailbox, message(), message()))
    run(StoreFlags(owner, mailbox, uids, Mode.ADD, 1))
    if turn % 4 == 0:
        run(Expunge(owner, mailbox, uids[:1], flagged_only=False))
        uids = uids[1:]
    print(*uids, flush=True)
"""


def database_url():
    settings = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{settings['NAME']}"
    host = quote(settings["HOST"], safe="")
    return f"postgres://{settings['USER']}:{quote(settings['PASSWORD'])}@{host}:{settings['PORT']}/{settings['NAME']}"


def test_processes_share_a_mailbox_and_one_may_be_killed_at_any_moment(user, inbox):
    environment = {**os.environ, "DATABASE_URL": database_url(), "DJANGO_SETTINGS_MODULE": "a3mailer_site.settings"}
    environment.pop("PYTEST_CURRENT_TEST", None)

    def start(turns):
        command = [sys.executable, "-c", PROGRAM, str(user), str(inbox), str(turns)]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)

    killed, steady = start(100_000), start(40)
    try:
        promised = [line for line, _ in zip(killed.stdout, range(20), strict=False)]
        killed.kill()
        promised += killed.stdout.readlines()[:-1]  # the last line may have been cut
        promised += steady.communicate(timeout=60)[0].splitlines()
    finally:
        killed.kill()
        killed.wait()
        steady.kill()
    assert steady.returncode == 0
    uids = [int(uid) for line in promised for uid in line.split()]
    assert len(uids) == len(set(uids)) >= 100
    assert set(uids) <= set(Message.objects.filter(mailbox_id=inbox, flags=1).values_list("uid", flat=True))
    box = Mailbox.objects.get(pk=inbox)
    everything = set(Message.objects.filter(mailbox_id=inbox).values_list("uid", flat=True))
    gone = set(Expunged.objects.filter(mailbox_id=inbox).values_list("uid", flat=True))
    assert everything.isdisjoint(gone)
    # A transaction that was cut off has left no gap.
    assert everything | gone == set(range(1, box.uidnext))
    modseqs = set(Message.objects.filter(mailbox_id=inbox).values_list("modseq", flat=True))
    assert max(modseqs) <= box.highestmodseq
    assert_counts_are_right(user, inbox)


def test_works_of_one_batch_that_exclude_each_other_are_told_apart(user):
    """A message cannot go into a mailbox that the same transaction removes: the batch fails whole, each work alone."""
    run(mailboxes.CreateMailbox(user, "a"))
    target = mailboxes.find(user, "a")
    works = [Append(user, target, [NewMessage(prepare(message()))]), mailboxes.DeleteMailbox(user, target)]
    for order in (works, works[::-1]):
        with pytest.raises(IntegrityError):
            commit._transact(order)
        assert mailboxes.status(user, "a").messages == 0
        assert User.objects.get(pk=user).used_quota == 0
    assert run(works[0]).uids == [1]
    assert run(works[1]) == target
    with pytest.raises(mailboxes.NoSuchMailboxError):
        run(works[0])


def test_a_copy_in_the_batch_of_an_expunge_sees_one_order(user, inbox):
    append(user, inbox, message(), message())
    sent = mailboxes.find(user, "Sent")
    (removed, copied), _ = commit._transact(
        [Expunge(user, inbox, [1], flagged_only=False), Copy(user, inbox, [1, 2], sent, move=True)]
    )
    assert (removed.uids, copied.source_uids) == ([1], [2])
    assert Mailbox.objects.get(pk=inbox).messages == 0
    assert Mailbox.objects.get(pk=sent).messages == 1
