"""Whatever happens, in whatever order: counters equal recounts, views equal rows, UIDs and MODSEQs only grow."""

import contextlib

import pytest
from django.db import transaction
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from accounts.models import User
from mailcore.store import mailboxes
from mailcore.store.batch import OverQuotaError
from mailcore.store.changes import Copy, Expunge, Mode, StoreFlags
from mailcore.store.commit import run
from mailcore.store.keywords import split
from mailcore.store.models import Expunged, Mailbox, Message
from mailcore.store.refusals import StoreRefusedError
from mailcore.store.views import Views
from tests.mailcore.store.samples import append, make_user, message

NAMES = ["INBOX", "Sent", "a", "a/b", "c"]
UIDS = st.lists(st.integers(1, 12), unique=True, max_size=8).map(sorted)
FLAGS = st.integers(0, 31)
KEYWORDS = st.lists(st.sampled_from(["x", "X", "y", "z"]), max_size=2).map(tuple)


class _CrashError(Exception):
    """Stands for whatever ends a transaction."""


class Crashing:
    """A work that does what another does, and then fails."""

    def __init__(self, work):
        self._work = work
        self.users, self.mailboxes, self.weight = work.users, work.mailboxes, work.weight

    def apply(self, batch):
        self._work.apply(batch)
        batch.write()
        raise _CrashError


class Store(RuleBasedStateMachine):
    """Random works on two users' mailboxes; a session watches each of them."""

    @initialize(quota=st.sampled_from([0, 3000]))
    def begin(self, quota):
        self._savepoint = transaction.atomic()
        self._savepoint.__enter__()
        mailboxes._inboxes.clear()
        self.users = [make_user(quota=quota), make_user()]
        self.views = Views()
        self.sessions = {}
        self.seen = {}
        for user in self.users:
            mailboxes.listing(user)

    def teardown(self):
        if hasattr(self, "_savepoint"):
            transaction.set_rollback(True)
            self._savepoint.__exit__(None, None, None)

    def _do(self, make, *, crash):
        """Plan and do a work; a refusal is an answer too."""
        with contextlib.suppress(StoreRefusedError, OverQuotaError, _CrashError):
            work = make()
            run(Crashing(work) if crash else work)

    def _box(self, user, name):
        return mailboxes.find(self.users[user], name)

    USER = st.sampled_from([0, 0, 0, 1])
    NAME = st.sampled_from(NAMES)
    CRASH = st.sampled_from([False, False, False, True])

    @rule(user=USER, name=NAME, count=st.integers(1, 3), flags=FLAGS, keywords=KEYWORDS)
    def append(self, user, name, count, flags, keywords):
        with contextlib.suppress(StoreRefusedError, OverQuotaError):
            contents = [message(b"s" * 100 * n) for n in range(count)]
            append(self.users[user], self._box(user, name), *contents, flags=flags, keywords=keywords)

    @rule(
        user=USER, name=NAME, uids=UIDS, mode=st.sampled_from(Mode), flags=FLAGS, keywords=KEYWORDS,
        since=st.none() | st.integers(0, 12), crash=CRASH,
    )  # fmt: skip
    def store(self, user, name, uids, mode, flags, keywords, since, crash):
        owner = self.users[user]
        self._do(lambda: StoreFlags(owner, self._box(user, name), uids, mode, flags, keywords, since), crash=crash)

    @rule(user=USER, name=NAME, uids=st.none() | UIDS, flagged=st.booleans(), crash=CRASH)
    def expunge(self, user, name, uids, flagged, crash):
        owner = self.users[user]
        self._do(lambda: Expunge(owner, self._box(user, name), uids, flagged_only=flagged), crash=crash)

    @rule(user=USER, name=NAME, uids=UIDS, into=NAME, move=st.booleans(), crash=CRASH)
    def copy(self, user, name, uids, into, move, crash):
        owner = self.users[user]
        self._do(lambda: Copy(owner, self._box(user, name), uids, self._box(user, into), move), crash=crash)

    @rule(user=USER, name=NAME, crash=CRASH)
    def create(self, user, name, crash):
        self._do(lambda: mailboxes.CreateMailbox(self.users[user], name), crash=crash)

    @rule(user=USER, name=NAME, crash=CRASH)
    def delete(self, user, name, crash):
        self._do(lambda: mailboxes.plan_delete(self.users[user], name), crash=crash)

    @rule(user=USER, name=NAME, new=NAME, crash=CRASH)
    def rename(self, user, name, new, crash):
        self._do(lambda: mailboxes.plan_rename(self.users[user], name, new), crash=crash)

    @rule(user=USER, name=NAME, read_only=st.booleans())
    def select(self, user, name, read_only):
        with contextlib.suppress(StoreRefusedError):
            opened = self.views.open(self.users[user], name, read_only=read_only)
            self.sessions[opened.mailbox] = (self.users[user], opened.snapshot)

    @rule()
    def look(self):
        """Every session reads what changed, and applies it to what it knew."""
        for mailbox, (owner, old) in list(self.sessions.items()):
            if not Mailbox.objects.filter(pk=mailbox).exists():
                with pytest.raises(StoreRefusedError):
                    self.views.changes(owner, mailbox, old.modseq, read_only=False)
                del self.sessions[mailbox]
                continue
            changes = self.views.changes(owner, mailbox, old.modseq, read_only=False)
            new = changes.snapshot
            rows = Message.objects.filter(mailbox_id=mailbox).order_by("uid")
            assert list(zip(new.uids, new.flags, new.keywords, new.modseqs, strict=True)) == [
                (uid, flags, split(words), modseq)
                for uid, flags, words, modseq in rows.values_list("uid", "flags", "keywords", "modseq")
            ]
            before = dict(zip(old.uids, zip(old.flags, old.keywords, strict=True), strict=True))
            now = dict(zip(new.uids, zip(new.flags, new.keywords, strict=True), strict=True))
            assert before.keys() - now.keys() <= set(changes.vanished)
            assert not now.keys() & set(changes.vanished)
            assert {uid for uid in now if before.get(uid) != now[uid]} <= set(changes.updated) <= now.keys()
            self.sessions[mailbox] = (owner, new)

    @invariant()
    def counters_equal_recounts(self):
        if not hasattr(self, "users"):
            return
        for owner in self.users:
            used = 0
            for box in Mailbox.objects.filter(owner_id=owner):
                rows = list(Message.objects.filter(mailbox=box).values_list("uid", "flags", "size", "modseq"))
                assert (box.messages, box.unseen, box.size) == (
                    len(rows),
                    sum(1 for row in rows if not row[1] & 1),
                    sum(row[2] for row in rows),
                )
                gone = list(Expunged.objects.filter(mailbox=box).values_list("uid", "modseq"))
                assert {row[0] for row in rows}.isdisjoint(uid for uid, _ in gone)
                assert all(uid < box.uidnext for uid in [row[0] for row in rows] + [uid for uid, _ in gone])
                assert all(at <= box.highestmodseq for at in [row[3] for row in rows] + [at for _, at in gone])
                used += box.size
            assert User.objects.get(pk=owner).used_quota == used

    @invariant()
    def numbers_only_grow(self):
        if not hasattr(self, "users"):
            return
        for mailbox, *numbers in Mailbox.objects.values_list("pk", "uidnext", "highestmodseq"):
            old = self.seen.get(mailbox, [0, 0])
            assert all(new >= before for new, before in zip(numbers, old, strict=True))
            self.seen[mailbox] = numbers


@pytest.mark.django_db
def test_counters_views_and_numbers_hold_after_any_operations():
    run_state_machine_as_test(
        Store,
        settings=settings(
            max_examples=12,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )
