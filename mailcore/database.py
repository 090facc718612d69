"""The one door from the reactor to the database.

The ORM blocks, so it runs in a small pool of threads and never in the reactor's own. Those threads read, and write
what is rare; mail that is to be acknowledged goes through the group commit instead. Passwords are verified in a pool
of their own: hashing takes 20 ms of a core, and a storm of logins must not hold up the mail.
"""

import errno
import sqlite3
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from django.db import InterfaceError, OperationalError, close_old_connections, connections
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from mailcore.dialogue import NoSpaceError, UnavailableError
from mailcore.threads import Pool, WayBack

if TYPE_CHECKING:
    from typing import Self

T = TypeVar("T")

READERS = 4
# Enough for every connection to have one question open; beyond that the answer would come too late to be of use.
READS_WAITING = 2000

# Two cores' worth of hashing, and at most about two seconds of it waiting.
VERIFIERS = 2
LOGINS_WAITING = 200

# Seconds that a connection is trusted before it is looked at again: the database may have gone and come back. Counted
# from the last look and not from the last work of the thread, which may not have used the connection at all.
TRUSTED = 1.0
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EIO}
_thread = threading.local()


class Committing(Protocol):
    """What the group commit offers."""

    def submit(self, work: Any) -> "Deferred[Any]":
        """Put a unit of work in the next batch; fires in the reactor's thread when it is on disk."""


class Verify(Protocol):
    """``accounts.passwords.verify``."""

    def __call__(self, login: str, password: str, address: str, protocol: str) -> Any:
        """Return the account, or ``None``."""


def in_database_thread(work: Callable[[], T]) -> T:
    """Call ``work`` with a database connection that is fit for use; errors of the database become ``UnavailableError``.

    A connection that broke is closed, so that the next piece of work opens a new one: nothing has to be restarted
    when the database has been away.
    """
    now = time.monotonic()
    if now - getattr(_thread, "looked_at", 0.0) > TRUSTED:
        _thread.looked_at = now
        close_old_connections()
    try:
        return work()
    except (OperationalError, InterfaceError, sqlite3.OperationalError) as error:
        close_old_connections()
        raise (NoSpaceError if is_full(error) else UnavailableError)(f"database: {error}") from error
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise (NoSpaceError if is_full(error) else UnavailableError)(f"disk: {error}") from error
        raise
    finally:
        _leave_no_transaction()


def is_full(error: Exception) -> bool:
    """Say whether this error, of the system or of either database, means that a disk has no room left."""
    if isinstance(error, OSError):
        return error.errno in {errno.ENOSPC, errno.EDQUOT}
    # SQLite's SQLITE_FULL, and PostgreSQL's disk_full.
    return "disk is full" in str(error) or getattr(error.__cause__, "sqlstate", None) == "53100"


def _leave_no_transaction() -> None:
    for connection in connections.all(initialized_only=True):
        if connection.in_atomic_block:
            connection.in_atomic_block = False  # or Django would keep the closed connection
            connection.close()
            raise RuntimeError("a database function ended inside a transaction")


class DatabaseDoors:
    """The doors (``transport.Doors``) of a process that has a database."""

    __slots__ = ("_clock", "_committer", "_readers", "_verifiers", "_verify", "begun", "connection")

    connection: Any
    begun: Any

    def __init__(
        self,
        way_back: WayBack,
        verify: Verify,
        committer: Committing | None = None,
        clock: IReactorTime | None = None,
    ) -> None:
        self._readers = Pool("database", way_back, threads=READERS, waiting=READS_WAITING, wrap=in_database_thread)
        self._verifiers = Pool(
            "passwords", way_back, threads=VERIFIERS, waiting=LOGINS_WAITING, wrap=in_database_thread
        )
        self._verify = verify
        self._committer = committer
        self._clock = clock
        self.connection = None
        self.begun = None

    def at(self, connection: Any) -> "Self":
        """Return the same doors, for this connection's questions."""
        doors = object.__new__(type(self))
        doors._readers = self._readers
        doors._verifiers = self._verifiers
        doors._verify = self._verify
        doors._committer = self._committer
        doors._clock = self._clock
        doors.connection = connection
        doors.begun = None
        return doors

    def database(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> "Deferred[T]":
        """Call ``function`` in a database thread, in autocommit. Pass plain values in and out, no querysets."""
        return self._readers.submit(partial(function, *args, **kwargs) if args or kwargs else function)

    def commit(self, work: Any) -> "Deferred[Any]":
        """Hand a unit of work to the group commit; fires when it is on disk."""
        if self._committer is None:
            return fail(UnavailableError("this process has no group commit"))
        return self._committer.submit(work)

    def pause(self, seconds: float) -> "Deferred[None]":
        """Fire after so many seconds."""
        if self._clock is None:
            raise RuntimeError("this process has no clock for its doors")
        return deferLater(self._clock, seconds)

    def verify_password(self, login: str, password: str, address: str, protocol: str) -> "Deferred[Any]":
        """Fire with the account that this password opens, or with ``None``."""
        return self._verifiers.submit(partial(self._verify, login, password, address, protocol))

    def close(self) -> None:
        """Finish what waits, at most 5 s a pool."""
        self._readers.stop()
        self._verifiers.stop()
