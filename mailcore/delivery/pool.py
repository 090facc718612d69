"""All connections to other servers together: how many there may be, which of them are free, and how they are used.

    await pool.acquire()            # leave to have one connection; waits while there are ``limit`` of them
    pool.opened(connection)         # it counts as at work until it is kept, and then as idle
    pool.keep(connection); pool.take(connection); pool.release()

``resize`` changes the limit at once: idle connections beyond it are closed, those at work finish their message first.
Figures: ``delivery.pool.*``. Reuse is counted by message, so that its rate is never more than 1.
"""

from heapq import heappop, heappush
from itertools import count
from typing import Any

from twisted.internet.defer import Deferred, succeed

from a3mailer_site.figures import figures
from mailcore.delivery.connection import OutboundConnection

# Seconds after which a host that has not let us begin loses its turn to others that wait. Without this, a few dozen
# hosts that say a byte now and then could hold up all mail.
HURRY_AFTER = 20.0


class ConnectionPool:
    """One for each worker process."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._leaves = 0  # given out and not given back
        self._waiting: list[tuple[int, int, Deferred[None]]] = []  # a heap: turn, number, who waits
        self._numbers = count()
        self._opening: dict[Deferred[Any], float] = {}  # since when; the oldest first
        self._open: set[OutboundConnection] = set()
        self._idle: dict[OutboundConnection, None] = {}  # the one that has been free for longest first
        figures.gauge("delivery.pool.active", lambda: self.active)
        figures.gauge("delivery.pool.idle", lambda: self.idle)
        figures.gauge("delivery.pool.limit", lambda: self.limit)
        figures.gauge("delivery.pool.waiting", lambda: len(self._waiting))

    @property
    def active(self) -> int:
        """Connections that are open and not free."""
        return len(self._open) - len(self._idle)

    @property
    def idle(self) -> int:
        """Connections that are open and free."""
        return len(self._idle)

    @property
    def crowded(self) -> bool:
        """Whether more leaves are out than there may be, so that who can should give one back."""
        return self._leaves > self.limit

    def acquire(self, turn: int = 0) -> "Deferred[None]":
        """Wait for leave to have one connection at work; the lowest ``turn`` gets it first."""
        if self._leaves < self.limit:
            self._leaves += 1
            return succeed(None)
        figures.count("delivery.pool.waits")
        waiting: Deferred[None] = Deferred()
        heappush(self._waiting, (turn, next(self._numbers), waiting))
        return waiting

    def release(self) -> None:
        """Give the leave back."""
        self._leaves -= 1
        self._let_in()
        self._make_room()

    def resize(self, limit: int) -> None:
        """Allow so many connections, at work and idle together."""
        self.limit = limit
        self._let_in()
        self._make_room()

    def opening(self, attempt: "Deferred[Any]", now: float) -> None:
        """Take note of a connection that is being opened; it may be cancelled."""
        self._opening[attempt] = now
        attempt.addBoth(self._no_longer_opening, attempt)

    def hurry(self, now: float) -> None:
        """Give up what takes long to open, the oldest first, one for each who waits."""
        slow = [attempt for attempt, began in self._opening.items() if now - began >= HURRY_AFTER]
        for attempt in slow[: len(self._waiting)]:
            attempt.cancel()

    def opened(self, connection: OutboundConnection, seconds: float) -> None:
        """Count a connection that took so long to open (TCP, TLS, EHLO), for as long as it is there."""
        figures.count("delivery.pool.opened")
        figures.observe("delivery.pool.open", seconds)
        self._open.add(connection)
        connection.gone.addCallback(lambda _: self._is_gone(connection))
        self._make_room()

    def keep(self, connection: OutboundConnection) -> bool:
        """Count it as free; ``False`` when there are too many already, and then it is closed."""
        self._idle[connection] = None
        self._make_room()
        return connection in self._idle

    def take(self, connection: OutboundConnection) -> None:
        """Count it as at work again."""
        self._idle.pop(connection, None)

    @staticmethod
    def used(*, again: bool, lost: bool) -> None:
        """Count a message said over a connection: one used before (``again``), one that broke over it (``lost``)."""
        figures.count("delivery.pool.checkouts")
        if again and not lost:
            figures.count("delivery.pool.reuses")

    @staticmethod
    def failed() -> None:
        """Count a connection that could not be opened or broke."""
        figures.count("delivery.pool.failed")

    def _let_in(self) -> None:
        while self._waiting and self._leaves < self.limit:
            self._leaves += 1
            heappop(self._waiting)[-1].callback(None)

    def _make_room(self) -> None:
        """Close the connections that have been free for longest, if there are too many in all."""
        while self._idle and max(self._leaves, self.active) + self.idle > self.limit:
            connection = next(iter(self._idle))
            del self._idle[connection]
            connection.quit()

    def _no_longer_opening(self, result: Any, attempt: "Deferred[Any]") -> Any:
        self._opening.pop(attempt, None)
        return result

    def _is_gone(self, connection: OutboundConnection) -> None:
        self._open.discard(connection)
        self._idle.pop(connection, None)
