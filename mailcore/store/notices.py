"""Doorbells: who wants to hear that something is new in a mailbox, and which caches must forget what.

A notice says where to look, never what to find: the truth is read from the database. Commits of this process ring
directly (``commit.on_commit(doorbells.ring)``); what other processes commit is seen by ``eyes.py``.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import structlog

from mailcore.store.batch import ANNOTATIONS, Change

log = structlog.get_logger("mailcore.store.notices")

Bell = Callable[[int], object]

# What the bell of an account is rung with instead of a mailbox's id: its names or subscriptions have changed, as in
# ``Change``; or anything may have.
NAMES = 0
EVERYTHING = -1
# Changes of names that are remembered of each account: other processes' eyes and our own commits both tell of ours.
_REMEMBERED = 64


def call_here(function: Callable[..., object], *args: Any) -> None:
    """Call at once, in the thread that rings."""
    function(*args)


@dataclass(slots=True)
class _Account:
    """Who hears of all mailboxes of a user, and for what they have been rung."""

    bells: dict[Bell, None] = field(default_factory=dict)
    rung: dict[int, int] = field(default_factory=dict)
    renamed: deque[int] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))

    def is_new(self, change: Change) -> bool:
        """Take note of a change; say whether it was not heard of yet."""
        if change.mailbox_id in {NAMES, ANNOTATIONS}:
            if change.modseq in self.renamed:
                return False
            self.renamed.append(change.modseq)
            return True
        if change.modseq <= self.rung.get(change.mailbox_id, 0):
            return False
        self.rung[change.mailbox_id] = change.modseq
        return True


class Doorbells:
    """The doorbells of a process. Safe to use from every thread.

    ``doorbells.watch(mailbox_id, bell)``; ``bell(mailbox_id)`` is then called for everything new, by way of ``carry``:
    in a process with a reactor, ``doorbells.carry = way_back.call``.
    """

    def __init__(self, carry: Callable[..., None] = call_here) -> None:
        self.carry = carry
        # Since when (monotonic seconds) everything that other processes commit is heard of within moments; ``None``
        # while it may be missed.
        self.looking_since: float | None = None
        self._lock = threading.Lock()
        self._bells: dict[int, dict[Bell, int]] = {}
        self._rung: dict[int, int] = {}
        self._accounts: dict[int, _Account] = {}
        self._caches: dict[str, list[Callable[[], object]]] = {}
        self._generations: dict[str, int] = {}

    def watch(self, mailbox: int, bell: Bell) -> None:
        """Ring ``bell`` for this mailbox from now on. Watching twice needs unwatching twice."""
        with self._lock:
            bells = self._bells.setdefault(mailbox, {})
            bells[bell] = bells.get(bell, 0) + 1

    def unwatch(self, mailbox: int, bell: Bell) -> None:
        """Ring ``bell`` for this mailbox no more; no harm if it was not rung anyway."""
        with self._lock:
            bells = self._bells.get(mailbox, {})
            times = bells.pop(bell, 0)
            if times > 1:
                bells[bell] = times - 1
            if not bells:
                self._bells.pop(mailbox, None)
                self._rung.pop(mailbox, None)

    def watch_account(self, owner: int, bell: Bell) -> None:
        """Ring ``bell`` for every mailbox of this user from now on, for their names (``NAMES``) and ``ANNOTATIONS``."""
        with self._lock:
            self._accounts.setdefault(owner, _Account()).bells[bell] = None

    def unwatch_account(self, owner: int, bell: Bell) -> None:
        """Ring ``bell`` for this user no more; no harm if it was not rung anyway."""
        with self._lock:
            account = self._accounts.get(owner)
            if account is not None:
                account.bells.pop(bell, None)
                if not account.bells:
                    del self._accounts[owner]

    def ring(self, changes: Iterable[Change]) -> None:
        """Ring for these changes. A mailbox that has been rung for this MODSEQ or a later one is left in peace."""
        due: list[tuple[Bell, int]] = []
        with self._lock:
            for change in changes:
                bells = self._bells.get(change.mailbox_id)
                if bells and change.modseq > self._rung.get(change.mailbox_id, 0):
                    self._rung[change.mailbox_id] = change.modseq
                    due += [(bell, change.mailbox_id) for bell in bells]
                for account in self._hearers(change):
                    if account.is_new(change):
                        due += [(bell, change.mailbox_id) for bell in account.bells]
        for bell, mailbox in due:
            self.carry(bell, mailbox)

    def _hearers(self, change: Change) -> Iterable[_Account]:
        if change.mailbox_id == ANNOTATIONS and not change.owner_id:
            return self._accounts.values()
        account = self._accounts.get(change.owner_id)
        return () if account is None else (account,)

    def heard(self, mailbox: int) -> int:
        """Return the MODSEQ for which a watched mailbox was rung last; 0 when it was not."""
        return self._rung.get(mailbox, 0)

    def start_looking(self) -> None:
        """Take note that from now on no change is missed, and ring every bell for what was missed before."""
        self.looking_since = time.monotonic()
        self.ring_all()

    def stop_looking(self) -> None:
        """Take note that changes may be missed."""
        self.looking_since = None

    def ring_all(self) -> None:
        """Ring every bell: notices may have been missed."""
        with self._lock:
            due = [(bell, mailbox) for mailbox, bells in self._bells.items() for bell in bells]
            due += [(bell, EVERYTHING) for account in self._accounts.values() for bell in account.bells]
        for bell, mailbox in due:
            self.carry(bell, mailbox)

    @property
    def watched(self) -> int:
        """How many mailboxes somebody wants to hear of."""
        return len(self._bells)

    def when_changed(self, name: str, forget: Callable[[], object]) -> None:
        """Call ``forget`` whenever the ``Generation`` of this name has grown; in the thread that saw it."""
        with self._lock:
            self._caches.setdefault(name, []).append(forget)

    def generations(self, values: Iterable[tuple[str, int]]) -> None:
        """Take note of the generations as they are now, and make the caches forget whose number is another."""
        due: list[Callable[[], object]] = []
        with self._lock:
            for name, value in values:
                if self._generations.get(name) != value:
                    self._generations[name] = value
                    due += self._caches.get(name, [])
        for forget in due:
            try:
                forget()
            except Exception:
                # The other caches must hear of it all the same.
                log.exception("notices.cache_failed")


# The doorbells of this process.
doorbells = Doorbells()
