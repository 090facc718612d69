"""How well the server does: connections, caches and requests, as one answer in which every number was measured."""

from collections.abc import Mapping
from typing import Any

from django.db import connection

from a3mailer_site.api.switches import Source
from monitoring import tuning, window
from monitoring.measured import caches, gauges_of, outbound, requests
from monitoring.window import milliseconds, percentile, rate, samples

# Seconds of the windows that averages and rates are taken over, the same for every answer that shows one of them.
LONG, SHORT = 300, 60


def stats(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of ``GET /api/v1/performance/stats``, from the supervisor's figures."""
    pool = _connection_pool(answer)
    return {
        "connection_pool": pool,
        "cache_performance": _cache_performance(answer),
        "request_performance": _request_performance(answer),
        "pools": {"outbound_smtp": _outbound_pool(answer, pool), "database": _database_pool(answer)},
    }


def _connection_pool(answer: Mapping[str, Any]) -> dict[str, Any]:
    found = outbound(window.window(answer, LONG), gauges_of(answer))
    return {
        "total_connections": found.total,
        "active_connections": found.active,
        "idle_connections": found.idle,
        "failed_connections": found.failed,
        "avg_connection_time": milliseconds(found.open_time),
        "connection_reuse_rate": found.reuse_rate,
    }


def _outbound_pool(answer: Mapping[str, Any], pool: Mapping[str, Any]) -> dict[str, Any]:
    found = outbound(window.window(answer, LONG), gauges_of(answer))
    return {**pool, "limit": found.limit, "waiting": found.waiting, "checkouts": found.checkouts}


def _database_pool(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Every thread that asks the database has a connection of its own; so these are never checked out by another."""
    processes = [
        {"process": one["name"], "connections": int(one["gauges"]["database.connections"])}
        for one in answer.get("processes", [])
        if "database.connections" in one.get("gauges", {})
    ]
    return {
        "engine": connection.vendor,
        "total_connections": sum(one["connections"] for one in processes) if processes else None,
        "opened": window.since_start(answer).count("database.connections_opened"),
        "processes": processes,
    }


def _cache_performance(answer: Mapping[str, Any]) -> dict[str, Any]:
    found = caches(window.window(answer, LONG), gauges_of(answer))
    size = tuning.value("cache_size")
    return {
        "hit_rate": found.hit_rate,
        "miss_rate": rate(found.misses, found.lookups),
        "eviction_rate": rate(found.evictions, found.insertions),
        "avg_lookup_time": milliseconds(found.lookup_time, 5),
        "cache_size": size,
        "cache_utilization": None if found.used is None else rate(found.used, size, 8),
    }


def _request_performance(answer: Mapping[str, Any]) -> dict[str, Any]:
    five_minutes, minute = window.window(answer, LONG), window.window(answer, SHORT)
    buckets = five_minutes.timing("http.seconds")
    total, failed = requests(five_minutes)
    return {
        "avg_response_time": milliseconds(window.mean(buckets)),
        "p50_response_time": milliseconds(percentile(buckets, 0.50)),
        "p95_response_time": milliseconds(percentile(buckets, 0.95)),
        "p99_response_time": milliseconds(percentile(buckets, 0.99)),
        "throughput": round(samples(minute.timing("http.seconds")) / minute.seconds, 3) if minute.seconds else None,
        "error_rate": rate(failed, total),
    }


def sources(answer: Mapping[str, Any]) -> dict[str, Source]:
    """Say of each number where it comes from."""
    long, short = window.window(answer, LONG), window.window(answer, SHORT)
    pool, found = outbound(long, gauges_of(answer)), caches(long, gauges_of(answer))
    timed, (total, _failed) = samples(long.timing("http.seconds")), requests(long)
    here = "worker: connections of the outbound pool"
    count = "counters of the caches of all processes"
    times = "web: time from a request's first byte to its answer's last, in buckets"
    return {
        "connection_pool.total_connections": Source(f"{here}, active + idle + failed", long.seconds),
        "connection_pool.active_connections": Source(here),
        "connection_pool.idle_connections": Source(here),
        "connection_pool.failed_connections": Source("worker: failed to open, or broken", long.seconds, pool.failed),
        "connection_pool.avg_connection_time": Source("worker: TCP, TLS and EHLO", long.seconds, pool.opened),
        "connection_pool.connection_reuse_rate": Source(
            "worker: messages over a connection that was open / all messages", long.seconds, pool.checkouts
        ),
        "cache_performance.hit_rate": Source(f"{count}: hits / lookups", long.seconds, found.lookups),
        "cache_performance.miss_rate": Source(f"{count}: misses / lookups", long.seconds, found.lookups),
        "cache_performance.eviction_rate": Source(f"{count}: evictions / insertions", long.seconds, found.insertions),
        "cache_performance.avg_lookup_time": Source(f"one lookup in 64 is timed, {count}", long.seconds, found.timed),
        "cache_performance.cache_size": Source("setting cache_size"),
        "cache_performance.cache_utilization": Source("estimated bytes of all entries / cache_size"),
        **{
            f"request_performance.{name}_response_time": Source(times, long.seconds, timed)
            for name in ("avg", "p50", "p95", "p99")
        },
        "request_performance.throughput": Source(
            "web: requests / seconds", short.seconds, samples(short.timing("http.seconds"))
        ),
        "request_performance.error_rate": Source("web: answers of 400 and above / all", long.seconds, total),
    }
