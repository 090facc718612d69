"""Who holds which maildrop: one POP3 session of an account at a time, in all processes (RFC 1939 section 4).

In the process a session stands in line; between processes (several mail processes, or an old and a new one while the
server is restarted) the kernel's lock on one byte of a file decides: the byte at the account's id. The kernel frees
it when the process dies, however that happens, so nothing is ever left locked. Processes on other machines are not
kept out; they can do no harm: a message is deleted by its UID, once.
"""

import fcntl
import os
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path

from twisted.internet.defer import Deferred

from mailcore.pop3.questions import Holder

# Seconds between two looks at a lock that another process has.
_STEP = 0.1


class MaildropLocks:
    """The locks of a process. In the reactor's thread only.

    ``path`` says where the file is, when it is needed first; ``sleep`` waits so many seconds without blocking.
    """

    def __init__(self, path: Callable[[], Path], sleep: Callable[[float], Awaitable[object]]) -> None:
        self._path = path
        self._sleep = sleep
        self._file: int | None = None
        self._holders: dict[int, Holder] = {}
        self._waiting: dict[int, deque[tuple[Holder, Deferred[bool]]]] = {}

    async def take(self, account: int, holder: Holder) -> bool:
        """Wait until ``holder`` has the maildrop; ``False`` if it was let go (``let_go``) meanwhile."""
        if account in self._holders:
            turn: Deferred[bool] = Deferred()
            self._waiting.setdefault(account, deque()).append((holder, turn))
            if not await turn:
                return False
        else:
            self._holders[account] = holder
        while not self._lock(account):
            await self._sleep(_STEP)
            if self._holders.get(account) is not holder:
                return False
        return True

    def let_go(self, account: int, holder: Holder) -> None:
        """Give the maildrop to the next in line, or leave the line; without either nothing is to be done."""
        line = self._waiting.get(account, deque())
        if self._holders.get(account) is holder:
            del self._holders[account]
            if line:
                # The byte stays locked: it is the process's.
                self._holders[account], turn = line.popleft()
                turn.callback(True)
            else:
                self._unlock(account)
        else:
            for place in [place for place in line if place[0] is holder]:
                line.remove(place)
                place[1].callback(False)
        if not line:
            self._waiting.pop(account, None)

    def _lock(self, account: int) -> bool:
        """Lock the account's byte; locking what this process has already changes nothing."""
        if self._file is None:
            self._file = os.open(self._path(), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, account)
        except (BlockingIOError, PermissionError):  # POSIX lets the system choose between the two
            return False
        return True

    def _unlock(self, account: int) -> None:
        if self._file is not None:
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, account)
