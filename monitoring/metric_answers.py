"""The bodies of ``GET /api/v1/metrics/system`` and ``/application``, and where each of their numbers comes from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.utils import timezone

from a3mailer_site.api.switches import Source
from a3mailer_site.env import DEVELOPMENT_LISTEN, current
from monitoring import machine
from monitoring.counted import Counted, Stretch
from monitoring.sessions import web_sessions

# Milliseconds and rates are shown with so many digits.
_DIGITS = 3
# The caches that the reference names, and the figures of those that we have.
CACHES = {"user_cache": "user", "domain_cache": "domain", "config_cache": "settings"}


@dataclass(slots=True)
class Answer:
    """A body, and the sources of its numbers by field."""

    body: dict[str, Any]
    sources: dict[str, Source] = field(default_factory=dict)


def system(counted: Counted) -> Answer:
    """Return how the machine is, as far as we may use it."""
    use, memory = machine.meter.use(), machine.memory()
    used, total = machine.disk(current().data_dir)
    received, sent = machine.network() or (None, None)
    load = machine.load() or (None, None, None)
    whose = "control group" if memory.is_limited else "machine"
    here = Source(f"memory of the {whose}")
    body = {
        "timestamp": _now(),
        "cpu_usage": None if use is None else round(use.percent, 1),
        "memory_usage": memory.used,
        "memory_total": memory.total,
        "disk_usage": used,
        "disk_total": total,
        "network_rx_bytes": received,
        "network_tx_bytes": sent,
        "load_average": dict(zip(("1m", "5m", "15m"), load, strict=True)),
        "active_connections": active_connections(counted),
        "uptime": int(counted.uptime),
    }
    network = Source("network interfaces but loopback, since the machine started")
    sources = {
        "cpu_usage": Source(
            "processor time of the machine or, where it is limited, of our control group",
            None if use is None else round(use.seconds, _DIGITS),
            None if use is None else use.samples,
        ),
        "memory_usage": here,
        "memory_total": here,
        "disk_usage": Source("file system of the data directory"),
        "disk_total": Source("file system of the data directory"),
        "network_rx_bytes": network,
        "network_tx_bytes": network,
        "load_average": Source("load averages of the kernel"),
        "active_connections": Source("open sockets of all listeners, read each second in the processes that have them"),
        "uptime": Source("clock of the supervisor"),
    }
    return Answer(body, sources)


def active_connections(counted: Counted) -> int | None:
    """Add up the open client sockets of all listeners, HTTP included; ``None`` when no process has told yet."""
    names = (f"{name}.open" for name in DEVELOPMENT_LISTEN)
    known = [value for value in map(counted.gauge, names) if value is not None]
    return int(sum(known)) if known else None


def application(counted: Counted, queued: Mapping[str, int]) -> Answer:
    """Return how the server's own work goes: requests, sessions, queue and caches."""
    answered = requests(counted.ever)
    succeeded = sum(count for (_method, status), count in answered.items() if status < 400)
    total = sum(answered.values())
    lately, minute = counted.window(300), counted.window(60)
    times = lately.histogram("http.seconds")
    body = {
        "timestamp": _now(),
        "total_requests": total,
        "successful_requests": succeeded,
        "failed_requests": total - succeeded,
        "avg_response_time": _milliseconds(times.average),
        "p95_response_time": _milliseconds(times.percentile(95)),
        "p99_response_time": _milliseconds(times.percentile(99)),
        "requests_per_second": _rate(minute),
        "active_sessions": _sessions(counted),
        "queue_sizes": {
            "incoming": queued["incoming"],
            "outgoing": queued["outgoing"],
            "processing": queued["active"],
        },
        "cache_hit_rates": {
            name: lately.share(f"cache.{ours}.hits", f"cache.{ours}.misses") for name, ours in CACHES.items()
        },
    }
    ever = Source("answered HTTP requests since the start, counted where they are answered", samples=total)
    waiting = Source("counters of the queue, kept in its transactions")
    sources = {
        "total_requests": ever,
        "successful_requests": ever,
        "failed_requests": ever,
        "avg_response_time": Source("sum and number of response times", lately.seconds, times.count),
        "requests_per_second": Source("answered HTTP requests", minute.seconds, int(minute.sum("http.requests."))),
        "active_sessions": Source("mail connections that are logged in, and web sessions that are"),
        **{f"queue_sizes.{name}": waiting for name in ("incoming", "outgoing", "processing")},
    }
    for percent in (95, 99):
        text = "histogram of response times, interpolated"
        if times.reaches_beyond(percent):
            text = "histogram of response times: at least so long, nothing longer is told apart"
        sources[f"p{percent}_response_time"] = Source(text, lately.seconds, times.count)
    for name, ours in CACHES.items():
        lookups = lately.counter(f"cache.{ours}.hits") + lately.counter(f"cache.{ours}.misses")
        sources[f"cache_hit_rates.{name}"] = Source("hits and misses of all processes", lately.seconds, int(lookups))
    return Answer(body, sources)


def requests(stretch: Stretch) -> dict[tuple[str, int], int]:
    """Return the answered HTTP requests by method and status."""
    found: dict[tuple[str, int], int] = {}
    for rest, count in stretch.below("http.requests."):
        method, _, status = rest.partition(".")
        found[method, int(status)] = int(count)
    return found


def _sessions(counted: Counted) -> int | None:
    """Add the mail sessions to the web sessions; ``None`` when the mail process has not told yet."""
    mail = counted.gauge("sessions.authenticated")
    return None if mail is None else int(mail) + web_sessions()


def _rate(stretch: Stretch) -> float | None:
    """Return requests a second; a server that has run for no second yet has no rate."""
    return round(stretch.sum("http.requests.") / stretch.seconds, _DIGITS) if stretch.seconds >= 1 else None


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, _DIGITS)


def _now() -> str:
    return timezone.now().strftime("%Y-%m-%dT%H:%M:%SZ")
