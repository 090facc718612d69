"""How the server is, and whether it is ready: probes, looked at again after a few seconds at most.

A check is unhealthy when it was so three times in a row; until then it is degraded. One bad moment should not make a
load balancer take a server out.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.conf import settings
from django.db import connection
from django.utils import timezone

from a3mailer_site.api.errors import UnavailableError
from a3mailer_site.env import current
from monitoring import server
from monitoring.probes import GREETINGS, PROBES, Finding, cache_works, greets, migrated, timed

# Seconds that an answer may be given again. Strangers may ask, and must not make us work.
AGE = 2.0
BAD_RUNS = 3
_ORDER = ("healthy", "degraded", "unhealthy")


class Remembered:
    """An answer that is made anew when it is too old; who asks meanwhile waits for the one who makes it."""

    def __init__(self, make: Callable[[], dict[str, Any]]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._made = float("-inf")
        self._answer: dict[str, Any] = {}

    def __call__(self) -> dict[str, Any]:
        """Return the answer, at most ``AGE`` seconds old."""
        with self._lock:
            if time.monotonic() - self._made >= AGE:
                self._answer, self._made = self._make(), time.monotonic()
            return self._answer

    def forget(self) -> None:
        """Make the next answer a new one."""
        self._made = float("-inf")


_bad_runs: dict[str, int] = {}


def forget() -> None:
    """Forget all that was probed before."""
    _bad_runs.clear()
    health.forget()
    readiness.forget()


def _health() -> dict[str, Any]:
    findings = {name: _settled(name, timed(probe)) for name, probe in PROBES.items()}
    try:
        uptime: int | None = int(server.status()["uptime"])
    except UnavailableError:
        uptime = None  # no supervisor to ask: nobody has measured it
    return {
        "status": max((finding.status for finding in findings.values()), key=_ORDER.index),
        "timestamp": _now(),
        "uptime": uptime,
        "version": settings.VERSION,
        "checks": {
            name: {"status": finding.status, "response_time": finding.response_time, "details": finding.details}
            for name, finding in findings.items()
        },
    }


def _settled(name: str, finding: Finding) -> Finding:
    _bad_runs[name] = _bad_runs.get(name, 0) + 1 if finding.status == "unhealthy" else 0
    if 0 < _bad_runs[name] < BAD_RUNS:
        return Finding("degraded", finding.response_time, finding.details)
    return finding


def _readiness() -> dict[str, Any]:
    try:
        answer = server.status()
        bound, draining = server.listening(answer), answer["state"] == "draining"
    except UnavailableError:
        bound, draining = None, True
    services = {"database": _database_ready(), "cache": timed(cache_works).status == "healthy"}
    wanted = {"database", "cache"}
    with ThreadPoolExecutor(len(GREETINGS)) as pool:
        greeting = {name: pool.submit(greets, name, bound[name]) for name in GREETINGS if bound and name in bound}
    for name in GREETINGS:
        services[name] = name in greeting and greeting[name].result()
        if current().listen(name):
            wanted.add(name)
    return {
        "ready": not draining and all(services[name] for name in wanted),
        "timestamp": _now(),
        "services": services,
    }


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


health = Remembered(_health)
readiness = Remembered(_readiness)
