"""What can be said of many measurements when only their buckets and their sum are known. Pure arithmetic."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate


@dataclass(frozen=True, slots=True)
class Histogram:
    """Measurements by buckets: ``counts`` has one more than ``bounds`` (upper bounds, which belong to their bucket)."""

    bounds: tuple[float, ...]
    counts: tuple[float, ...]
    total: float  # the sum of all measurements

    @classmethod
    def of(cls, bounds: Sequence[float], buckets: Sequence[float] | None) -> "Histogram":
        """Read buckets as ``figures`` has them: the counts, then the sum; ``None`` when nothing was ever measured."""
        if buckets is None:
            return cls(tuple(bounds), (0,) * (len(bounds) + 1), 0.0)
        return cls(tuple(bounds), tuple(buckets[:-1]), buckets[-1])

    @property
    def count(self) -> int:
        """How many measurements."""
        return int(sum(self.counts))

    @property
    def average(self) -> float | None:
        """The mean; exact. ``None`` without a measurement."""
        return self.total / self.count if self.count else None

    @property
    def cumulative(self) -> list[float]:
        """How many measurements were at most so large, for each bound; last all of them."""
        return list(accumulate(self.counts))

    def percentile(self, percent: float) -> float | None:
        """Return what ``percent`` of the measurements did not exceed, interpolated within its bucket.

        ``None`` without a measurement. In the last bucket, which is open, nobody knows more than that it was beyond
        the last bound: that bound is returned, and ``reaches_beyond`` says that it is a lower limit.
        """
        place = self._place(percent)
        if place is None:
            return None
        if place == len(self.bounds):
            return self.bounds[-1]
        lower = self.bounds[place - 1] if place else 0.0
        below = sum(self.counts[:place])
        share = (percent / 100 * self.count - below) / self.counts[place]
        return lower + (self.bounds[place] - lower) * share

    def reaches_beyond(self, percent: float) -> bool:
        """Say whether this percentile lies beyond the last bound, so that it is at least as large."""
        return self._place(percent) == len(self.bounds)

    def _place(self, percent: float) -> int | None:
        """Return the bucket that has the percentile."""
        if not self.count:
            return None
        wanted = percent / 100 * self.count
        return next(place for place, so_far in enumerate(self.cumulative) if so_far and so_far >= wanted)
