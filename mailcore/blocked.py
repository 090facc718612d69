"""The block list in the mail process: read in a database thread, in force in the reactor's.

The rule itself is ``security.blocklist``. Here is when it is read, that open connections of an address end when it is
blocked, and when refused connections are written down.
"""

from collections.abc import Callable
from typing import Any

import structlog
from django.db import DatabaseError, InterfaceError, connection
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall

from a3mailer_site.figures import figures
from mailcore.database import DatabaseDoors
from mailcore.transport import Connections
from security import blocklist
from security.blocklist import Blocklist, guard

log = structlog.get_logger("mailcore.blocked")

# Seconds until the list is read again when the database did not answer.
AGAIN_AFTER = 0.5


class BlockedHere:
    """Keeps the list of this process true. Everything but ``read_now`` belongs in the reactor's thread."""

    def __init__(self, reactor: Any, doors: DatabaseDoors, connections: Connections) -> None:
        self._reactor = reactor
        self._doors = doors
        self._connections = connections
        self._reading = self._changed = False
        self._read: Callable[[], Blocklist] = blocklist.read

    def read_now(self) -> None:
        """Read the list, in this thread: before the reactor runs, and so before anybody can connect."""
        try:
            guard.use(self._read())
        except (DatabaseError, InterfaceError) as error:
            # Without a database everybody is asked to come back later; with it comes the list.
            log.warning("the block list cannot be read yet", reason=str(error))
        finally:
            connection.close()  # it belongs to this thread, which never asks the database again

    def start(self) -> None:
        """Write down now and then what was refused."""
        LoopingCall(self.write_down).start(blocklist.WRITE_EVERY, now=False)

    def changed(self) -> None:
        """Read the list: it may be another one. What changes while it is read is read afterwards."""
        self._changed = True
        if self._reading:
            return
        self._reading, self._changed = True, False
        self._doors.database(self._read).addCallbacks(self._use, self._later)

    def _use(self, new: Blocklist) -> None:
        self._reading = False
        guard.use(new)
        if cut := self._connections.abort_where(guard.covers):
            figures.count("blocks.cut", cut)
        if self._changed:
            self.changed()

    def _later(self, failure: Any) -> None:
        self._reading = False
        log.warning("the block list cannot be read; the last one holds", reason=str(failure.value))
        self._reactor.callLater(AGAIN_AFTER, self.changed)

    def write_down(self) -> Deferred[Any] | None:
        """Write down what was refused, if anything was."""
        hits = guard.take_hits()
        if not hits:
            return None
        written = self._doors.database(blocklist.write_hits, hits)
        written.addErrback(self._kept, hits)
        return written

    def _kept(self, failure: Any, hits: dict[str, tuple[int, float]]) -> None:
        guard.give_back(hits)
        log.warning("refused connections cannot be written down now", reason=str(failure.value))
