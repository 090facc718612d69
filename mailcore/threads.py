"""Small pools of threads for what would block the reactor, and the way back from them.

A pool has a bounded queue: when too much waits, the next caller is told at once to come back later, so that a slow
database or a storm of logins never fills memory. Nothing here knows what the work is; ``database.py`` does.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

from a3mailer_site.figures import figures
from mailcore.dialogue import UnavailableError

T = TypeVar("T")


class FromThread(Protocol):
    """The part of a reactor that threads may use."""

    def callFromThread(self, function: Callable[..., object], *args: Any) -> None:  # noqa: N802
        """Call the function in the reactor's thread, soon."""


class WayBack:
    """Carries calls from threads to the reactor, waking it once for all that have gathered meanwhile.

    Each wake-up is a write to a pipe and a turn of the reactor; at 10,000 results a second that counts.
    """

    def __init__(self, reactor: FromThread) -> None:
        self._reactor = reactor
        self._lock = threading.Lock()
        self._calls: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._held = False

    @contextmanager
    def together(self) -> Iterator[None]:
        """Wake the reactor only at the end of the block, which must be short. For one thread."""
        self._held = True
        try:
            yield
        finally:
            with self._lock:
                self._held = False
                waiting = bool(self._calls)
            if waiting:
                self._reactor.callFromThread(self._deliver)

    def call(self, function: Callable[..., object], *args: Any) -> None:
        """Call this in the reactor's thread, after what was handed over before. Safe from every thread."""
        with self._lock:
            self._calls.append((function, args))
            first = len(self._calls) == 1 and not self._held
        if first:
            self._reactor.callFromThread(self._deliver)

    def call_all(self, calls: list[tuple[Callable[..., object], tuple[Any, ...]]]) -> None:
        """Do the same with many calls at once (the results of a batch)."""
        if not calls:
            return
        with self._lock:
            first = not self._calls and not self._held
            self._calls.extend(calls)
        if first:
            self._reactor.callFromThread(self._deliver)

    def _deliver(self) -> None:
        with self._lock:
            calls, self._calls = self._calls, deque()
        for position, (function, args) in enumerate(calls):
            try:
                function(*args)
            except BaseException:
                # Twisted logs it; the others must not go down with it.
                rest = list(calls)[position + 1 :]
                self.call_all(rest)
                raise


class Pool:
    """A fixed number of threads that work off one bounded queue, and answer with Deferreds.

    ``wrap`` runs in the thread around each piece of work: it calls it, and may translate its errors.
    """

    def __init__(
        self,
        name: str,
        way_back: WayBack,
        *,
        threads: int,
        waiting: int,
        wrap: Callable[[Callable[[], Any]], Any] = lambda work: work(),
    ) -> None:
        self._name = name
        self._way_back = way_back
        self._limit = waiting
        self._wrap = wrap
        self._size = threads
        self._ready = threading.Condition()
        self._queue: deque[tuple[Callable[[], Any], Deferred[Any], float]] = deque()
        self._stopping = False
        self._threads: list[threading.Thread] = []
        figures.gauge(f"pool.{name}.waiting", lambda: len(self._queue))

    def submit(self, work: Callable[[], T]) -> "Deferred[T]":
        """Do this in one of the threads. The Deferred fails with ``UnavailableError`` when too much waits already."""
        with self._ready:
            if self._stopping:
                return fail(UnavailableError(f"{self._name}: the server is going down"))
            if len(self._queue) >= self._limit:
                figures.count(f"pool.{self._name}.refused")
                return fail(UnavailableError(f"{self._name}: {self._limit} are waiting already"))
            if len(self._threads) < self._size:
                self._start_thread()
            answer: Deferred[T] = Deferred()
            self._queue.append((work, answer, time.monotonic()))
            self._ready.notify()
        return answer

    def stop(self, patience: float = 5.0) -> None:
        """Let the threads finish what waits, for at most this many seconds."""
        with self._ready:
            self._stopping = True
            self._ready.notify_all()
        end = time.monotonic() + patience
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))

    def _start_thread(self) -> None:
        name = f"{self._name}-{len(self._threads)}"
        thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _work(self) -> None:
        while True:
            with self._ready:
                while not self._queue:
                    if self._stopping:
                        return
                    self._ready.wait()
                work, answer, since = self._queue.popleft()
            figures.observe(f"pool.{self._name}.wait_seconds", time.monotonic() - since)
            try:
                result = self._wrap(work)
            except BaseException as error:  # noqa: BLE001 - whoever waits for it is told
                self._way_back.call(answer.errback, Failure(error))  # type: ignore[no-untyped-call]
            else:
                self._way_back.call(answer.callback, result)
