"""Performance in numbers: the reference's fields, each from a figure that was counted, and null where nothing was."""

import json
import re

import pytest
from django.utils import translation
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rest_framework.test import APIClient

from a3mailer_site.control import ServerAwayError
from a3mailer_site.figures import BOUNDS, Figures
from accounts.models import ApiKey
from monitoring import examples, health, recommendations, server, tuning, window
from monitoring.probes import Finding

pytestmark = pytest.mark.django_db

STATS, ADVICE = "/api/v1/performance/stats", "/api/v1/performance/recommendations"


def times(*seconds):
    """Buckets of a timing of these."""
    figures = Figures()
    for each in seconds:
        figures.observe("x", each)
    return figures.snapshot()["timings"]["x"]


@pytest.fixture
def api():
    def make(*permissions):
        client = APIClient()
        if permissions:
            client.credentials(HTTP_AUTHORIZATION=f"Bearer {ApiKey.issue('x', list(permissions))[1]}")
        return client

    return make


@pytest.fixture
def figures(monkeypatch):
    """The figures that the supervisor gives, to be filled."""
    answer = {"uptime": 1000.0, "counters": {}, "gauges": {}, "timings": {}, "processes": [], "windows": {}}
    monkeypatch.setattr(server, "call", lambda command, timeout: answer)
    return answer


@pytest.fixture
def busy(figures):
    """A server that has something to tell."""
    figures["counters"] = {"database.connections_opened": 9}
    caches = {
        "cache.user.hits": 70, "cache.user.misses": 5, "cache.domain.hits": 20, "cache.settings.hits": 2,
        "cache.settings.misses": 3, "cache.user.insertions": 40, "cache.domain.insertions": 10,
        "cache.user.evictions": 1,
    }  # fmt: skip
    lookups = {"cache.user.lookup": times(0.001, 0.003), "cache.domain.lookup": times(0.0035)}
    figures["gauges"] = {
        "delivery.pool.active": 25, "delivery.pool.idle": 20, "delivery.pool.limit": 100, "delivery.pool.waiting": 0,
        "cache.user.bytes": 3 * 2**20, "cache.domain.bytes": 2**20,
    }  # fmt: skip
    figures["processes"] = [
        {"name": "mail", "gauges": {"database.connections": 6}},
        {"name": "web", "gauges": {"database.connections": 3}},
    ]
    requests = {"http.requests.GET.200": 600, "http.requests.POST.201": 372, "http.requests.GET.404": 20}
    figures["windows"] = {
        "60": {"seconds": 60.5, "counters": {}, "timings": {"http.seconds": times(*[0.1] * 121)}},
        "300": {
            "seconds": 300.2,
            "counters": {
                **requests, **caches, "http.requests.POST.503": 8, "http.overloaded": 8,
                "delivery.pool.checkouts": 200, "delivery.pool.reuses": 170, "delivery.pool.failed": 5,
            },
            "timings": {
                **lookups, "http.seconds": times(*[0.05] * 90, *[0.4] * 10), "delivery.pool.open": times(0.01, 0.021),
            },
        },
    }  # fmt: skip
    return figures


def test_who_may(figures, api):
    for path in (STATS, ADVICE):
        assert api().get(path).status_code == 401
        assert api("read").get(path).status_code == 200


def test_without_a_supervisor_there_are_no_numbers(api, monkeypatch):
    def call(command, timeout):
        raise ServerAwayError("nobody")

    monkeypatch.setattr(server, "call", call)
    for path in (STATS, ADVICE):
        answer = api("read").get(path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "SERVICE_UNAVAILABLE")


def shape(value):
    return {name: shape(inner) for name, inner in value.items()} if isinstance(value, dict) else None


def test_it_has_the_references_fields(busy, api):
    body = api("read").get(STATS).json()
    assert shape(body) | {"pools": None} == shape(examples.PERFORMANCE) | {"pools": None}


def test_every_number_is_made_of_what_was_counted(busy, api):
    body = api("read").get(STATS).json()
    assert body["connection_pool"] == {
        "total_connections": 50,
        "active_connections": 25,
        "idle_connections": 20,
        "failed_connections": 5,
        "avg_connection_time": 15.5,
        "connection_reuse_rate": 0.85,
    }
    assert body["cache_performance"] == {
        "hit_rate": 0.92,
        "miss_rate": 0.08,
        "eviction_rate": 0.02,
        "avg_lookup_time": 2.5,
        "cache_size": 128 * 2**20,
        "cache_utilization": 4 / 128,
    }
    requests = body["request_performance"]
    assert requests["avg_response_time"] == pytest.approx(85)
    assert 20 < requests["p50_response_time"] <= 50
    assert 200 < requests["p95_response_time"] <= 500
    assert requests["p95_response_time"] < requests["p99_response_time"] <= 500
    assert requests["throughput"] == 2.0
    assert requests["error_rate"] == 0.028
    assert body["pools"]["outbound_smtp"] == {**body["connection_pool"], "limit": 100, "waiting": 0, "checkouts": 200}
    database = body["pools"]["database"]
    assert (database["total_connections"], database["opened"]) == (9, 9)
    assert database["processes"] == [{"process": "mail", "connections": 6}, {"process": "web", "connections": 3}]


def test_what_nothing_was_measured_of_is_null_and_no_zero(figures, api):
    figures["windows"] = {str(length): {"seconds": length, "counters": {}, "timings": {}} for length in (60, 300)}
    body = api("read").get(STATS).json()
    nulls = {
        name for part in ("connection_pool", "cache_performance", "request_performance")
        for name, number in body[part].items() if number is None
    }  # fmt: skip
    assert nulls == {
        "total_connections", "active_connections", "idle_connections", "cache_utilization",  # no worker, no process
        "avg_connection_time", "connection_reuse_rate", "hit_rate", "miss_rate", "eviction_rate", "avg_lookup_time",
        "avg_response_time", "p50_response_time", "p95_response_time", "p99_response_time", "error_rate",
    }  # fmt: skip
    assert body["request_performance"]["throughput"] == 0.0


def test_every_number_is_explained_on_request(busy, api):
    body = api("read").get(f"{STATS}?explain=1").json()
    named = {f"{part}.{name}" for part in examples.PERFORMANCE for name in examples.PERFORMANCE[part]}
    assert set(body["explain"]) == named
    assert body["explain"]["cache_performance.hit_rate"]["samples"] == 100
    assert body["explain"]["connection_pool.connection_reuse_rate"]["window_seconds"] == 300.2
    assert api("read").get(f"{STATS}?explain=maybe").status_code == 400


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(st.floats(0, 40), min_size=1, max_size=40), st.floats(0.01, 1))
def test_a_percentile_is_in_the_bucket_of_the_true_one(seconds, part):
    import math

    ordered = sorted(seconds)
    true = ordered[math.ceil(part * len(ordered)) - 1]
    found = window.percentile(times(*seconds), part)
    bound = next((bound for bound in BOUNDS if true <= bound), BOUNDS[-1])
    lower = max((below for below in BOUNDS if below < bound), default=0.0)
    # One bucket of slack for the rounding of ``part``.
    assert lower * 0.99 <= found <= bound * 1.01 or abs(found - lower) < 1e-9


def test_nothing_has_no_percentile_and_no_mean():
    nothing = [0] * (len(BOUNDS) + 2)
    assert (window.percentile(nothing, 0.5), window.mean(nothing)) == (None, None)


def test_without_windows_what_was_counted_since_the_start_is_one(figures):
    figures["counters"] = {"a": 3}
    found = window.window({key: figures[key] for key in ("uptime", "counters", "timings")}, 300)
    assert (found.seconds, found.count("a")) == (1000.0, 3)


# What is wrong, and what is advised: counters of five minutes, gauges, findings; then category and optimization.
POOR_CACHE = {
    "cache.user.hits": 800,
    "cache.user.misses": 400,
    "cache.user.evictions": 50,
    "cache.user.insertions": 400,
}
MIB = 2**20
WRONG = {
    "cache": (POOR_CACHE, {}, {}, "cache", {"type": "cache_size", "value": 256 * MIB}),
    "waiting": (
        {"delivery.pool.waits": 9},
        {"delivery.pool.waiting": 3},
        {},
        "connection_pool",
        {"type": "connection_pool_size", "value": 200},
    ),
    "not reused": (
        {"delivery.pool.checkouts": 100, "delivery.pool.reuses": 10, "delivery.pool.opened": 90},
        {"delivery.pool.active": 80, "delivery.pool.idle": 20},
        {},
        "connection_pool",
        {"type": "connection_pool_size", "value": 200},
    ),
    "queue": ({}, {}, {"queue": {"oldest_due_seconds": 900, "depth": 5, "in_flight": 0}}, "queue", None),
    "log": ({}, {}, {"database": {"wal_bytes": 300 * MIB}}, "database", None),
    "disk": ({}, {}, {"disk_space": {"percent": 95, "free_bytes": MIB}}, "disk", None),
    "certificate": ({}, {}, {"tls": {"days_left": 3.5}}, "tls", None),
    "expired": ({}, {}, {"tls": {"days_left": -2}}, "tls", None),
    "silent dns": ({}, {}, {"dns": {"servers": 2, "silent": 1, "slowest_ms": 3}}, "dns", None),
    "slow dns": ({}, {}, {"dns": {"servers": 2, "silent": 0, "slowest_ms": 800}}, "dns", None),
}
WELL = [
    ({}, {}, {}),
    # A low rate without evictions: a larger cache would change nothing. A few lookups: it says nothing.
    ({**POOR_CACHE, "cache.user.evictions": 0}, {}, {}),
    ({"cache.user.hits": 8, "cache.user.misses": 4, "cache.user.evictions": 5}, {}, {}),
    ({"cache.user.hits": 9800, "cache.user.misses": 400, "cache.user.evictions": 50}, {}, {}),
    # It had to wait, and does no longer; it is not used again, and there is room.
    ({"delivery.pool.waits": 9}, {"delivery.pool.waiting": 0}, {}),
    ({"delivery.pool.checkouts": 100, "delivery.pool.reuses": 10}, {"delivery.pool.active": 1}, {}),
    ({}, {}, {"queue": {"oldest_due_seconds": 10, "depth": 5, "in_flight": 0}, "tls": {"days_left": 60}}),
    ({}, {}, {"dns": {"servers": 2, "silent": 0, "slowest_ms": 20}, "database": {"wal_bytes": 100}}),
    # What could not be measured is no reason for advice.
    ({}, {}, {"queue": {}, "dns": {}, "tls": {}, "disk_space": {}, "database": {}}),
]


@pytest.fixture
def situation(figures, monkeypatch):
    """Makes the server look like this."""
    monkeypatch.setattr(tuning, "total_memory", lambda: 8192 * MIB)
    monkeypatch.setattr(tuning.resource, "getrlimit", lambda which: (65536, 65536))
    from monitoring import performance_views

    def make(counters, gauges, numbers):
        figures["windows"] = {"300": {"seconds": 300, "counters": counters, "timings": {}}}
        figures["gauges"] = gauges
        found = {name: Finding("healthy", numbers=values) for name, values in numbers.items()}
        monkeypatch.setattr(performance_views, "findings", lambda: found)

    return make


@pytest.mark.parametrize("number", range(len(WELL)))
def test_when_all_is_well_there_is_no_advice(situation, api, number):
    situation(*WELL[number])
    assert api("read").get(ADVICE).json() == {"recommendations": []}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_advised_with_its_numbers(situation, api, name):
    counters, gauges, numbers, category, optimization = WRONG[name]
    situation(counters, gauges, numbers)
    (advice,) = api("read").get(ADVICE, HTTP_ACCEPT_LANGUAGE="en").json()["recommendations"]
    assert set(advice) >= {"category", "priority", "title", "description", "impact", "action"}
    assert (advice["category"], advice["optimization"]) == (category, optimization)
    assert advice["evidence"]
    assert not re.search(r"%\(|%%", json.dumps(advice)), "a number was not put into its place"
    for text in ("title", "description", "impact", "action"):
        assert advice[text]


def test_a_ready_optimization_can_be_posted_as_it_is(situation, api):
    counters, gauges, numbers, _category, optimization = WRONG["cache"]
    situation(counters, gauges, numbers)
    (advice,) = api("read").get(ADVICE).json()["recommendations"]
    answer = api("write").post("/api/v1/performance/optimize", {"optimizations": [advice["optimization"]]})
    assert answer.json()["applied"][0]["value"] == optimization["value"]


def test_nothing_is_advised_beyond_the_bounds_of_the_machine(situation, api, monkeypatch):
    monkeypatch.setattr(tuning, "total_memory", lambda: 256 * MIB)
    monkeypatch.setattr(tuning.resource, "getrlimit", lambda which: (300, 300))
    for name in ("cache", "waiting"):
        situation(*WRONG[name][:3])
        (advice,) = api("read").get(ADVICE).json()["recommendations"]
        assert advice["optimization"] is None
    situation(*WRONG["not reused"][:3])
    assert api("read").get(ADVICE).json()["recommendations"] == []


def test_what_is_urgent_comes_first(situation, api):
    situation({}, {}, {name: values for _, _, found, _, _ in WRONG.values() for name, values in found.items()})
    priorities = [advice["priority"] for advice in api("read").get(ADVICE).json()["recommendations"]]
    assert priorities == sorted(priorities, key=["high", "medium", "low"].index)
    assert len(priorities) == 5


def test_no_text_promises_a_gain(situation, figures):
    """What is said of the impact is what was counted: no percentage that nobody has measured (the hit rate is)."""
    for counters, gauges, numbers, _category, _optimization in WRONG.values():
        situation(counters, gauges, numbers)
        with translation.override("en"):
            known = recommendations.facts(
                figures, {name: Finding("healthy", numbers=values) for name, values in numbers.items()}
            )
            for advice in recommendations.recommendations(known):
                assert "%" not in advice.impact


@pytest.mark.usefixtures("figures")
def test_the_real_probes_give_the_numbers_that_the_rules_ask_for(api, monkeypatch):
    health.forget()
    monkeypatch.setattr(health, "AGE", -1.0)
    found = health.findings()
    assert {"percent", "free_bytes"} <= set(found["disk_space"].numbers)
    assert {"oldest_due_seconds", "depth", "in_flight"} <= set(found["queue"].numbers)
    assert {"wal_bytes"} <= set(found["database"].numbers)
    assert {"servers", "silent"} <= set(found["dns"].numbers)
    health.forget()
