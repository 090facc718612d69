"""One view in memory of each mailbox that is open in this process, shared by all its sessions.

A view reads what changed since its own MODSEQ whenever a session asks for news; several who ask at once share one
read. What it hands out are immutable snapshots. It is never the truth: that is the database, and every read goes
there. Functions that touch the database belong in a reader thread, in autocommit.
"""

import threading
import time
from bisect import bisect_left
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import NamedTuple

from django.db import connection

from mailcore.store.batch import Change, News
from mailcore.store.commit import on_commit
from mailcore.store.models import Expunged, Mailbox, Message
from mailcore.store.refusals import NoSuchMailboxError
from mailcore.store.snapshot import Row, Snapshot, Step, advance, build

# Rows read with one statement while a view is built.
SLICE = 10_000
# Views kept after their last session has left, and messages in them, all together.
IDLE_VIEWS = 64
IDLE_MESSAGES = 500_000
# Steps that a view remembers, and UIDs in them: sessions that lag further behind cost a look at everything.
STEPS = 64
STEP_UIDS = 20_000

# Seconds for which a view is believed without a look at the database, as long as no doorbell rings.
TRUSTED = 1.0

_MESSAGE = Message._meta.db_table
_MAILBOX = Mailbox._meta.db_table
_EXPUNGED = Expunged._meta.db_table

_LOAD = (
    f'SELECT uid, flags, keywords, modseq FROM "{_MESSAGE}" '  # noqa: S608 - names are the models'
    "WHERE mailbox_id = %s AND uid > %s ORDER BY uid LIMIT %s"
)
# One statement is one snapshot on both databases: the mailbox's own numbers, what is new or changed, what is gone; and
# a sign that not all of what is gone is known any more (``history.py``).
_NEWS = f"""
SELECT 0, uidnext, uidvalidity, '', highestmodseq FROM "{_MAILBOX}" WHERE id = %s AND owner_id = %s
UNION ALL SELECT 1, uid, flags, keywords, modseq FROM "{_MESSAGE}" WHERE mailbox_id = %s AND modseq > %s
UNION ALL SELECT 2, uid, 0, '', modseq FROM "{_EXPUNGED}" WHERE mailbox_id = %s AND modseq > %s
UNION ALL SELECT 3, 0, 0, '', history FROM "{_MAILBOX}" WHERE id = %s AND history > %s
"""  # noqa: S608


class Opened(NamedTuple):
    """A mailbox that a session has selected. Messages from ``recent_from`` on are recent for this session."""

    mailbox: int
    snapshot: Snapshot
    recent_from: int
    special_use: str


class Changes(NamedTuple):
    """A mailbox now, and how it got there. ``updated`` may name new messages, ``vanished`` some that nobody saw."""

    snapshot: Snapshot
    updated: Sequence[int]
    vanished: Sequence[int]
    recent_from: int


@dataclass(slots=True)
class View:
    """The mailbox as this process last saw it. ``lock`` guards all of it."""

    mailbox: int
    owner: int
    lock: threading.Lock = field(default_factory=threading.Lock)
    snapshot: Snapshot | None = None
    steps: deque[Step] = field(default_factory=deque)
    known_since: int = 0  # ``steps`` has everything after this MODSEQ
    read_at: float = 0.0  # monotonic, when the last read began
    sessions: int = 0
    first_recent: int = 0  # no session of this process was told of messages from here on (RFC 3501 section 2.3.2)
    marked: int = 0  # the row says at least this of the same

    def refresh(self, asked_at: float) -> Snapshot:
        """Read what is new, unless somebody did since ``asked_at``. Raises ``NoSuchMailboxError``."""
        if self.snapshot is not None and self.read_at >= asked_at:
            return self.snapshot
        begun = time.monotonic()
        old = self.snapshot or self._load()
        try:
            uidnext, _, modseq, rows, gone = _news(self.owner, self.mailbox, old.modseq)
        except _HistoryLostError:
            # Nobody has looked at this view for a month.
            self.snapshot, old = None, self._load()
            uidnext, _, modseq, rows, gone = _news(self.owner, self.mailbox, old.modseq)
        if modseq != old.modseq:
            new, step = advance(old, rows, gone, modseq, uidnext)
            self._remember(step)
        else:
            new = old
        if self.snapshot is None:
            self.steps.clear()
            self.known_since = new.modseq
        self.snapshot = new
        self.read_at = begun
        return new

    def follow(self, news: News, modseq: int) -> None:
        """Take over what a transaction of this process has done; it is read instead where that is not certain."""
        # Who holds the lock may be reading a whole mailbox: the writer does not wait for that.
        if not self.lock.acquire(blocking=False):
            return
        try:
            old = self.snapshot
            if old is None or old.modseq != news.before:
                return
            gone = set(news.gone)
            rows = {row[0]: row for row in news.changed if row[0] not in gone}
            self.snapshot, step = advance(old, [rows[uid] for uid in sorted(rows)], gone, modseq, news.uidnext)
            self._remember(step)
        finally:
            self.lock.release()

    def since(self, modseq: int, snapshot: Snapshot) -> tuple[Sequence[int], Sequence[int]]:
        """Return the UIDs updated and vanished after ``modseq``, ascending."""
        if modseq >= snapshot.modseq:
            return (), ()
        if modseq < self.known_since:
            updated = [uid for uid, own in zip(snapshot.uids, snapshot.modseqs, strict=True) if own > modseq]
            return updated, _vanished(self.mailbox, modseq, snapshot.modseq)
        steps = [step for step in self.steps if step.modseq > modseq]
        if len(steps) == 1:
            return steps[0].updated, steps[0].vanished
        gone = {uid for step in steps for uid in step.vanished}
        changed = {uid for step in steps for uid in step.updated} - gone
        return sorted(changed), sorted(gone)

    def claim_recent(self, snapshot: Snapshot, *, read_only: bool) -> int:
        """Return the first UID that is recent for who asks; a session that may write has then been told of all."""
        first = self.first_recent
        if not read_only and snapshot.uidnext > first:
            self.first_recent = snapshot.uidnext
        return first

    def _load(self) -> Snapshot:
        """Read the whole mailbox, in slices. What changes meanwhile is newer than the MODSEQ that was read first."""
        uidnext, uidvalidity, modseq, _, _ = _news(self.owner, self.mailbox, _NEVER)
        rows: list[Row] = []
        with connection.cursor() as cursor:
            while True:
                cursor.execute(_LOAD, [self.mailbox, rows[-1][0] if rows else 0, SLICE])
                part = cursor.fetchall()
                rows += part
                if len(part) < SLICE:
                    return build(rows, modseq, uidvalidity, uidnext)

    def _remember(self, step: Step) -> None:
        self.steps.append(step)
        while len(self.steps) > STEPS or (
            len(self.steps) > 1 and sum(len(each.updated) + len(each.vanished) for each in self.steps) > STEP_UIDS
        ):
            self.known_since = self.steps.popleft().modseq


_ROW = itemgetter(1, 2, 3, 4)
# No MODSEQ is greater: asks for the mailbox's own numbers alone.
_NEVER = 2**63 - 1


class _HistoryLostError(Exception):
    """What was expunged since then is not wholly known any more."""


def _news(owner: int, mailbox: int, since: int) -> tuple[int, int, int, list[Row], list[int]]:
    """Return UIDNEXT, UIDVALIDITY, HIGHESTMODSEQ, changed rows and expunged UIDs, all of one moment."""
    with connection.cursor() as cursor:
        cursor.execute(_NEWS, [mailbox, owner, mailbox, since, mailbox, since, mailbox, since])
        found = cursor.fetchall()
    found.sort()
    if not found or found[0][0] != 0:
        raise NoSuchMailboxError(f"user {owner} has no mailbox {mailbox}")
    if found[-1][0] == 3:
        raise _HistoryLostError
    _, uidnext, uidvalidity, _, modseq = found[0]
    end = bisect_left(found, (2,))
    return uidnext, uidvalidity, modseq, list(map(_ROW, found[1:end])), [row[1] for row in found[end:]]


def _vanished(mailbox: int, since: int, until: int) -> list[int]:
    uids = Expunged.objects.filter(mailbox_id=mailbox, modseq__gt=since, modseq__lte=until)
    return sorted(uids.values_list("uid", flat=True))


class Views:
    """The views of a process.

    ``opened = views.open(user_id, "INBOX", read_only=False)``, then ``views.changes`` at each notice, and once
    ``views.close``.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._views: dict[int, View] = {}
        self._idle: OrderedDict[int, None] = OrderedDict()

    def open(self, owner: int, name: str, *, read_only: bool, before: Callable[[int], object] | None = None) -> Opened:
        """Select a mailbox by name. Raises ``NoSuchMailboxError``.

        ``before`` is called with the mailbox's id before its state is read: who asks there for notices misses none.
        """
        found = Mailbox.objects.filter(owner_id=owner, name=name).values_list("id", "special_use", "first_recent_uid")
        row = found.first()
        if row is None:
            raise NoSuchMailboxError(f"user {owner} has no mailbox {name!r}")
        mailbox, special_use, first_recent = row
        if before is not None:
            before(mailbox)
        asked_at = time.monotonic()  # what was read before the notices began is not enough
        view = self._enter(owner, mailbox)
        try:
            with view.lock:
                snapshot = view.refresh(asked_at)
                view.first_recent = max(view.first_recent, first_recent)
                view.marked = max(view.marked, first_recent)
                return Opened(mailbox, snapshot, view.claim_recent(snapshot, read_only=read_only), special_use)
        except BaseException:
            self._leave(mailbox)
            raise

    def changes(self, owner: int, mailbox: int, since: int, *, read_only: bool) -> Changes:
        """Return what happened after the MODSEQ ``since``; covers every commit that was answered before the call.

        Raises ``NoSuchMailboxError`` when the mailbox has been deleted, is somebody else's, or is not open.
        """
        asked_at = time.monotonic()
        view = self._views.get(mailbox)
        if view is None or view.owner != owner:
            raise NoSuchMailboxError(f"user {owner} has not opened mailbox {mailbox}")
        with view.lock:
            snapshot = view.refresh(asked_at)
            updated, vanished = view.since(since, snapshot)
            return Changes(snapshot, updated, vanished, view.claim_recent(snapshot, read_only=read_only))

    def known_changes(
        self, owner: int, mailbox: int, since: int, *, read_only: bool, heard: int, looking_since: float
    ) -> Changes | None:
        """Return what ``changes`` would, from memory: for the reactor's thread. ``None`` when that does not suffice.

        ``heard`` and ``looking_since`` are what the doorbells know: it must be in the view, and the view read since.
        """
        view = self._views.get(mailbox)
        if view is None or view.owner != owner or not view.lock.acquire(blocking=False):
            return None
        try:
            snapshot = view.snapshot
            if (
                snapshot is None
                or snapshot.modseq < heard
                or since < view.known_since
                or view.read_at < max(looking_since, time.monotonic() - TRUSTED)
            ):
                return None
            updated, vanished = view.since(since, snapshot)
            return Changes(snapshot, updated, vanished, view.claim_recent(snapshot, read_only=read_only))
        finally:
            view.lock.release()

    def follow(self, changes: Sequence[Change]) -> None:
        """Keep the views up with a transaction of this process, so that nobody has to read what it has done."""
        for change in changes:
            view = self._views.get(change.mailbox_id)
            if view is not None and change.news is not None:
                view.follow(change.news, change.modseq)

    def close(self, owner: int, mailbox: int) -> None:
        """Take note that a session has left. The last one leaves a mark in the row up to where messages were seen."""
        seen = self.leave(owner, mailbox)
        if seen is not None:
            self.mark(owner, mailbox, seen)

    def leave(self, owner: int, mailbox: int) -> int | None:
        """Do the first half of ``close``, without the database: for the reactor's thread.

        Returns what there is to ``mark``, nearly always nothing.
        """
        view = self._views.get(mailbox)
        if view is None or view.owner != owner or not self._leave(mailbox) or view.first_recent <= view.marked:
            return None
        return view.first_recent

    def mark(self, owner: int, mailbox: int, seen: int) -> None:
        """Write down that sessions were told of all messages before the UID ``seen``."""
        row = Mailbox.objects.filter(pk=mailbox, owner_id=owner, first_recent_uid__lt=seen)
        row.update(first_recent_uid=seen)
        view = self._views.get(mailbox)
        if view is not None:
            view.marked = max(view.marked, seen)

    def told_up_to(self, mailbox: int) -> int:
        """Return the first UID that no session of this process was told of yet; 0 if that is not known here."""
        view = self._views.get(mailbox)
        return view.first_recent if view else 0

    def _enter(self, owner: int, mailbox: int) -> View:
        with self._lock:
            view = self._views.get(mailbox)
            if view is None:
                view = self._views[mailbox] = View(mailbox, owner)
            view.sessions += 1
            self._idle.pop(mailbox, None)
            return view

    def _leave(self, mailbox: int) -> bool:
        """Count a session out; says whether it was the last."""
        with self._lock:
            view = self._views.get(mailbox)
            if view is None:
                return False
            view.sessions -= 1
            if view.sessions > 0:
                return False
            if view.snapshot is None:
                del self._views[mailbox]
                return True
            self._idle[mailbox] = None
            self._forget_idle()
            return True

    def _forget_idle(self) -> None:
        def messages() -> int:
            return sum(len(view.snapshot.uids) for at in self._idle if (view := self._views[at]).snapshot)

        while len(self._idle) > IDLE_VIEWS or (self._idle and messages() > IDLE_MESSAGES):
            del self._views[self._idle.popitem(last=False)[0]]


# The views of this process.
views = Views()
# Before the doorbells: who is rung finds the view ready.
on_commit(views.follow)
