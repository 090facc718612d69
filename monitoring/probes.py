"""Probes: each tries the real thing, now, and says how long it took. ``health.py`` remembers; nothing here does.

Here are those of the machine, the database and the cache, which ``GET /health`` shows. ``service_probes.py`` has those
of what the server does; the mail core adds its own with ``register``.
"""

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from django.conf import settings
from django.core.cache import cache
from django.db import connection, models
from django.db.migrations.executor import MigrationExecutor

from a3mailer_site.api.errors import UnavailableError
from a3mailer_site.env import current
from a3mailer_site.models import Generation
from monitoring import machine, server, window
from monitoring.measured import Caches, caches, gauges_of, own_caches

Status: TypeAlias = Literal["healthy", "degraded", "unhealthy"]
Probe: TypeAlias = "Callable[[], Finding]"

# Percent in use from which a resource is degraded, and unhealthy.
DISK_LIMITS = (80, 90)
MEMORY_LIMITS = (85, 95)
# Seconds over which the caches' hit rate is taken, as everywhere.
RATE_WINDOW = 300
# Bytes of SQLite's write-ahead log beyond which something keeps it from being worked off.
WAL_LIMIT = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Finding:
    """What a probe found. ``response_time`` in milliseconds; a detail that nobody can measure is ``None``.

    ``numbers`` are what the details were written from, for those who reckon with them; they are not shown.
    """

    status: Status
    response_time: int = 0
    details: Mapping[str, str | None] = field(default_factory=dict)
    numbers: Mapping[str, float] = field(default_factory=dict)


def timed(probe: Probe) -> Finding:
    """Run a probe, with the time that it took; one that raises has found something unhealthy."""
    started = time.monotonic()
    try:
        found = probe()
    except Exception:  # noqa: BLE001 - whatever it was: the reader of the finding is who must be told
        found = Finding("unhealthy")
    return Finding(found.status, milliseconds_since(started), found.details, found.numbers)


def milliseconds_since(started: float) -> int:
    """Return the whole milliseconds since a moment of the monotonic clock."""
    return round((time.monotonic() - started) * 1000)


def database() -> Finding:
    """Read and write one row, as everything else must be able to."""
    connection.ensure_connection()
    started = time.monotonic()
    if not Generation.objects.filter(name="probe").update(value=models.F("value") + 1):
        Generation.objects.get_or_create(name="probe")
    Generation.objects.filter(name="probe").values_list("value", flat=True).get()
    milliseconds = milliseconds_since(started)
    size = wal_bytes()
    details = {"connection_pool": _connections(), "query_time": f"{milliseconds}ms"}
    if size is not None:
        details["wal_size"] = human(size)
    numbers = {"query_ms": milliseconds, "wal_bytes": size or 0}
    return Finding("degraded" if size is not None and size > WAL_LIMIT else "healthy", 0, details, numbers)


def wal_bytes() -> int | None:
    """Return the size of SQLite's write-ahead log; ``None`` for a database that has no such file."""
    if connection.vendor != "sqlite":
        return None
    with contextlib.suppress(OSError):
        return Path(f"{settings.DATABASES['default']['NAME']}-wal").stat().st_size
    return 0


def _connections() -> str | None:
    """Say how many of the database's connections are at work; SQLite has no such thing."""
    if connection.vendor != "postgresql":
        return None
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FILTER (WHERE state = 'active'), current_setting('max_connections') "
            "FROM pg_stat_activity WHERE datname = current_database()"
        )
        active, most = cursor.fetchone() or (0, 0)
    return f"{active}/{most} active"


def cache_works() -> Finding:
    """Put something into Django's cache and get it back; the figures are those of our own caches."""
    token = os.urandom(8).hex()
    cache.set("probe", token, 10)
    right = cache.get("probe") == token
    known = _known_caches()
    rate = known.hit_rate
    details = {
        "hit_rate": None if rate is None else f"{100 * rate:.0f}%",
        "memory_usage": None if known.used is None else human(known.used),
    }
    return Finding("healthy" if right else "unhealthy", details=details)


def _known_caches() -> Caches:
    """Return the caches of all processes; those of this one when nobody can be asked about the others."""
    try:
        answer = server.figures(patience=1.0)
    except UnavailableError:
        return own_caches()
    return caches(window.window(answer, RATE_WINDOW), gauges_of(answer))


def disk_space() -> Finding:
    """Look at the file system of the data directory."""
    usage = shutil.disk_usage(current().data_dir)
    # As df counts: what is kept back for root is neither used nor free for us.
    percent = 100 * usage.used / (usage.used + usage.free)
    details = {"usage_percent": f"{percent:.0f}%", "available_space": human(usage.free)}
    return Finding(by_limits(percent, DISK_LIMITS), 0, details, {"percent": percent, "free_bytes": usage.free})


def memory() -> Finding:
    """Look at the memory that this server may have, as the metrics of the system do."""
    usage = machine.memory()
    percent = 100 * usage.used / usage.total
    details = {"usage_percent": f"{percent:.0f}%", "available_memory": human(usage.total - usage.used)}
    return Finding(by_limits(percent, MEMORY_LIMITS), details=details)


def by_limits(number: float, limits: tuple[float, float]) -> Status:
    """Say how it is with a number that should be small."""
    return "unhealthy" if number > limits[1] else "degraded" if number > limits[0] else "healthy"


def migrated() -> bool:
    """Say whether the database has all tables as this code wants them."""
    executor = MigrationExecutor(connection)
    return not executor.migration_plan(executor.loader.graph.leaf_nodes())


def human(size: float) -> str:
    """Write bytes as the reference does: ``512MB``, ``25GB``."""
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1024:
            return f"{size:.0f}{unit}"
        size /= 1024
    return f"{size:.0f}TB"


PROBES: dict[str, Probe] = {
    "database": database,
    "cache": cache_works,
    "disk_space": disk_space,
    "memory": memory,
}
# What ``GET /api/v1/health/detailed`` shows besides.
MORE: dict[str, Probe] = {}


def register(name: str, probe: Probe) -> None:
    """Show this probe, too, with the details; apps do so when they are ready."""
    MORE[name] = probe
