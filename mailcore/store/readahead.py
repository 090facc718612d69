"""Bodies that a client will ask for next: it fetches one message after the other, and seldom out of order.

A thread that reads one body reads those behind it with the same statement; what is here is answered in the reactor's
thread, without a thread being woken for it, and before the last one is given away the next are being read. Bodies
never change and UIDs are never given twice, so what is kept cannot be wrong: at worst a session reads a message whose
end it has not been told of (RFC 2180 section 4.1).
"""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

from mailcore.store.reading import MessageRow

# Bytes of bodies kept in a process, and mailboxes of which is known where their readers are.
LIMIT = 8 * 1024 * 1024
MAILBOXES = 1000
# A client goes forward if it asks for one of so many UIDs behind the last one. So many messages are read at once.
STRIDE = 32


class _Key(NamedTuple):
    owner: int
    mailbox: int
    uid: int


class _Reader:
    """Where those who read a mailbox are."""

    __slots__ = ("ahead_to", "last")

    def __init__(self) -> None:
        self.last: int | None = None  # the UID that was asked for last
        self.ahead_to: int | None = None  # the first UID that has not been read ahead; None: nothing more to read


class ReadAhead:
    """What is kept in one process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[_Key, tuple[MessageRow, bytes]] = OrderedDict()
        self._readers: OrderedDict[tuple[int, int], _Reader] = OrderedDict()
        self._size = 0

    def take(self, owner: int, mailbox: int, uid: int) -> tuple[MessageRow, bytes] | None:
        """Return a message that was read ahead, once: nobody opens the same message twice in a row."""
        with self._lock:
            found = self._kept.pop(_Key(owner, mailbox, uid), None)
            if found is not None:
                self._size -= len(found[1])
                self._reader(owner, mailbox).last = uid
            return found

    def goes_forward(self, owner: int, mailbox: int, uid: int) -> bool:
        """Take note that this message is read alone; say whether those behind it will probably follow."""
        with self._lock:
            reader = self._reader(owner, mailbox)
            last, reader.last = reader.last, uid
            return last is not None and last < uid <= last + STRIDE

    def go_on(self, owner: int, mailbox: int, uid: int) -> int | None:
        """Return the UID from which on to read now, if a client that is at ``uid`` will soon have had all there is."""
        with self._lock:
            reader = self._reader(owner, mailbox)
            start = reader.ahead_to
            if start is None or uid < start - STRIDE:
                return None
            reader.ahead_to = None  # until that has been read
            return start

    def keep(self, owner: int, mailbox: int, messages: Sequence[tuple[MessageRow, bytes]], to: int | None) -> None:
        """Keep what was read ahead, and up to which UID that was; what was kept for the longest time goes."""
        with self._lock:
            self._reader(owner, mailbox).ahead_to = to
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
            self._readers.clear()
            self._size = 0

    def _reader(self, owner: int, mailbox: int) -> _Reader:
        reader = self._readers.pop((owner, mailbox), None) or _Reader()
        self._readers[owner, mailbox] = reader
        if len(self._readers) > MAILBOXES:
            self._readers.popitem(last=False)
        return reader


# That of this process.
read_ahead = ReadAhead()
