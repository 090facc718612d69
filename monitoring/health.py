"""How the server is, and whether it is ready: probes, looked at again after a few seconds at most.

A check is unhealthy when it was so three times in a row; until then it is degraded. One bad moment should not make a
load balancer take a server out. Probes run beside each other, and one that hangs is unhealthy and holds nobody up.
"""

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

from django.conf import settings
from django.db import connection
from django.http import Http404
from django.utils import timezone

from a3mailer_site.api.errors import UnavailableError
from a3mailer_site.env import current
from monitoring import probes, server, service_probes
from monitoring.probes import MORE, PROBES, Finding, Probe, cache_works, migrated, timed
from monitoring.service_probes import GREETINGS, greets
from monitoring.together import together

T = TypeVar("T")

# Seconds that an answer may be given again. Strangers may ask, and must not make us work.
AGE = 2.0
# Seconds that a probe may take.
PATIENCE = 3.0
BAD_RUNS = 3
_ORDER = ("healthy", "degraded", "unhealthy")


class Remembered(Generic[T]):
    """An answer that is made anew when it is too old; who asks meanwhile waits for the one who makes it."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._made = float("-inf")
        self._answer: T | None = None

    def __call__(self) -> T:
        """Return the answer, at most ``AGE`` seconds old."""
        with self._lock:
            if self._answer is None or time.monotonic() - self._made >= AGE:
                self._answer, self._made = self._make(), time.monotonic()
            return self._answer

    def forget(self) -> None:
        """Make the next answer a new one."""
        self._made = float("-inf")


# By component: how often in a row it was bad, and when it was counted last.
_bad_runs: dict[str, tuple[int, float]] = {}


def forget() -> None:
    """Forget all that was probed before."""
    _bad_runs.clear()
    for remembered in (health, detailed, readiness, findings):
        remembered.forget()


def components() -> dict[str, Probe]:
    """Return all probes by name. What is switched off is not there, and what we do not have neither."""
    protocols = {
        name: service_probes.protocol_probe(name) for name in service_probes.LISTENERS if service_probes.listens(name)
    }
    others = {
        "queue": service_probes.queue,
        "worker": service_probes.worker,
        "clock": service_probes.clock,
        "audit": service_probes.audit,
    }
    return {**PROBES, **protocols, **others, **MORE}


def look(names: Iterable[str], known: dict[str, Probe]) -> dict[str, Finding]:
    """Run these probes beside each other."""
    calls: dict[str, Callable[[], Finding]] = {name: _timed(known[name]) for name in names}
    found = together(calls, PATIENCE)
    late = Finding("unhealthy", round(PATIENCE * 1000), {"problem": f"no answer within {PATIENCE:g}s"})
    return {name: found.get(name, late) for name in calls}


def _timed(probe: Probe) -> Callable[[], Finding]:
    return lambda: timed(probe)


def check(component: str) -> dict[str, Any]:
    """Run one probe now, and say what it found; raises ``Http404`` for a component that there is not."""
    known = components()
    if component not in known:
        raise Http404
    finding = look([component], known)[component]
    _settled(component, finding)
    return {"component": component, **_shown(finding), "timestamp": _now()}


def _answer(findings: dict[str, Finding]) -> dict[str, Any]:
    settled = {name: _settled(name, finding) for name, finding in findings.items()}
    return {
        "status": max((finding.status for finding in settled.values()), key=_ORDER.index),
        "timestamp": _now(),
        "uptime": _uptime(),
        "version": settings.VERSION,
        "checks": {name: _shown(finding) for name, finding in settled.items()},
    }


def _health() -> dict[str, Any]:
    return _answer(look(PROBES, PROBES))


def _detailed() -> dict[str, Any]:
    return _answer(findings())


def _uptime() -> int | None:
    """Return the server's seconds; ``None`` without a supervisor to ask: nobody has measured it."""
    answer = together({"uptime": _status}, 0.5).get("uptime")
    return None if answer is None else int(answer["uptime"])


def _status() -> dict[str, Any] | None:
    try:
        return server.status()
    except UnavailableError:
        return None


def _shown(finding: Finding) -> dict[str, Any]:
    return {"status": finding.status, "response_time": finding.response_time, "details": dict(finding.details)}


def _settled(name: str, finding: Finding) -> Finding:
    """Take an unhealthy finding for degraded until it has come three times, with some time in between."""
    count, at = _bad_runs.get(name, (0, float("-inf")))
    if finding.status != "unhealthy":
        _bad_runs.pop(name, None)
        return finding
    if time.monotonic() - at >= AGE:
        count += 1
        _bad_runs[name] = (count, time.monotonic())
    if count < BAD_RUNS:
        return Finding("degraded", finding.response_time, finding.details, finding.numbers)
    return finding


def _readiness() -> dict[str, Any]:
    answer = together({"ready status": _status}, 1.0).get("ready status")
    bound = {} if answer is None else server.listening(answer)
    draining = answer is None or answer["state"] == "draining"
    calls: dict[str, Callable[[], bool]] = {
        "ready database": _database_ready,
        "ready cache": lambda: timed(cache_works).status == "healthy",
        **{f"ready {name}": _greeting(name, bound[name]) for name in GREETINGS if name in bound},
    }
    found = together(calls, PATIENCE - 1.0)
    services = {name: found.get(f"ready {name}", False) for name in ("database", "cache", *GREETINGS)}
    wanted = {"database", "cache", *(name for name in GREETINGS if current().listen(name))}
    size = probes.wal_bytes()
    return {
        "ready": not draining and all(services[name] for name in wanted),
        "timestamp": _now(),
        "services": services,
        "details": {} if size is None else {"wal_size": probes.human(size)},
    }


def _greeting(name: str, address: str) -> Callable[[], bool]:
    return lambda: greets(name, address)


_known_to_be_migrated = threading.Event()


def _database_ready() -> bool:
    """Try a query; whether all migrations are applied is looked at until they are."""

    def probe() -> Finding:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        if not _known_to_be_migrated.is_set() and migrated():
            _known_to_be_migrated.set()
        return Finding("healthy" if _known_to_be_migrated.is_set() else "unhealthy")

    return timed(probe).status == "healthy"


def _now() -> str:
    return timezone.now().strftime("%Y-%m-%dT%H:%M:%SZ")


def _findings() -> dict[str, Finding]:
    known = components()
    return look(known, known)


# What all probes found, as it was found.
findings: Remembered[dict[str, Finding]] = Remembered(_findings)
health: Remembered[dict[str, Any]] = Remembered(_health)
detailed: Remembered[dict[str, Any]] = Remembered(_detailed)
readiness: Remembered[dict[str, Any]] = Remembered(_readiness)
