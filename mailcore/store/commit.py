"""Group commit: what waits goes to disk together, and each waiter gets its own answer.

A flush to disk costs the same for one message as for two hundred. A batch that fails is tried again one by one, so a
bad message fails alone; when the database is locked, full or away its waiters are told so at once, and the writer
lives on.
"""

import errno
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import structlog
from django.db import DatabaseError, InterfaceError, OperationalError, connection, transaction
from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

from a3mailer_site.figures import figures
from mailcore.database import TRUSTED, is_full
from mailcore.dialogue import NoSpaceError, UnavailableError
from mailcore.store.batch import Batch, Change, Work
from mailcore.threads import WayBack

T = TypeVar("T")
log = structlog.get_logger("mailcore.store.commit")

BATCH_WORKS = 200
BATCH_BYTES = 8 * 1024 * 1024
# Rows to lock: a message to a thousand mailboxes is as much work as many messages.
BATCH_LOCKS = 2000
WAITING_LIMIT = 5000
# Seconds of rest after a crowded batch, outside the write gate: others get their turn, and the next batch fills up.
REST = 0.002
_CROWD = 8

# PostgreSQL: deadlock, lock not available, serialization failure. They pass by themselves.
_PASSING = {"40P01", "55P03", "40001"}

_listeners: list[Callable[[Sequence[Change]], None]] = []


def on_commit(listener: Callable[[Sequence[Change]], None]) -> None:
    """Have ``listener`` told of the changes of every transaction of this process, in the thread that committed."""
    _listeners.append(listener)


def run(work: Work[T]) -> T:
    """Do one unit of work in a transaction of its own, in this thread. Raises what the work raises."""
    results, changes = _transact([work])
    _tell(changes)
    result: T = results[0]
    return result


def _transact(works: Sequence[Work[Any]]) -> tuple[list[Any], Sequence[Change]]:
    if connection.vendor == "sqlite" and not connection.in_atomic_block:
        # The worker's own transactions may wait for somebody else's flush; not those that accept mail or touch a
        # mailbox: a UID once seen must never be given again. SQLite takes this only outside a transaction.
        connection.ensure_connection()
        with connection.wrap_database_errors:
            connection.connection.execute("PRAGMA synchronous=FULL")
    with transaction.atomic():
        batch = Batch(works)
        results = [work.apply(batch) for work in works]
        changes = batch.write()
    if connection.in_atomic_block:  # somebody else's transaction, which is not over: nothing can be said for certain
        changes = [replace(change, news=None) for change in changes]
    return results, changes


def _tell(changes: Sequence[Change]) -> None:
    for listener in _listeners:
        try:
            listener(changes)
        except Exception:
            # It is committed: whoever waits must not be told anything else.
            log.exception("commit.listener_failed")


class Committer:
    """The writer thread of a process. ``submit`` from the reactor; the Deferred fires there once all is on disk."""

    def __init__(self, way_back: WayBack) -> None:
        self._way_back = way_back
        self._ready = threading.Condition()
        self._queue: deque[tuple[Work[Any], Deferred[Any]]] = deque()
        self._stopping = False
        self._thread = threading.Thread(target=self._work, name="committer", daemon=True)
        figures.gauge("commit.waiting", lambda: len(self._queue))

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def submit(self, work: Work[T]) -> "Deferred[T]":
        """Put a unit of work in the next batch. Fails with ``UnavailableError`` when the database cannot take it."""
        answer: Deferred[T] = Deferred()
        with self._ready:
            if self._stopping or len(self._queue) >= WAITING_LIMIT:
                return fail(UnavailableError("the group commit takes nothing more now"))
            self._queue.append((work, answer))
            self._ready.notify()
        return answer

    def stop(self, patience: float = 10.0) -> None:
        """Commit what waits, then end the thread."""
        with self._ready:
            self._stopping = True
            self._ready.notify()
        if self._thread.is_alive():
            self._thread.join(patience)

    def _work(self) -> None:
        looked_at = 0.0
        while True:
            with self._ready:
                while not self._queue:
                    if self._stopping:
                        connection.close()
                        return
                    self._ready.wait()
                batch = self._take()
            started = time.monotonic()
            if started - looked_at > TRUSTED:
                # The database may have gone and come back since: nobody is to be refused for that.
                looked_at = started
                connection.close_if_unusable_or_obsolete()
            try:
                self._commit(batch)
            except Exception as error:
                # The waiters are told; the writer must live on.
                log.exception("commit.failed", waiting=len(batch))
                self._answer([(answer, _failure(error)) for _, answer in batch if not answer.called])
            figures.observe("commit.seconds", time.monotonic() - started)
            figures.observe("commit.batch_size", len(batch))
            if len(batch) >= _CROWD:
                time.sleep(REST)

    def _take(self) -> list[tuple[Work[Any], "Deferred[Any]"]]:
        batch: list[tuple[Work[Any], Deferred[Any]]] = []
        weight = locks = 0
        while self._queue and len(batch) < BATCH_WORKS:
            work = self._queue[0][0]
            weight += work.weight
            locks += len(work.mailboxes)
            if batch and (weight > BATCH_BYTES or locks > BATCH_LOCKS):
                break
            batch.append(self._queue.popleft())
        return batch

    def _commit(self, batch: Sequence[tuple[Work[Any], "Deferred[Any]"]]) -> None:
        """Commit a batch and answer its waiters; one that fails is divided."""
        try:
            results, changes = _transact([work for work, _ in batch])
        except Exception as error:  # noqa: BLE001 - sorted below, and every waiter is told
            unavailable = _unavailable(error)
            if unavailable is not None:
                log.warning("commit.unavailable", reason=str(error), waiting=len(batch))
                connection.close()
                self._answer([(answer, _failure(unavailable)) for _, answer in batch])
            elif len(batch) > 1:
                self._one_by_one(batch)
            elif _passes(error):
                self._answer([(batch[0][1], _failure(UnavailableError(f"database: {error}")))])
            else:
                self._answer([(batch[0][1], _failure(error))])
            return
        with self._way_back.together():
            _tell(changes)
            self._answer([(answer, result) for (_, answer), result in zip(batch, results, strict=True)])

    def _one_by_one(self, batch: Sequence[tuple[Work[Any], "Deferred[Any]"]]) -> None:
        figures.count("commit.divided")
        for item in batch:
            self._commit([item])

    def _answer(self, answers: Sequence[tuple["Deferred[Any]", Any]]) -> None:
        self._way_back.call_all(
            [
                (answer.errback if isinstance(result, Failure) else answer.callback, (result,))
                for answer, result in answers
            ]
        )


def _passes(error: Exception) -> bool:
    return getattr(error.__cause__, "sqlstate", None) in _PASSING


def _unavailable(error: Exception) -> UnavailableError | None:
    """Translate what means that the database or the disk cannot take anything now; ``None`` for other errors."""
    if is_full(error):
        return NoSpaceError(f"disk: {error}")
    if isinstance(error, OSError) and error.errno == errno.EIO:
        return UnavailableError(f"disk: {error}")
    if _passes(error):
        return None
    if isinstance(error, OperationalError | InterfaceError | sqlite3.OperationalError):
        return UnavailableError(f"database: {error}")
    # SQLite reports a full disk in the middle of a statement as a plain DatabaseError.
    if isinstance(error, DatabaseError) and "full" in str(error):
        return UnavailableError(f"database: {error}")
    return None


def _failure(error: Exception) -> Failure:
    return Failure(error)  # type: ignore[no-untyped-call]
