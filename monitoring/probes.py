"""Probes: each tries the real thing, now, and says how long it took. ``health.py`` remembers; nothing here does."""

import os
import shutil
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import psutil
from django.conf import settings
from django.core.cache import cache
from django.db import connection, models
from django.db.migrations.executor import MigrationExecutor

from a3mailer_site.env import current, host_and_port
from a3mailer_site.models import Generation

Status: TypeAlias = Literal["healthy", "degraded", "unhealthy"]

# Percent in use from which a resource is degraded, and unhealthy.
DISK_LIMITS = (80, 90)
MEMORY_LIMITS = (85, 95)
# Seconds that a listener has for its greeting.
GREETING_PATIENCE = 2.0
GREETINGS = {"smtp": b"220", "imap": b"* OK", "pop3": b"+OK"}


@dataclass(frozen=True, slots=True)
class Finding:
    """What a probe found. ``response_time`` in milliseconds; a detail that nobody can measure is ``None``."""

    status: Status
    response_time: int = 0
    details: Mapping[str, str | None] = field(default_factory=dict)


def timed(probe: Callable[[], Finding]) -> Finding:
    """Run a probe, with the time that it took; one that raises has found something unhealthy."""
    started = time.monotonic()
    try:
        found = probe()
    except Exception:  # noqa: BLE001 - whatever it was: the reader of the finding is who must be told
        found = Finding("unhealthy")
    return Finding(found.status, round((time.monotonic() - started) * 1000), found.details)


def database() -> Finding:
    """Read and write one row, as everything else must be able to."""
    started = time.monotonic()
    if not Generation.objects.filter(name="probe").update(value=models.F("value") + 1):
        Generation.objects.get_or_create(name="probe")
    Generation.objects.filter(name="probe").values_list("value", flat=True).get()
    milliseconds = round((time.monotonic() - started) * 1000)
    return Finding("healthy", details={"connection_pool": _connections(), "query_time": f"{milliseconds}ms"})


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
    """Put something into the cache and get it back."""
    token = os.urandom(8).hex()
    cache.set("probe", token, 10)
    right = cache.get("probe") == token
    memory = _cache_memory()
    # Nobody counts the hits of Django's cache yet: a rate that nobody measured is absent.
    details = {"hit_rate": None, "memory_usage": None if memory is None else human(memory)}
    return Finding("healthy" if right else "unhealthy", details=details)


def _cache_memory() -> int | None:
    """Return the bytes that the cache's values take; ``None`` for a cache that does not tell."""
    if "locmem" in settings.CACHES["default"]["BACKEND"]:
        return sum(len(value) for value in list(getattr(cache, "_cache", {}).values()))
    client = getattr(getattr(cache, "_cache", None), "get_client", None)
    return int(client().info("memory")["used_memory"]) if client is not None else None


def disk_space() -> Finding:
    """Look at the file system of the data directory."""
    usage = shutil.disk_usage(current().data_dir)
    # As df counts: what is kept back for root is neither used nor free for us.
    percent = 100 * usage.used / (usage.used + usage.free)
    details = {"usage_percent": f"{percent:.0f}%", "available_space": human(usage.free)}
    return Finding(_by_limit(percent, DISK_LIMITS), details=details)


def memory() -> Finding:
    """Look at the machine's memory."""
    usage = psutil.virtual_memory()
    details = {"usage_percent": f"{usage.percent:.0f}%", "available_memory": human(usage.available)}
    return Finding(_by_limit(usage.percent, MEMORY_LIMITS), details=details)


def _by_limit(percent: float, limits: tuple[int, int]) -> Status:
    return "unhealthy" if percent > limits[1] else "degraded" if percent > limits[0] else "healthy"


def greets(service: str, address: str) -> bool:
    """Say whether a listener greets over loopback as its protocol demands."""
    host, port = host_and_port(address, "listener")
    loopback = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - read, not bound
    try:
        with socket.create_connection((loopback, port), GREETING_PATIENCE) as link:
            link.settimeout(GREETING_PATIENCE)
            expected = GREETINGS[service]
            heard = b""
            while len(heard) < len(expected) and (data := link.recv(64)):
                heard += data
            return heard.startswith(expected)
    except OSError:
        return False


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


PROBES: dict[str, Callable[[], Finding]] = {
    "database": database,
    "cache": cache_works,
    "disk_space": disk_space,
    "memory": memory,
}
