"""What the figures say of caches and connections: the numbers that performance, health and recommendations share."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from a3mailer_site.figures import BOUNDS
from a3mailer_site.figures import figures as own_figures
from monitoring.window import Window, mean, rate, samples

# The caches of accounts, of domains and aliases, and of settings.
KINDS = ("user", "domain", "settings")


@dataclass(frozen=True, slots=True)
class Caches:
    """All caches of all processes. Sizes in bytes, times in seconds."""

    hits: int
    misses: int
    insertions: int
    evictions: int
    used: int | None  # None: no process has told
    capacity: int | None
    lookup_time: float | None
    timed: int

    @property
    def lookups(self) -> int:
        """How often something was looked up."""
        return self.hits + self.misses

    @property
    def hit_rate(self) -> float | None:
        """0 to 1; ``None`` before the first lookup."""
        return rate(self.hits, self.lookups)


def caches(window: Window, gauges: Mapping[str, float]) -> Caches:
    """Add up the caches."""

    def count(what: str) -> int:
        return sum(window.count(f"cache.{kind}.{what}") for kind in KINDS)

    buckets = [0.0] * (len(BOUNDS) + 2)
    for kind in KINDS:
        buckets = [a + b for a, b in zip(buckets, window.timing(f"cache.{kind}.lookup"), strict=True)]
    return Caches(
        count("hits"),
        count("misses"),
        count("insertions"),
        count("evictions"),
        _sum(gauges, "bytes"),
        _sum(gauges, "capacity"),
        mean(buckets),
        samples(buckets),
    )


def _sum(gauges: Mapping[str, float], what: str) -> int | None:
    known = [gauges[name] for kind in KINDS if (name := f"cache.{kind}.{what}") in gauges]
    return int(sum(known)) if known else None


def own_caches() -> Caches:
    """Add up the caches of this process alone, for when nobody knows the others."""
    snapshot = own_figures.snapshot()
    return caches(Window(0.0, snapshot["counters"], snapshot["timings"]), snapshot["gauges"])


@dataclass(frozen=True, slots=True)
class Outbound:
    """Connections to other servers: those that are there now, and what was done in a window. Times in seconds.

    What only the worker knows is ``None`` while there is none.
    """

    active: int | None
    idle: int | None
    limit: int | None
    waiting: int | None
    opened: int
    failed: int
    checkouts: int
    reuses: int
    waits: int
    open_time: float | None
    window_seconds: float

    @property
    def total(self) -> int | None:
        """Those that are there and those that failed."""
        return None if self.active is None or self.idle is None else self.active + self.idle + self.failed

    @property
    def reuse_rate(self) -> float | None:
        """Messages that found a connection open, of all that went over one; ``None`` when none did."""
        return rate(self.reuses, self.checkouts)


def outbound(window: Window, gauges: Mapping[str, float]) -> Outbound:
    """Read the pool's figures."""

    def gauge(name: str) -> int | None:
        value = gauges.get(f"delivery.pool.{name}")
        return None if value is None else int(value)

    return Outbound(
        active=gauge("active"),
        idle=gauge("idle"),
        limit=gauge("limit"),
        waiting=gauge("waiting"),
        opened=window.count("delivery.pool.opened"),
        failed=window.count("delivery.pool.failed"),
        checkouts=window.count("delivery.pool.checkouts"),
        reuses=window.count("delivery.pool.reuses"),
        waits=window.count("delivery.pool.waits"),
        open_time=mean(window.timing("delivery.pool.open")),
        window_seconds=window.seconds,
    )


def requests(window: Window) -> tuple[int, int]:
    """Return how many HTTP requests there were, and how many of them failed (status 400 and above)."""
    total = failed = 0
    for name, count in window.counters.items():
        status = name.rpartition(".")[2]
        if name.startswith("http.requests.") and status.isdigit():
            total += int(count)
            failed += int(count) if int(status) >= 400 else 0
    return total, failed


def gauges_of(answer: Mapping[str, Any]) -> Mapping[str, float]:
    """Return the gauges, summed over the living processes."""
    found: Mapping[str, float] = answer.get("gauges", {})
    return found
