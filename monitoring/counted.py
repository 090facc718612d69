"""What all processes together have counted, as the supervisor tells it: since the start, and lately.

    counted = ask()
    counted.window(60).sum("http.requests.")
    counted.window(300).histogram("http.seconds").percentile(95)

What nobody has counted is 0 in a sum over a name that is counted whenever it happens; a gauge that no process has is
``None``.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from a3mailer_site.api.errors import UnavailableError
from a3mailer_site.control import ControlError, call
from a3mailer_site.figures import bounds_of
from monitoring.histogram import Histogram


@dataclass(frozen=True, slots=True)
class Stretch:
    """Counters and times over so many seconds."""

    seconds: float
    counters: Mapping[str, float]
    timings: Mapping[str, list[float]]

    def counter(self, name: str) -> float:
        """Return how often something happened."""
        return self.counters.get(name, 0)

    def below(self, prefix: str) -> Iterator[tuple[str, float]]:
        """Give the rest of the name and the value of all counters that begin so."""
        for name, value in self.counters.items():
            if name.startswith(prefix):
                yield name[len(prefix) :], value

    def sum(self, prefix: str) -> float:
        """Add up all counters whose names begin so."""
        return sum(value for _, value in self.below(prefix))

    def histogram(self, name: str) -> Histogram:
        """Return what was measured under this name."""
        return Histogram.of(bounds_of(name), self.timings.get(name))

    def share(self, hits: str, misses: str) -> float | None:
        """Return hits / (hits + misses), 0 to 1; ``None`` when there was neither."""
        found, missed = self.counter(hits), self.counter(misses)
        return found / (found + missed) if found + missed else None


@dataclass(frozen=True, slots=True)
class Counted:
    """An answer of the supervisor."""

    uptime: float  # seconds
    ever: Stretch
    windows: Mapping[str, Stretch]
    gauges: Mapping[str, float]
    processes: list[dict[str, Any]]

    def window(self, seconds: int) -> Stretch:
        """Return what was counted lately: 60 or 300 seconds. Its ``seconds`` is the real length."""
        return self.windows[str(seconds)]

    def gauge(self, name: str) -> float | None:
        """Return a gauge, added up over the processes."""
        return self.gauges.get(name)


def ask() -> Counted:
    """Ask the supervisor; raises ``UnavailableError`` (503) when none answers."""
    try:
        return read(call("figures", timeout=3.0))
    except ControlError as error:
        raise UnavailableError from error


def read(answer: dict[str, Any]) -> Counted:
    """Understand an answer to the command ``figures``."""
    uptime = answer["uptime"]
    return Counted(
        uptime,
        Stretch(uptime, answer["counters"], answer["timings"]),
        {
            name: Stretch(window["seconds"], window["counters"], window["timings"])
            for name, window in answer["windows"].items()
        },
        answer["gauges"],
        answer["processes"],
    )
