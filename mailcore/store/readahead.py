"""Small bodies that a client will ask for next: it fetches one message after the other, and seldom out of order.

A thread that reads one small body reads those behind it with the same statement; what is here is answered in the
reactor's thread, without a thread being woken for it. Bodies never change and UIDs are never given twice, so what is
kept cannot be wrong: at worst a session reads a message whose end it has not been told of (RFC 2180 section 4.1).
"""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

from mailcore.store.reading import MessageRow

# Bytes of bodies kept in a process, and mailboxes whose last UID is known.
LIMIT = 2 * 1024 * 1024
MAILBOXES = 1000
# A client goes forward if it asks for one of so many UIDs behind the last one.
STRIDE = 32


class _Key(NamedTuple):
    owner: int
    mailbox: int
    uid: int


class ReadAhead:
    """What is kept in one process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[_Key, tuple[MessageRow, bytes]] = OrderedDict()
        self._last: OrderedDict[tuple[int, int], int] = OrderedDict()
        self._size = 0

    def take(self, owner: int, mailbox: int, uid: int) -> tuple[MessageRow, bytes] | None:
        """Return a message that was read ahead, once: nobody opens the same message twice in a row."""
        with self._lock:
            found = self._kept.pop(_Key(owner, mailbox, uid), None)
            if found is not None:
                self._size -= len(found[1])
                self._last[owner, mailbox] = uid
            return found

    def goes_forward(self, owner: int, mailbox: int, uid: int) -> bool:
        """Take note that this message is read alone; say whether those behind it will probably follow."""
        with self._lock:
            last = self._last.pop((owner, mailbox), None)
            self._last[owner, mailbox] = uid
            if len(self._last) > MAILBOXES:
                self._last.popitem(last=False)
            return last is not None and last < uid <= last + STRIDE

    def keep(self, owner: int, mailbox: int, messages: Sequence[tuple[MessageRow, bytes]]) -> None:
        """Keep what was read ahead; what was kept for the longest time goes."""
        with self._lock:
            for row, data in messages:
                key = _Key(owner, mailbox, row.uid)
                if key not in self._kept:
                    self._kept[key] = row, data
                    self._size += len(data)
            while self._size > LIMIT:
                self._size -= len(self._kept.popitem(last=False)[1][1])

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._kept.clear()
            self._last.clear()
            self._size = 0


# That of this process.
read_ahead = ReadAhead()
