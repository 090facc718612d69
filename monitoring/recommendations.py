"""What would do this server good: one small rule for each piece of advice, over measured values only.

A rule returns nothing when all is well. No rule promises a gain: what is said of the impact is what was counted.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from django.utils.translation import gettext as _

from monitoring import tuning, window
from monitoring.measured import Caches, Outbound, caches, gauges_of, outbound
from monitoring.probes import DISK_LIMITS, WAL_LIMIT, Finding, human

LONG = 300
# Below so many events a rate says nothing.
ENOUGH_LOOKUPS = 1000
ENOUGH_MESSAGES = 50
GOOD_HIT_RATE, POOR_HIT_RATE = 0.9, 0.7
GOOD_REUSE_RATE = 0.5
# Seconds that mail may be due before somebody should look; milliseconds that a DNS server may take; days of a
# certificate.
OVERDUE = 300
SLOW_DNS = 500
DAYS_LEFT = 14


@dataclass(frozen=True, slots=True)
class Advice:
    """One recommendation. ``optimization`` is ready to be posted to ``performance/optimize``."""

    category: str
    priority: str
    title: str
    description: str
    impact: str
    action: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    optimization: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What rules look at: the last five minutes, and what the probes found."""

    seconds: float
    caches: Caches
    pool: Outbound
    cache_size: int
    most_cache: int
    pool_size: int
    most_connections: int
    findings: Mapping[str, Finding]

    def number(self, probe: str, name: str) -> float | None:
        """Return a number of a probe; ``None`` when it could not be measured."""
        found = self.findings.get(probe)
        return None if found is None else found.numbers.get(name)


Rule: TypeAlias = Callable[[Facts], Advice | None]


def facts(answer: Mapping[str, Any], findings: Mapping[str, Finding]) -> Facts:
    """Gather the facts, from the supervisor's figures and the probes."""
    recent, gauges = window.window(answer, LONG), gauges_of(answer)
    return Facts(
        seconds=recent.seconds,
        caches=caches(recent, gauges),
        pool=outbound(recent, gauges),
        cache_size=tuning.value("cache_size"),
        most_cache=tuning.most_cache(),
        pool_size=tuning.value("connection_pool_size"),
        most_connections=tuning.most_connections(),
        findings=findings,
    )


def recommendations(known: Facts) -> list[Advice]:
    """Ask every rule; what is more urgent comes first."""
    found = [advice for rule in RULES if (advice := rule(known)) is not None]
    return sorted(found, key=lambda advice: ("high", "medium", "low").index(advice.priority))


def cache_is_small(known: Facts) -> Advice | None:
    """Entries are thrown out to make room, and lookups ask the database."""
    found = known.caches
    rate = found.hit_rate
    if rate is None or found.lookups < ENOUGH_LOOKUPS or rate >= GOOD_HIT_RATE or not found.evictions:
        return None
    wanted = min(2 * known.cache_size, known.most_cache)
    numbers = {"rate": 100 * rate, "misses": found.misses, "evictions": found.evictions, "seconds": known.seconds}
    larger = wanted > known.cache_size
    sizes = {"now": human(known.cache_size), "then": human(wanted)}
    return Advice(
        "cache",
        "high" if rate < POOR_HIT_RATE else "medium",
        _("Make the caches larger"),
        _("%(rate).0f%% of all lookups were answered from memory in the last %(seconds)d seconds.") % numbers,
        _(
            "%(misses)d lookups asked the database. %(evictions)d entries had to make room; when one of them is asked "
            "for again, that is such a lookup."
        )
        % numbers,
        _("Raise the cache size from %(now)s to %(then)s.") % sizes
        if larger
        else _("The caches have all the memory that they may have here. Give the machine more."),
        {
            "window_seconds": known.seconds,
            "hit_rate": rate,
            "lookups": found.lookups,
            "misses": found.misses,
            "evictions": found.evictions,
            "insertions": found.insertions,
            "cache_size": known.cache_size,
            "used_bytes": found.used,
        },
        {"type": "cache_size", "value": wanted} if larger else None,
    )


def connections_are_few(known: Facts) -> Advice | None:
    """Mail waits for leave to open a connection."""
    pool = known.pool
    if not pool.waits or not pool.waiting:
        return None
    wanted = min(2 * known.pool_size, known.most_connections)
    numbers = {"waiting": pool.waiting, "waits": pool.waits, "seconds": known.seconds, "limit": known.pool_size}
    larger = wanted > known.pool_size
    return Advice(
        "connection_pool",
        "medium",
        _("Allow more connections to other servers"),
        _("%(waiting)d destinations wait for one of %(limit)d connections.") % numbers,
        _("Mail had to wait for a connection %(waits)d times in the last %(seconds)d seconds.") % numbers,
        _("Raise the size of the connection pool from %(now)d to %(then)d.") % {"now": known.pool_size, "then": wanted}
        if larger
        else _("The pool is as large as it may be here. Give the process more file descriptors."),
        {
            "window_seconds": known.seconds,
            "waiting": pool.waiting,
            "waits": pool.waits,
            "active": pool.active,
            "idle": pool.idle,
            "connection_pool_size": known.pool_size,
        },
        {"type": "connection_pool_size", "value": wanted} if larger else None,
    )


def connections_are_not_used_again(known: Facts) -> Advice | None:
    """Most messages open a connection of their own, because there is no room to keep any."""
    pool = known.pool
    rate = pool.reuse_rate
    full = (pool.active or 0) + (pool.idle or 0) >= known.pool_size
    if rate is None or pool.checkouts < ENOUGH_MESSAGES or rate >= GOOD_REUSE_RATE or not full:
        return None
    wanted = min(2 * known.pool_size, known.most_connections)
    if wanted <= known.pool_size:
        return None
    return Advice(
        "connection_pool",
        "low",
        _("Keep more connections open"),
        _("%(rate).0f%% of the messages found a connection open, and the pool is full.") % {"rate": 100 * rate},
        _("%(opened)d connections were opened for %(checkouts)d messages in the last %(seconds)d seconds.")
        % {"opened": pool.opened, "checkouts": pool.checkouts, "seconds": known.seconds},
        _("Raise the size of the connection pool from %(now)d to %(then)d.") % {"now": known.pool_size, "then": wanted},
        {
            "window_seconds": known.seconds,
            "connection_reuse_rate": rate,
            "checkouts": pool.checkouts,
            "opened": pool.opened,
            "connection_pool_size": known.pool_size,
        },
        {"type": "connection_pool_size", "value": wanted},
    )


def queue_is_behind(known: Facts) -> Advice | None:
    """Mail is due, and nobody takes it."""
    age, depth = known.number("queue", "oldest_due_seconds"), known.number("queue", "depth")
    if age is None or depth is None or age <= OVERDUE:
        return None
    return Advice(
        "queue",
        "high",
        _("The queue is behind"),
        _("A message has been due for %(age)d seconds and was not tried.") % {"age": age},
        _("%(depth)d recipients wait for their mail.") % {"depth": depth},
        _("See whether the worker runs and what it logs, and whether the database is slow."),
        {"oldest_due_seconds": round(age), "depth": int(depth), "in_flight": known.number("queue", "in_flight")},
    )


def log_is_large(known: Facts) -> Advice | None:
    """SQLite's log is not worked off."""
    size = known.number("database", "wal_bytes")
    if size is None or size <= WAL_LIMIT:
        return None
    return Advice(
        "database",
        "medium",
        _("SQLite's write-ahead log is large"),
        _("It has %(size)s, and should have less than %(limit)s.") % {"size": human(size), "limit": human(WAL_LIMIT)},
        _("Every reader looks through the log, and it takes room on the disk."),
        _("A reader that never ends keeps it from being worked off: end other programs that have the database open."),
        {"wal_bytes": int(size), "limit_bytes": WAL_LIMIT},
    )


def disk_is_full(known: Facts) -> Advice | None:
    """There is little room left."""
    percent, free = known.number("disk_space", "percent"), known.number("disk_space", "free_bytes")
    if percent is None or free is None or percent <= DISK_LIMITS[0]:
        return None
    return Advice(
        "disk",
        "high" if percent > DISK_LIMITS[1] else "medium",
        _("The disk fills up"),
        _("%(percent)d%% are used, %(free)s are free.") % {"percent": percent, "free": human(free)},
        _("New mail is refused when there is no room for it."),
        _("Give the data directory a larger disk, or shorten how long the message log and deleted mail are kept."),
        {"usage_percent": round(percent, 1), "available_bytes": int(free)},
    )


def certificate_ends(known: Facts) -> Advice | None:
    """The certificate is soon no longer valid."""
    days = known.number("tls", "days_left")
    if days is None or days >= DAYS_LEFT:
        return None
    return Advice(
        "tls",
        "high",
        _("Renew the certificate"),
        _("It is valid for %(days)d days more.") % {"days": days} if days > 0 else _("It is no longer valid."),
        _("Mail programs refuse to connect to a server whose certificate is not valid."),
        _("Put a new certificate in its place and reload the server."),
        {"days_left": round(days, 1)},
    )


def dns_is_slow(known: Facts) -> Advice | None:
    """A DNS server is silent or slow."""
    slowest, silent = known.number("dns", "slowest_ms"), known.number("dns", "silent")
    servers = known.number("dns", "servers")
    if silent is None or servers is None or (not silent and (slowest or 0) <= SLOW_DNS):
        return None
    numbers = {"silent": silent, "servers": servers, "slowest": slowest or 0, "limit": SLOW_DNS}
    return Advice(
        "dns",
        "high" if silent == servers else "medium",
        _("Look after the DNS servers"),
        _("%(silent)d of %(servers)d DNS servers do not answer.") % numbers
        if silent
        else _("The slowest DNS server took %(slowest)d ms for its answer.") % numbers,
        _("Every message that leaves waits for the DNS."),
        _("Set A3MAILER_DNS_SERVERS to servers that are near, best one on this machine."),
        {"servers": int(servers), "silent": int(silent), "slowest_ms": slowest},
    )


RULES: tuple[Rule, ...] = (
    cache_is_small,
    connections_are_few,
    connections_are_not_used_again,
    queue_is_behind,
    log_is_large,
    disk_is_full,
    certificate_ends,
    dns_is_slow,
)
