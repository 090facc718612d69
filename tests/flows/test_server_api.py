"""Restart, reload and tuning over the API: processes really change, and nobody who is connected is hurt."""

import contextlib
import http.client
import json
import socket
import sqlite3
import ssl
import threading
import time
from dataclasses import replace

import pytest
from running import running

from a3mailer_site import env
from mailcore import tls
from wire import HOST, Smtp, until

pytestmark = pytest.mark.flow

ROLES = ("mail", "web", "worker")


@pytest.fixture(scope="module")
def server():
    """One of our own: these tests replace its processes and its certificate."""
    with running("server-api", people=6) as one:
        yield one


@pytest.fixture(autouse=True)
def _own_key(server):
    """Give each test a key of its own: costly calls are limited by key."""
    made = server.manage("createapikey", "flow", "--permissions", "read,write,admin", "--json")
    server.credentials["api_key"] = json.loads(made)["api_key"]


def soon(condition, seconds=60):
    """Ask the API again until it says what is wanted, and not so often that it would refuse to answer."""

    def ask():
        time.sleep(0.5)
        return condition()

    return until(ask, seconds)


def api(server, method, path, body=None):
    """Status and JSON of an answer to the test's key."""
    with contextlib.closing(http.client.HTTPConnection(HOST, server.ports["http"], timeout=60)) as connection:
        headers = {"Authorization": f"Bearer {server.credentials['api_key']}", "Content-Type": "application/json"}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text else None


def pids(server):
    return {name: server.pid(name) for name in ROLES}


class Knocker:
    """Opens a connection to a port again and again, and counts who is refused."""

    def __init__(self, port):
        self.port, self.opened, self.refused = port, 0, 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exc_info):
        self._stop.set()
        self._thread.join()

    def _run(self):
        while not self._stop.is_set():
            try:
                socket.create_connection((HOST, self.port), 30).close()
                self.opened += 1
            except ConnectionRefusedError:
                self.refused += 1
            time.sleep(0.005)


def is_restarted(server, before):
    """Say whether every process is another one, and the server is done with it."""
    status = server.control("status")
    now = {process["name"]: process["pid"] for process in status["processes"]}
    return not status["restarting"] and all(now[name] not in {before[name], None} for name in ROLES)


def test_a_restart_replaces_every_process_and_hurts_nobody(server):
    person, friend = server.people[:2]
    before = pids(server)
    with contextlib.ExitStack() as stack:
        knockers = [stack.enter_context(Knocker(server.ports[name])) for name in ("smtp", "imap", "http")]
        smtp = stack.enter_context(Smtp(server.ports["smtp"]))
        imap = stack.enter_context(friend.imap())
        assert smtp.envelope("friend@example.net", person.address).startswith(b"250")
        assert smtp.say(b"DATA").startswith(b"354")
        smtp.socket.sendall(b"Subject: in the middle\r\n\r\nfirst half\r\n")
        status, body = api(server, "POST", "/api/v1/server/restart")
        assert (status, body["status"]) == (202, "restarting")
        assert body["request_id"].startswith("req_")
        # The mail process is being replaced, and waits for the message. A second restart has to wait, too.
        until(lambda: server.control("status")["restarting"])
        assert api(server, "POST", "/api/v1/server/restart")[0] == 409
        until(lambda: server.pid("mail") != before["mail"])
        # An open IMAP session is told to go, with its command answered or without one.
        assert b"* BYE" in rest(imap)
        smtp.socket.sendall(b"second half\r\n.\r\n")
        assert smtp.reply().startswith(b"250"), "the message in hand was not taken"
        until(lambda: is_restarted(server, before), 120)
        assert api(server, "GET", "/api/v1/server/info")[1]["status"] == "running"
    assert [knocker.refused for knocker in knockers] == [0, 0, 0]
    assert all(knocker.opened > 10 for knocker in knockers)
    (content,) = person.wait_for(1)
    assert content.endswith(b"first half\r\nsecond half\r\n")
    actions = server.python(
        "from security.models import AuditEntry\n"
        "rows = AuditEntry.objects.filter(action='server_restart').order_by('id')\n"
        "print(json.dumps(list(rows.values_list('outcome', 'request_id'))))"
    )
    assert actions[0] == ["success", body["request_id"]]
    assert actions[1][0] == "failure"


def rest(imap):
    """Everything that an IMAP session still says until it is closed."""
    heard = b""
    imap.socket.settimeout(60)
    with contextlib.suppress(OSError):
        while data := imap.socket.recv(4096):
            heard += data
    return heard


def served_certificate(port):
    """DER of the certificate that a TLS port shows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with socket.create_connection((HOST, port), 30) as link, context.wrap_socket(link) as inside:
        return inside.getpeercert(binary_form=True)


def violations(server):
    """How many calls of costly operations were refused, as the API says."""
    usage = api(server, "GET", "/api/v1/security/rate-limits")[1]["usage"]
    return usage["violations_last_24h"]["costly"]


def test_refusals_are_counted_to_the_last_one_before_a_restart(server):
    before, counted = pids(server), violations(server)
    answers = [api(server, "POST", "/api/v1/health/check/clock")[0] for _ in range(40)]
    assert answers.count(429) >= 5
    server.control("restart")
    assert is_restarted(server, before)
    assert violations(server) == counted + answers.count(429)


def test_a_reload_refuses_what_is_broken_and_shows_the_new_certificate_to_who_comes_next(server, tmp_path):
    person = server.people[2]
    certificate, key = server.data / "tls" / "self-signed.crt", server.data / "tls" / "self-signed.key"
    ports = [server.ports[name] for name in ("imaps", "submissions", "pop3s")]
    old = [served_certificate(port) for port in ports]
    status, nothing = api(server, "POST", "/api/v1/server/reload")
    assert (status, nothing) == (200, {"status": "reloaded", "changes": [], "warnings": []})
    with person.imap() as imap:
        certificate.write_text("-----BEGIN CERTIFICATE-----\nbroken\n-----END CERTIFICATE-----\n")
        for path in ("/api/v1/server/reload", "/api/v1/server/reload?dry_run=1"):
            status, refused = api(server, "POST", path)
            assert (status, refused["error"]["code"]) == (400, "INVALID_REQUEST")
            assert "self-signed.crt is not in PEM form" in refused["error"]["details"]
            assert str(server.data) not in json.dumps(refused)
        assert [served_certificate(port) for port in ports] == old

        other = replace(env.current(), data_dir=tmp_path, hostname="new.example.test", tls_cert="", tls_key="")
        assert tls.ensure_pair(other)
        new_certificate, new_key = tls.certificate_paths(other)
        certificate.write_bytes(new_certificate.read_bytes())
        # A key that belongs to another certificate is no pair.
        status, refused = api(server, "POST", "/api/v1/server/reload")
        assert status == 400
        assert "key of another certificate" in refused["error"]["details"]
        key.write_bytes(new_key.read_bytes())
        status, valid = api(server, "POST", "/api/v1/server/reload?dry_run=1")
        assert (status, valid["status"]) == (200, "valid")
        assert [served_certificate(port) for port in ports] == old
        status, done = api(server, "POST", "/api/v1/server/reload")
        assert (status, done["status"]) == (200, "reloaded")
        assert [change["name"] for change in done["changes"]] == ["certificate"]
        assert done["changes"] == valid["changes"]
        new = [served_certificate(port) for port in ports]
        assert len(set(new)) == 1
        assert new[0] not in old
        assert imap.fine(b"NOOP") is not None  # inside the old certificate


def test_a_reload_puts_settings_in_force_and_says_what_waits(server):
    settings = server.data / "a3mailer.env"
    try:
        settings.write_text("A3MAILER_PLAINTEXT_AUTH=perhaps\n")
        status, refused = api(server, "POST", "/api/v1/server/reload")
        assert status == 400
        assert "A3MAILER_PLAINTEXT_AUTH is 'perhaps'" in refused["error"]["details"]
        settings.write_text("a secret that lost its name\n")
        status, refused = api(server, "POST", "/api/v1/server/reload")
        assert status == 400
        assert "a3mailer.env line 1" in refused["error"]["details"]
        assert "secret" not in json.dumps(refused)
        assert str(server.data) not in json.dumps(refused)

        settings.write_text(
            "A3MAILER_RECIPIENT_LIMIT=2\nDATABASE_URL=postgres://u:sesame@db/x\nA3MAILER_LANGUAGE=zh-hans\n"
        )
        wanted = [
            {"name": "database_url", "before": "", "after": "***"},
            {"name": "recipient_limit", "before": 1000, "after": 2},
            {"name": "language", "before": "en", "after": "zh-hans"},
        ]
        status, valid = api(server, "POST", "/api/v1/server/reload?dry_run=1")
        assert status == 200
        assert valid["changes"] == wanted
        assert valid["warnings"] == [
            "database_url has changed; it takes effect when the server is started again.",
            "language has changed; it takes effect with a restart.",
        ]
        assert "sesame" not in json.dumps(valid)
        to = [person.address for person in server.people[:3]]
        with Smtp(server.ports["smtp"]) as smtp:
            assert smtp.envelope("friend@example.net", *to).startswith(b"250")
        status, done = api(server, "POST", "/api/v1/server/reload")
        assert (status, done["changes"]) == (200, wanted)
        with Smtp(server.ports["smtp"]) as smtp:
            assert smtp.envelope("friend@example.net", *to).startswith(b"452")
        assert api(server, "POST", "/api/v1/server/reload")[1]["changes"] == []
        assert len(api(server, "POST", "/api/v1/server/reload")[1]["warnings"]) == 2
    finally:
        settings.unlink()
        api(server, "POST", "/api/v1/server/reload")


def gauge(server, process, name):
    """A figure of one process."""
    processes = server.control("figures")["processes"]
    return next(one["gauges"].get(name) for one in processes if one["name"] == process)


def test_tuning_changes_the_running_processes_and_outlives_them(server):
    mib = 1024 * 1024
    wanted = {
        "optimizations": [{"type": "cache_size", "value": 400 * mib}, {"type": "connection_pool_size", "value": 7}]
    }
    capacity = gauge(server, "mail", "cache.capacity")
    status, tried = api(server, "POST", "/api/v1/performance/optimize?dry_run=1", wanted)
    assert (status, [one["value"] for one in tried["applied"]]) == (200, [400 * mib, 7])
    assert api(server, "GET", "/api/v1/performance/optimizations")[1]["total"] == 0

    began = time.monotonic()
    status, done = api(server, "POST", "/api/v1/performance/optimize", wanted)
    assert (status, done["rejected"]) == (200, [])
    assert [one["previous"] for one in done["applied"]] == [128 * mib, 100]
    until(lambda: gauge(server, "mail", "cache.capacity") == 240 * mib, 30)
    until(lambda: gauge(server, "web", "cache.capacity") == 80 * mib, 30)
    until(lambda: gauge(server, "worker", "cache.capacity") == 80 * mib, 30)
    until(lambda: gauge(server, "worker", "delivery.pool.limit") == 7, 30)
    # Within a second, and figures come once a second; five times that.
    assert time.monotonic() - began < 5 * 2
    assert capacity != 240 * mib

    before = pids(server)
    server.control("restart")
    assert is_restarted(server, before)
    until(lambda: gauge(server, "mail", "cache.capacity") == 240 * mib, 30)
    until(lambda: gauge(server, "worker", "delivery.pool.limit") == 7, 30)
    stats = api(server, "GET", "/api/v1/performance/stats")[1]
    assert stats["cache_performance"]["cache_size"] == 400 * mib
    assert stats["pools"]["outbound_smtp"]["limit"] == 7
    assert {one["process"] for one in stats["pools"]["database"]["processes"]} == set(ROLES)
    assert stats["pools"]["database"]["total_connections"] >= 3

    for one in done["applied"]:
        status, back = api(server, "POST", f"/api/v1/performance/optimizations/{one['id']}/revert")
        assert status == 200, back
        assert back["reverted_at"]
    until(lambda: gauge(server, "mail", "cache.capacity") == capacity, 30)
    until(lambda: gauge(server, "worker", "delivery.pool.limit") == 100, 30)


def test_a_lookup_of_the_mail_process_is_in_the_answer(server):
    def lookups():
        return api(server, "GET", "/api/v1/performance/stats?explain=1")[1]

    before = lookups()["explain"]["cache_performance.hit_rate"]["samples"]
    with Smtp(server.ports["smtp"]) as smtp:
        assert smtp.envelope("friend@example.net", *[person.address for person in server.people]).startswith(b"250")
    soon(lambda: lookups()["explain"]["cache_performance.hit_rate"]["samples"] >= before + len(server.people), 30)
    answer = lookups()
    assert 0 < answer["cache_performance"]["hit_rate"] < 1
    assert answer["cache_performance"]["cache_utilization"] > 0
    assert answer["request_performance"]["p95_response_time"] > 0
    assert answer["request_performance"]["throughput"] > 0
    assert answer["connection_pool"]["connection_reuse_rate"] is None


def test_every_part_of_a_running_server_is_probed(server):
    def well():
        _status, body = api(server, "GET", "/api/v1/health/detailed")
        checks = {name: one["status"] for name, one in body["checks"].items() if name != "dns"}
        return body if set(checks.values()) <= {"healthy", "degraded"} and checks["worker"] == "healthy" else None

    body = soon(well)
    assert set(body["checks"]) == {
        "database", "cache", "disk_space", "memory", "smtp", "imap", "pop3", "queue", "worker", "clock", "audit", "dns",
        "tls",
    }  # fmt: skip
    assert set(body["checks"]["smtp"]["details"]) == {"smtp", "submission", "submissions"}
    assert set(body["checks"]["imap"]["details"]) == {"imap", "imaps"}
    assert int(body["checks"]["tls"]["details"]["days_left"]) > 3000
    assert body["checks"]["queue"]["details"]["depth"] == "0"
    for name in ("imap", "worker", "queue"):
        status, one = api(server, "POST", f"/api/v1/health/check/{name}")
        assert (status, one["status"]) == (200, "healthy"), one


def test_health_answers_while_the_database_is_locked(server):
    """Nobody waits for the lock longer than a probe may, and no answer is a 500."""
    with contextlib.closing(sqlite3.connect(server.data / "a3mailer.sqlite3", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")

        def is_told():
            began = time.monotonic()
            status, body = api(server, "GET", "/health")
            assert time.monotonic() - began < 5 * 3.0
            assert status in {200, 503}, body
            return (status, body["checks"]["database"]["status"]) == (503, "unhealthy")

        soon(is_told, 120)
        # Readers are not locked out, so this server can still take part.
        assert api(server, "GET", "/ready")[0] == 200
        assert api(server, "GET", "/api/v1/performance/stats")[0] in {200, 503}
        # What has to write is told to come back.
        wanted = {"optimizations": [{"type": "connection_pool_size", "value": 9}]}
        assert api(server, "POST", "/api/v1/performance/optimize", wanted)[0] == 503
        other.execute("ROLLBACK")
    soon(lambda: api(server, "GET", "/health")[1]["status"] != "unhealthy")
    assert api(server, "GET", "/api/v1/performance/optimizations?limit=1")[1]["optimizations"][0]["value"] != 9
