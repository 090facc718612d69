"""What this process has counted and measured: numbers that only grow, and gauges that are read when somebody asks.

A figure is made where the thing happens and nowhere else. The supervisor adds up what its processes send, and keeps
the totals of those that are gone. A figure that nobody has counted is absent, never zero.
"""

import threading
from bisect import bisect_left
from collections.abc import Callable
from typing import TypedDict

# Upper bounds of the buckets in seconds; what is slower counts in one bucket more. Sums of buckets over processes
# are exact, which percentiles are not: those are taken from the sums, by whoever shows them.
BOUNDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
# The same for what is no time of milliseconds, by how the figure's name ends: how many at once, and how long mail took.
SIZES = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0)
LATENCIES = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0, 432000.0)
_BY_ENDING = {"size": SIZES, "latency_seconds": LATENCIES}


def bounds_of(name: str) -> tuple[float, ...]:
    """Return the bounds of the figure's buckets."""
    for ending, bounds in _BY_ENDING.items():
        if name.endswith(ending):
            return bounds
    return BOUNDS


class Snapshot(TypedDict):
    """All figures of a process at one moment."""

    counters: dict[str, float]
    gauges: dict[str, float]
    timings: dict[str, list[float]]  # a count for each bucket, then the sum


class Figures:
    """The figures of one process. Safe to use from every thread.

    ``figures.count("smtp.accepted")``; ``figures.observe("commit.seconds", 0.004)``
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counters: dict[str, float] = {}
        self._gauges: dict[str, Callable[[], float]] = {}
        self._timings: dict[str, list[float]] = {}

    def count(self, name: str, amount: float = 1) -> None:
        """Add to a number that only grows."""
        with self._lock:
            self._counters[name] = self._counters.get(name, 0) + amount

    def gauge(self, name: str, read: Callable[[], float]) -> None:
        """Name a number that goes up and down, and how to read it; it is read in the thread that takes a snapshot."""
        with self._lock:
            self._gauges[name] = read

    def observe(self, name: str, amount: float, *, counting: str = "") -> None:
        """Note how long something took in seconds, or how many there were if the name ends in ``size``.

        ``counting`` is a counter that goes up in the same moment: no snapshot has one without the other.
        """
        bounds = bounds_of(name)
        with self._lock:
            buckets = self._timings.get(name)
            if buckets is None:
                buckets = self._timings[name] = [0] * (len(bounds) + 2)
            buckets[bisect_left(bounds, amount)] += 1
            buckets[-1] += amount
            if counting:
                self._counters[counting] = self._counters.get(counting, 0) + 1

    def snapshot(self) -> Snapshot:
        """Return all figures as plain values."""
        with self._lock:
            counters = dict(self._counters)
            gauges = dict(self._gauges)
            timings = {name: list(buckets) for name, buckets in self._timings.items()}
        return {"counters": counters, "gauges": {name: read() for name, read in gauges.items()}, "timings": timings}


# The figures of this process.
figures = Figures()
