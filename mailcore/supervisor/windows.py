"""What was counted in the last minute and in the last five: differences of sums that were remembered.

Sums over all processes only grow, also when processes are replaced, so the difference between two moments is what
happened between them. Knows neither a clock nor what the figures mean.
"""

from collections import deque
from typing import Any, TypeAlias

# Seconds: how long the windows are, how often the sums are remembered, and the finer ones of the shortest window.
LENGTHS = (60, 300)
EVERY = 1.0
_COARSE = 5.0

Sums: TypeAlias = dict[str, Any]  # as ``Totals.sum`` gives them; gauges are of no use here


class Windows:
    """``remember`` the sums each second; ``differences`` says what has happened since then."""

    def __init__(self, started: float) -> None:
        """``started`` is when nothing had been counted yet, on the clock of all other calls."""
        self._fine: deque[tuple[float, Sums]] = deque()
        self._coarse: deque[tuple[float, Sums]] = deque([(started, {"counters": {}, "timings": {}})])

    def remember(self, now: float, sums: Sums) -> None:
        """Keep these sums, and forget what no window reaches back to."""
        self._fine.append((now, sums))
        while len(self._fine) > 1 and self._fine[1][0] <= now - LENGTHS[0]:
            at, old = self._fine.popleft()
            if at - self._coarse[-1][0] >= _COARSE:
                self._coarse.append((at, old))
        while len(self._coarse) > 1 and self._coarse[1][0] <= now - LENGTHS[-1]:
            self._coarse.popleft()

    def differences(self, now: float, sums: Sums) -> dict[str, Any]:
        """Return for each length what was counted since, and how many seconds that really are.

        A window is as long as it is named or a little longer (a second, or five for the long one); shorter only while
        the server has not run for so long.
        """
        return {str(length): self._difference(now, sums, length) for length in LENGTHS}

    def _difference(self, now: float, sums: Sums, length: float) -> dict[str, Any]:
        at, old = self._before(now - length)
        before, times = old["counters"], old["timings"]
        return {
            "seconds": round(now - at, 3),
            "counters": {name: amount - before.get(name, 0) for name, amount in sums["counters"].items()},
            "timings": {name: _minus(buckets, times.get(name)) for name, buckets in sums["timings"].items()},
        }

    def _before(self, moment: float) -> tuple[float, Sums]:
        """Return the youngest sums that are not younger than ``moment``; the oldest when all are."""
        for kept in (self._fine, self._coarse):
            for at, sums in reversed(kept):
                if at <= moment:
                    return at, sums
        return self._coarse[0]


def _minus(buckets: list[float], before: list[float] | None) -> list[float]:
    return list(buckets) if before is None else [new - old for new, old in zip(buckets, before, strict=True)]
