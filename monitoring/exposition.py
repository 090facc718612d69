"""``GET /metrics``: all figures in Prometheus' text format, version 0.0.4. What is what says ``families.py``."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

from a3mailer_site.figures import bounds_of
from mailqueue.counts import LANES
from monitoring.counted import Counted
from monitoring.families import OF_A_PROCESS, OTHER, RESTARTS, Family, Kind, place
from monitoring.histogram import Histogram
from monitoring.models import BOUNDS, CustomSeries

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Labels: TypeAlias = Mapping[str, str]

_STATES = ("total", "active", "deferred", "bounced")


class Page:
    """The text, family by family. A family has one HELP, one TYPE, and no series twice."""

    def __init__(self) -> None:
        self._families: dict[str, tuple[Family, dict[str, str]]] = {}

    def add(self, family: Family, value: float | None, labels: Labels | None = None) -> None:
        """Add a sample; ``None`` is left away."""
        if value is not None:
            self._put(family, family.name, labels or {}, number(value))

    def add_histogram(
        self,
        family: Family,
        bounds: Sequence[float],
        cumulative: Sequence[float],
        total: float,
        labels: Labels | None = None,
    ) -> None:
        """Add a histogram, whose last cumulative count is of all."""
        names = [number(bound) if bound % 1 else f"{bound:.1f}" for bound in bounds]
        for bound, count in zip([*names, "+Inf"], cumulative, strict=True):
            self._put(family, f"{family.name}_bucket", {**(labels or {}), "le": bound}, number(count))
        self._put(family, f"{family.name}_sum", labels or {}, number(total))
        self._put(family, f"{family.name}_count", labels or {}, number(cumulative[-1]))

    def _put(self, family: Family, name: str, labels: Labels, value: str) -> None:
        _, samples = self._families.setdefault(family.name, (family, {}))
        inside = ",".join(f'{label}="{escaped(text)}"' for label, text in labels.items())
        samples.setdefault(f"{name}{{{inside}}}" if inside else name, value)

    def __str__(self) -> str:
        return "".join(self._lines())

    def _lines(self) -> Iterator[str]:
        for family, samples in self._families.values():
            yield f"# HELP {family.name} {_escaped_help(family.help)}\n# TYPE {family.name} {family.kind}\n"
            for series, value in samples.items():
                yield f"{series} {value}\n"


def number(value: float) -> str:
    """Write a number as the format has it."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) and abs(value) < 2**53 else repr(float(value))


def escaped(text: str) -> str:
    """Write a label's value: backslash, quote and line feed would end it."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _escaped_help(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def add_reference(page: Page, cpu_percent: float | None, memory_bytes: int) -> None:
    """Add the two gauges that the reference names; its counter and its histogram come with the figures."""
    page.add(Family("stalwart_cpu_usage_percent", "gauge", "CPU usage percentage"), cpu_percent)
    page.add(Family("stalwart_memory_usage_bytes", "gauge", "Memory usage in bytes"), memory_bytes)


def add_figures(page: Page, counted: Counted) -> None:
    """Add what all processes have counted since the server started."""
    for name, value in sorted(counted.ever.counters.items()):
        family, labels = place(name, "counter") or (OTHER["counter"], {"figure": name})
        page.add(family, value, labels)
    for name in sorted(counted.ever.timings):
        family, labels = place(name, "histogram") or (OTHER["histogram"], {"figure": name})
        found: Histogram = counted.ever.histogram(name)
        page.add_histogram(family, bounds_of(name), found.cumulative, found.total, labels)
    for name, value in sorted(counted.gauges.items()):
        if name not in OF_A_PROCESS:
            family, labels = place(name, "gauge") or (OTHER["gauge"], {"figure": name})
            page.add(family, value, labels)
    _add_processes(page, counted)
    page.add(Family("a3mailer_uptime_seconds", "gauge", "Time since the server was started"), counted.uptime)


def _add_processes(page: Page, counted: Counted) -> None:
    for process in counted.processes:
        labels = {"process": process["name"]}
        for name, family in OF_A_PROCESS.items():
            page.add(family, process["gauges"].get(name), labels)
        page.add(RESTARTS, process.get("restarts"), labels)


def add_queue(page: Page, counts: Mapping[str, int]) -> None:
    """Add the queue by lane and by state."""
    lanes = Family("a3mailer_queue_messages", "gauge", "Messages in the queue by lane; each is in one")
    states = Family("a3mailer_queue_state_messages", "gauge", "Messages in the queue by state; they overlap")
    for name in LANES:
        page.add(lanes, counts[name], {"lane": name})
    for name in _STATES:
        page.add(states, counts[name], {"state": name})


def add_database(page: Page, *, is_up: bool) -> None:
    """Say whether the web process reached the database just now."""
    page.add(Family("a3mailer_database_up", "gauge", "Whether the database answered this request"), int(is_up))


def add_build(page: Page, version: str, build_date: str) -> None:
    """Say which program this is."""
    family = Family("a3mailer_build_info", "gauge", "The program, by version and the date it was built")
    page.add(family, 1, {"version": version, "build_date": build_date})


def add_custom(page: Page, series: Iterable[CustomSeries]) -> None:
    """Add what others have given us to keep. Their names cannot be ours, and no two of them overlap."""
    for each in series:
        kind: Kind = each.metric.kind  # type: ignore[assignment] # of the same words
        family = Family(each.metric.name, kind, "Custom metric")
        if each.buckets is not None:
            found = Histogram(BOUNDS, tuple(each.buckets), each.value)
            page.add_histogram(family, BOUNDS, found.cumulative, found.total, each.labels)
        else:
            page.add(family, each.value, each.labels)
