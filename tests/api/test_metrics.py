"""Metrics over the API: the reference's fields with the figures that were really counted, and who may see them."""

import contextlib
import re
from datetime import timedelta

import pytest
from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from django.db import OperationalError
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families
from rest_framework.test import APIClient

from a3mailer_site import env
from a3mailer_site.control import ServerAwayError
from a3mailer_site.figures import BOUNDS, Figures
from accounts.models import ApiKey
from mailcore.supervisor.totals import Totals
from mailcore.supervisor.windows import Windows
from mailqueue import counts
from monitoring import counted, machine, sessions
from monitoring import metric_examples as examples

pytestmark = pytest.mark.django_db
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
QUEUE = {
    "total": 152,
    "active": 25,
    "deferred": 5,
    "bounced": 2,
    "incoming": 50,
    "outgoing": 75,
    "retry": 22,
    "bounce": 5,
}


class Server:
    """Processes whose figures a test makes, and a supervisor that adds them up."""

    def __init__(self):
        self.web, self.mail = Figures(), Figures()
        self.totals, self.windows = Totals(), Windows(1000.0)
        self.now, self.away = 1000.0, False

    def answered(self, method, status, seconds, times=1):
        for _ in range(times):
            self.web.observe("http.seconds", seconds, counting=f"http.requests.{method}.{status}")

    def pass_time(self, seconds):
        for _ in range(seconds):
            self.now += 1
            self.totals.update(1, self.web.snapshot())
            self.totals.update(2, self.mail.snapshot())
            self.windows.remember(self.now, self.totals.sum())

    def call(self, command, **arguments):
        if self.away:
            raise ServerAwayError("away")
        assert command == "figures"
        total = self.totals.sum()
        processes = [
            {"name": name, "pid": pid, "restarts": 3, "gauges": self.totals.gauges(pid)}
            for pid, name in ((1, "web"), (2, "mail"))
        ]
        windows = self.windows.differences(self.now, total)
        return {**total, "uptime": self.now - 1000.0, "windows": windows, "processes": processes}


@pytest.fixture
def server(monkeypatch):
    one = Server()
    monkeypatch.setattr(counted, "call", one.call)
    monkeypatch.setattr(counts, "counts", lambda: QUEUE)
    sessions.forget()
    one.mail.gauge("smtp.open", lambda: 3)
    one.mail.gauge("imaps.open", lambda: 200)
    one.mail.gauge("sessions.authenticated", lambda: 148)
    one.web.gauge("http.open", lambda: 31)
    return one


@pytest.fixture
def busy(server):
    """The traffic of the reference's sample, a tenth of it."""
    server.answered("GET", 200, 0.04, 800)
    server.answered("GET", 200, 0.3, 350)
    server.answered("GET", 200, 0.7, 50)
    server.answered("POST", 201, 0.3, 30)
    server.answered("GET", 404, 0.002, 4)
    server.answered("OTHER", 503, 20.0, 1)
    server.pass_time(30)
    return server


def shape(value):
    return {name: shape(inner) for name, inner in value.items()} if isinstance(value, dict) else None


# Refusals.

PATHS = ["/api/v1/metrics/system", "/api/v1/metrics/application", "/api/v1/metrics/custom"]


@pytest.mark.parametrize("path", [*PATHS, "/api/v1/metrics/custom/some_name"])
def test_without_a_key_there_are_no_metrics(path):
    answer = APIClient().get(path)
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("path", [*PATHS[:2], "/metrics"])
def test_without_a_supervisor_the_answer_is_503_and_no_zeros(read_api, server, path):
    server.away = True
    answer = read_api.get(path)
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "SERVICE_UNAVAILABLE"


@pytest.mark.parametrize("path", PATHS[:2])
@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_other_methods_are_not_for_it(write_api, path, method):
    assert getattr(write_api, method)(path, {}).status_code == 405


@pytest.mark.parametrize("path", PATHS[:2])
@pytest.mark.parametrize("value", ["2", "yes", "%00", "1" * 500])
def test_explain_is_1_or_0(read_api, server, path, value):
    answer = read_api.get(f"{path}?explain={value}")
    assert answer.status_code == 400
    assert "explain" in answer.json()["error"]["fields"]


@pytest.mark.parametrize("path", [*PATHS, "/metrics"])
def test_a_key_for_some_domains_sees_nothing_of_the_whole(client_with, monkeypatch, server, path):
    client = client_with("read")
    ApiKey.objects.update(domains=["example.com"])
    assert client.get(path, REMOTE_ADDR="192.0.2.1", secure=True).status_code == 403


# The machine.


def test_system_metrics_have_the_fields_of_the_reference_and_no_others(read_api, server):
    server.pass_time(5)
    answer = read_api.get("/api/v1/metrics/system")
    assert answer.status_code == 200, answer.content
    body = answer.json()
    assert shape(body) == shape(examples.SYSTEM)
    assert list(body) == list(examples.SYSTEM)
    assert TIME.fullmatch(body["timestamp"])
    assert 0 <= body["cpu_usage"] <= 100
    assert 0 < body["memory_usage"] < body["memory_total"]
    assert 0 < body["disk_usage"] <= body["disk_total"]
    assert body["active_connections"] == 3 + 200 + 31
    assert body["uptime"] == 5
    assert isinstance(body["uptime"], int)


def test_what_the_kernel_does_not_tell_is_null_and_never_zero(read_api, server, monkeypatch):
    monkeypatch.setattr(machine.meter, "use", lambda: None)
    monkeypatch.setattr(machine, "network", lambda: None)
    monkeypatch.setattr(machine, "load", lambda: None)
    body = read_api.get("/api/v1/metrics/system?explain=1").json()
    for name in ("cpu_usage", "network_rx_bytes", "network_tx_bytes", "active_connections"):
        assert body[name] is None
    assert body["load_average"] == {"1m": None, "5m": None, "15m": None}
    assert body["explain"]["cpu_usage"]["samples"] is None


@pytest.mark.parametrize("path", PATHS[:2])
def test_explain_names_a_source_for_every_number(read_api, busy, path):
    body = read_api.get(f"{path}?explain=1").json()
    explain = body.pop("explain")
    numbers = {
        name if not isinstance(value, dict) or name == "load_average" else f"{name}.{inner}"
        for name, value in body.items()
        if name != "timestamp"
        for inner in (value if isinstance(value, dict) else [""])
    }
    assert set(explain) == numbers
    assert all(set(each) == {"source", "window_seconds", "samples"} for each in explain.values())
    assert "explain" not in read_api.get(f"{path}?explain=0").json()


# The server's own work.


def test_application_metrics_have_the_fields_of_the_reference_and_the_counted_numbers(read_api, busy):
    answer = read_api.get("/api/v1/metrics/application")
    assert answer.status_code == 200, answer.content
    body = answer.json()
    assert shape(body) == shape(examples.APPLICATION)
    assert list(body) == list(examples.APPLICATION)
    assert (body["total_requests"], body["successful_requests"], body["failed_requests"]) == (1235, 1230, 5)
    mean = (800 * 0.04 + 350 * 0.3 + 50 * 0.7 + 30 * 0.3 + 4 * 0.002 + 20.0) / 1235
    assert body["avg_response_time"] == pytest.approx(mean * 1000, abs=0.001)
    assert 200 < body["p95_response_time"] <= 500
    assert 500 < body["p99_response_time"] <= 1000
    assert body["requests_per_second"] == pytest.approx(1235 / 30, abs=0.001)
    assert body["active_sessions"] == 148
    assert body["queue_sizes"] == {"incoming": 50, "outgoing": 75, "processing": 25}


@pytest.mark.parametrize(
    ("status", "success"),
    [*((status, 1) for status in (200, 204, 302, 304, 399)), *((status, 0) for status in (400, 401, 404, 500, 503))],
)
def test_a_success_is_every_status_below_400(read_api, server, status, success):
    server.answered("GET", status, 0.01)
    server.pass_time(1)
    body = read_api.get("/api/v1/metrics/application").json()
    assert (body["total_requests"], body["successful_requests"], body["failed_requests"]) == (1, success, 1 - success)


def test_without_a_request_there_are_no_times_and_without_a_lookup_no_rates(read_api, server):
    server.mail = Figures()
    server.pass_time(2)
    body = read_api.get("/api/v1/metrics/application").json()
    assert body["total_requests"] == 0
    for name in ("avg_response_time", "p95_response_time", "p99_response_time", "active_sessions"):
        assert body[name] is None
    assert body["requests_per_second"] == 0  # nothing came in two seconds: that is measured
    assert set(body["cache_hit_rates"].values()) == {None}


def test_a_server_that_has_only_begun_has_no_rate(read_api, server):
    assert read_api.get("/api/v1/metrics/application").json()["requests_per_second"] is None


def test_hit_rates_are_hits_among_lookups_of_all_processes(read_api, server):
    server.web.count("cache.user.hits", 70)
    server.mail.count("cache.user.hits", 15)
    server.mail.count("cache.user.misses", 15)
    server.web.count("cache.settings.hits", 3)
    server.web.count("cache.domain.misses", 4)
    server.pass_time(3)
    rates = read_api.get("/api/v1/metrics/application").json()["cache_hit_rates"]
    assert rates == {"user_cache": 0.85, "domain_cache": 0.0, "config_cache": 1.0}


def test_times_and_rates_forget_and_totals_do_not(read_api, busy):
    busy.pass_time(61)
    body = read_api.get("/api/v1/metrics/application").json()
    assert body["requests_per_second"] == 0
    assert body["p99_response_time"] is not None
    busy.pass_time(300)
    body = read_api.get("/api/v1/metrics/application").json()
    assert (body["total_requests"], body["p99_response_time"]) == (1235, None)


def test_a_percentile_beyond_the_last_bucket_says_that_it_is_a_lower_limit(read_api, server):
    server.answered("GET", 200, 100.0)
    server.pass_time(1)
    body = read_api.get("/api/v1/metrics/application?explain=1").json()
    assert body["p95_response_time"] == BOUNDS[-1] * 1000
    assert "at least" in body["explain"]["p95_response_time"]["source"]


def test_web_sessions_count_when_they_are_logged_in_and_not_over(read_api, server):
    server.pass_time(1)
    for user, ends in ((1, 1), (2, 1), (None, 1), (3, -1)):
        session = SessionStore()
        if user:
            session[SESSION_KEY] = str(user)
        session["x"] = 1
        session.save()
        session.model.objects.filter(pk=session.session_key).update(expire_date=timezone.now() + timedelta(hours=ends))
    assert read_api.get("/api/v1/metrics/application").json()["active_sessions"] == 148 + 2


def test_each_answer_asks_the_database_the_same_few_things(read_api, busy, django_assert_max_num_queries):
    read_api.get("/api/v1/metrics/system")
    with django_assert_max_num_queries(1):  # the key
        assert read_api.get("/api/v1/metrics/system").status_code == 200
    sessions.forget()
    with django_assert_max_num_queries(2):  # the key and the sessions
        assert read_api.get("/api/v1/metrics/application").status_code == 200


# Prometheus.


def page(client, **options):
    answer = client.get("/metrics", **options)
    assert answer.status_code == 200, answer.content
    assert answer["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    return answer.content.decode()


def samples(text):
    """All samples of a page that is valid: name and labels to value, none twice."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            series = (sample.name, tuple(sorted(sample.labels.items())))
            assert series not in found, series
            found[series] = sample.value
    return found


def value(found, name, **labels):
    return found[name, tuple(sorted(labels.items()))]


OUTSIDE = {"REMOTE_ADDR": "192.0.2.1", "secure": True}


@pytest.mark.parametrize(
    ("address", "headers", "allowed", "status"),
    [
        ("192.0.2.1", {}, None, 401),
        ("127.0.0.1", {}, None, 200),
        ("127.9.9.9", {}, None, 200),
        ("::1", {}, None, 200),
        ("::ffff:127.0.0.1", {}, None, 200),
        ("127.0.0.1", {"HTTP_X_FORWARDED_FOR": "127.0.0.1"}, None, 401),
        ("127.0.0.1", {"HTTP_FORWARDED": "for=127.0.0.1"}, None, 401),
        ("192.0.2.1", {"HTTP_X_FORWARDED_FOR": "127.0.0.1"}, None, 401),
        ("192.0.2.1", {}, "192.0.2.0/24", 200),
        ("192.0.2.1", {"HTTP_X_REAL_IP": "192.0.2.1"}, "192.0.2.0/24", 401),
        ("127.0.0.1", {}, "192.0.2.0/24", 401),
        ("2001:db8::5", {}, "192.0.2.1,2001:db8::/64", 200),
        ("127.0.0.1", {}, "off", 401),
    ],
)
def test_who_may_scrape_without_a_key(server, monkeypatch, address, headers, allowed, status):
    if allowed is not None:
        monkeypatch.setenv("A3MAILER_METRICS_ALLOW", allowed)
        env.reload()
    try:
        assert APIClient().get("/metrics", REMOTE_ADDR=address, **headers).status_code == status
    finally:
        monkeypatch.undo()
        with contextlib.suppress(env.SettingError):
            env.reload()


def test_behind_a_trusted_proxy_the_client_counts(server, monkeypatch):
    monkeypatch.setenv("A3MAILER_TRUSTED_PROXIES", "10.0.0.1")
    env.reload()
    try:
        for client, status in (("127.0.0.1", 200), ("192.0.2.1", 401)):
            answer = APIClient().get("/metrics", REMOTE_ADDR="10.0.0.1", HTTP_X_FORWARDED_FOR=client)
            assert answer.status_code == status
    finally:
        monkeypatch.undo()
        env.reload()


@pytest.mark.parametrize("text", ["rubbish", "127.0.0.1/99", "127.0.0.1,x"])
def test_an_allow_list_that_is_none_is_refused_at_the_start(text):
    with pytest.raises(env.SettingError, match="A3MAILER_METRICS_ALLOW"):
        env.Env(metrics_allow=text)


@pytest.mark.parametrize(("permissions", "status"), [((), 401), (("read",), 200), (("admin",), 200)])
def test_from_elsewhere_a_key_that_may_read_is_needed(client_with, server, permissions, status):
    assert client_with(*permissions).get("/metrics", **OUTSIDE).status_code == status


def test_the_four_names_of_the_reference_have_the_figures_of_the_json(read_api, busy, monkeypatch):
    use = machine.Use(45.23, 5.0, 6)
    monkeypatch.setattr(machine.meter, "use", lambda: use)
    monkeypatch.setattr(machine, "memory", lambda: machine.Memory(2147483648, 8589934592, False))
    text = page(read_api)
    found = samples(text)
    system = read_api.get("/api/v1/metrics/system").json()
    application = read_api.get("/api/v1/metrics/application").json()
    assert value(found, "stalwart_cpu_usage_percent") == system["cpu_usage"] == 45.2
    assert value(found, "stalwart_memory_usage_bytes") == system["memory_usage"] == 2147483648
    requests = {labels: count for (name, labels), count in found.items() if name == "stalwart_http_requests_total"}
    assert sum(requests.values()) == application["total_requests"]
    good = sum(count for labels, count in requests.items() if int(dict(labels)["status"]) < 400)
    assert good == application["successful_requests"]
    total, count = (
        value(found, "stalwart_response_time_seconds_sum"),
        value(found, "stalwart_response_time_seconds_count"),
    )
    assert count == application["total_requests"]
    assert total / count * 1000 == pytest.approx(application["avg_response_time"], abs=0.001)
    for wanted in ("0.1", "0.5", "1.0", "+Inf"):
        value(found, "stalwart_response_time_seconds_bucket", le=wanted)
        assert f'stalwart_response_time_seconds_bucket{{le="{wanted}"}}' in text
    for line in (line for line in examples.PROMETHEUS.splitlines() if line.startswith("#")):
        assert line in text


def test_buckets_grow_and_end_with_all(read_api, busy):
    busy.mail.observe("commit.batch_size", 3)
    busy.mail.observe("delivery.remote.latency_seconds", 7200)
    busy.pass_time(1)
    found = samples(page(read_api))
    series = {}
    for (name, labels), count in found.items():
        if name.endswith("_bucket"):
            inner = dict(labels)
            bound = float(inner.pop("le"))
            series.setdefault((name, tuple(inner.items())), []).append((bound, count))
    assert len(series) >= 3
    for (name, labels), buckets in series.items():
        counts = [count for _bound, count in sorted(buckets)]
        assert counts == sorted(counts)
        assert counts[-1] == found[name.replace("_bucket", "_count"), labels]


def test_the_page_is_valid_and_has_help_type_and_no_series_twice(read_api, busy):
    for name in (
        "smtp.connections",
        "http.connections",
        "login.imap.failed",
        "smtp.recipient.refused.5.1.1",
        "cache.user.hits",
    ):
        busy.mail.count(name)
    busy.web.count("something.new.without.a.family", 7)
    busy.mail.gauge("another.gauge", lambda: 1.5)
    busy.mail.gauge("process.rss_bytes", lambda: 1000)
    busy.mail.gauge("process.cpu_seconds", lambda: 2.25)
    busy.pass_time(1)
    text = page(read_api)
    found = samples(text)
    assert value(found, "a3mailer_connections_total", listener="http") == 1
    assert value(found, "a3mailer_logins_total", protocol="imap", result="failed") == 1
    assert value(found, "a3mailer_refused_total", what="recipient", status="5.1.1") == 1
    assert value(found, "a3mailer_figure_total", figure="something.new.without.a.family") == 7
    assert value(found, "a3mailer_figure", figure="another.gauge") == 1.5
    assert value(found, "a3mailer_process_resident_memory_bytes", process="mail") == 1000
    assert value(found, "a3mailer_process_cpu_seconds_total", process="mail") == 2.25
    assert value(found, "a3mailer_process_restarts_total", process="web") == 3
    assert value(found, "a3mailer_queue_messages", lane="retry") == 22
    assert value(found, "a3mailer_queue_state_messages", state="total") == 152
    assert any(name == "a3mailer_build_info" for name, _ in found)
    assert any(name == "python_info" for name, _ in found)
    types = re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE)
    helps = re.findall(r"^# HELP (\S+) \S", text, re.MULTILINE)
    assert len({name for name, _ in types}) == len(types) == len(set(helps))
    ours = [(name, kind) for name, kind in types if name.startswith(("a3mailer_", "stalwart_"))]
    assert all(name.endswith("_total") == (kind == "counter") for name, kind in ours)


@pytest.mark.parametrize(
    "accept",
    [
        "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1",
        "text/plain",
        "application/vnd.google.protobuf",
        "nonsense",
        "",
    ],
)
def test_whatever_a_scraper_asks_for_it_gets_the_one_form_there_is(read_api, busy, accept):
    assert "stalwart_cpu_usage_percent" in page(read_api, HTTP_ACCEPT=accept)
    refused = APIClient().get("/metrics", HTTP_ACCEPT=accept, **OUTSIDE)
    assert refused.status_code == 401
    assert refused.json()["error"]["code"] == "UNAUTHORIZED"


def test_while_the_database_is_away_the_rest_is_shown(busy, monkeypatch):
    def away():
        raise OperationalError("gone")

    assert value(samples(page(APIClient())), "a3mailer_database_up") == 1
    monkeypatch.setattr(counts, "counts", away)
    found = samples(page(APIClient()))
    assert value(found, "a3mailer_database_up") == 0
    assert value(found, "stalwart_response_time_seconds_count") == 1235


def test_a_scraper_without_a_key_asks_the_database_only_for_what_is_kept_there(busy, django_assert_max_num_queries):
    with django_assert_max_num_queries(3):  # the queue by lane, what is in flight, the custom metrics
        page(APIClient())
