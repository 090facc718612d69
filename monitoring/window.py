"""What the supervisor has counted: the figures of all processes, and those of the last minutes.

Where the supervisor gives no window, what was counted since it started is one: as long as ``seconds`` says.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from a3mailer_site.figures import BOUNDS
from monitoring.histogram import Histogram


@dataclass(frozen=True, slots=True)
class Window:
    """What was counted in the last ``seconds``."""

    seconds: float
    counters: Mapping[str, float]
    timings: Mapping[str, Sequence[float]]

    def count(self, name: str) -> int:
        """Return how often something happened; what nobody counted has not happened."""
        return int(self.counters.get(name, 0))

    def timing(self, name: str) -> Sequence[float]:
        """Return the buckets of a timing; they are all 0 when nothing was timed."""
        return self.timings.get(name) or [0.0] * (len(BOUNDS) + 2)


def window(answer: Mapping[str, Any], seconds: int) -> Window:
    """Return what was counted in the last 60 or 300 seconds."""
    part = answer.get("windows", {}).get(str(seconds)) or {**answer, "seconds": answer.get("uptime", 0.0)}
    return Window(part["seconds"], part.get("counters", {}), part.get("timings", {}))


def since_start(answer: Mapping[str, Any]) -> Window:
    """Return what was counted since the server started."""
    return Window(answer.get("uptime", 0.0), answer.get("counters", {}), answer.get("timings", {}))


def samples(buckets: Sequence[float]) -> int:
    """Return how often something was timed."""
    return _histogram(buckets).count


def mean(buckets: Sequence[float]) -> float | None:
    """Return the mean in seconds; ``None`` over nothing."""
    return _histogram(buckets).average


def percentile(buckets: Sequence[float], part: float) -> float | None:
    """Return the time in seconds that ``part`` (0 to 1) of all did not exceed; ``None`` over nothing."""
    return _histogram(buckets).percentile(100 * part)


def _histogram(buckets: Sequence[float]) -> Histogram:
    return Histogram.of(BOUNDS, buckets)


def milliseconds(seconds: float | None, digits: int = 3) -> float | None:
    """Return milliseconds, as the API has them."""
    return None if seconds is None else round(seconds * 1000, digits)


def rate(part: float, whole: float, digits: int = 4) -> float | None:
    """Return ``part`` of ``whole`` as 0 to 1; ``None`` when there was nothing at all."""
    return round(part / whole, digits) if whole else None
