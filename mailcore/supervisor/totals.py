"""Adds up the figures of all processes, and keeps those of processes that are gone.

Counters never go down when a process is replaced; gauges are those of the living.
"""

from collections.abc import Iterable
from typing import Any


def empty() -> dict[str, Any]:
    """Return figures before anything was counted."""
    return {"counters": {}, "gauges": {}, "timings": {}}


def add(total: dict[str, Any], more: dict[str, Any]) -> None:
    """Add the counters and timings of one process to a total."""
    counters = total["counters"]
    for name, amount in more.get("counters", {}).items():
        counters[name] = counters.get(name, 0) + amount
    timings = total["timings"]
    for name, buckets in more.get("timings", {}).items():
        known = timings.get(name)
        timings[name] = list(buckets) if known is None else [a + b for a, b in zip(known, buckets, strict=True)]


class Totals:
    """The figures of this server since the supervisor started."""

    def __init__(self) -> None:
        self._retired = empty()
        self._living: dict[int, dict[str, Any]] = {}

    def update(self, pid: int, figures: dict[str, Any]) -> None:
        """Take the newest figures of a process; they replace its older ones."""
        self._living[pid] = figures

    def retire(self, pid: int) -> None:
        """Keep what a process that is gone has counted."""
        add(self._retired, self._living.pop(pid, empty()))

    def gauges(self, pid: int) -> dict[str, float]:
        """Return the gauges of one living process."""
        return dict(self._living.get(pid, empty())["gauges"])

    def sum(self) -> dict[str, Any]:
        """Add everything up."""
        total = empty()
        add(total, self._retired)
        for figures in self._living.values():
            add(total, figures)
        total["gauges"] = _sum_gauges(figures.get("gauges", {}) for figures in self._living.values())
        return total


def _sum_gauges(all_gauges: Iterable[dict[str, float]]) -> dict[str, float]:
    total: dict[str, float] = {}
    for gauges in all_gauges:
        for name, value in gauges.items():
            total[name] = total.get(name, 0) + value
    return total
