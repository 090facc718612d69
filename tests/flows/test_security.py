"""Security figures of a running server: the worker's checks, sealed entries, limits that change at once."""

import http.client
import json
import time
from contextlib import closing, contextmanager

import pytest

from wire import HOST, Imap, until

pytestmark = pytest.mark.flow


def ask(server, path, method="GET", body=None, source="127.0.0.1", key=True):
    connection = http.client.HTTPConnection(HOST, server.ports["http"], timeout=60, source_address=(source, 0))
    headers = {"Authorization": f"Bearer {server.credentials['api_key']}"} if key else {}
    with closing(connection):
        text = None if body is None else json.dumps(body)
        connection.request(method, f"/api/v1/security/{path}", text, {**headers, "Content-Type": "application/json"})
        answer = connection.getresponse()
        content = answer.read()
        return answer.status, json.loads(content) if content else None


def test_the_worker_runs_the_checks_at_its_start_and_really_tries_to_relay(any_server):
    overview = until(lambda: (got := ask(any_server, "overview")[1])["last_security_scan"] and got, 60)
    assert 0 < overview["security_score"] <= 1
    checks = {one["id"]: one for one in ask(any_server, "checks")[1]["checks"]}
    assert checks["open_relay"]["status"] == "pass", checks["open_relay"]
    assert "5.7.1" in checks["open_relay"]["detail"], checks["open_relay"]
    assert checks["tls_certificate"]["status"] == "fail"  # the server's own: nobody vouches for it
    assert checks["migrations"]["status"] == "pass"
    assert not [one for one in checks.values() if one["checked_at"] is None]


def test_a_failed_login_over_imap_is_in_the_log_counted_and_sealed(any_server, person):
    before = ask(any_server, "overview")[1]
    with Imap(any_server.ports["imaps"], tls=True, source="127.0.7.77") as imap:
        assert imap.login(person.address, "wrong").startswith(b"NO")

    def sealed():
        rows = ask(any_server, "audit-logs?source_ip=127.0.7.77&event_type=authentication&limit=1")[1]["logs"]
        return rows and rows[0]["sealed"] and rows[0]

    row = until(sealed, 30, "it was not sealed")
    assert (row["action"], row["outcome"], row["severity"]) == ("login_failed", "failure", "warning")
    assert row["metadata"]["protocol"] == "imap"
    after = ask(any_server, "overview")[1]
    assert after["failed_auth_attempts"] > before["failed_auth_attempts"]
    assert after["security_events"]["last_24h"] > before["security_events"]["last_24h"]


@contextmanager
def limits(server, **changes):
    """Other limits for a while; an administrator on this machine can always put them back."""
    before = ask(server, "rate-limits")[1]
    try:
        status, answer = ask(server, "rate-limits", "PUT", changes)
        assert status == 200, answer
        yield
    finally:
        assert ask(server, "rate-limits", "PUT", before)[0] == 200


def test_limits_are_in_force_within_moments_and_can_always_be_mended_from_here(any_server):
    def refused(source):
        return 429 in [ask(any_server, "checks", source=source, key=False)[0] for _ in range(12)]

    assert not refused("127.0.5.1")
    with limits(any_server, per_ip={"max_requests": 10, "window_seconds": 60}):
        start = time.monotonic()
        until(lambda: refused("127.0.5.2"), 5)
        assert time.monotonic() - start < 5
        until(lambda: ask(any_server, "checks")[0] == 429, 30)
        assert ask(any_server, "rate-limits")[0] == 200
    until(lambda: ask(any_server, "checks")[0] == 200, 5)
    assert ask(any_server, "overview")[1]["rate_limit_violations"] >= 1


def test_an_address_is_blocked_and_lifted_on_either_database(any_server):
    source = "127.0.5.9"

    def greeted(port, tls=False):
        try:
            with Imap(any_server.ports[port], tls=tls, source=source, timeout=5):
                return True
        except OSError:
            return False

    with Imap(any_server.ports["imap"], source=source) as session:
        any_server.manage("blockip", source, "--force", "--duration", "300")
        with pytest.raises(OSError, match=r"."):
            session.command(b"NOOP")
    assert not greeted("imap")
    assert not greeted("imaps", tls=True)
    status, listed = ask(any_server, f"blocked-ips/{source}")
    assert (status, listed["source"]) == (200, "command")
    assert ask(any_server, f"blocked-ips/{source}", "DELETE") == (204, None)
    until(lambda: greeted("imap"), 5)
    until(lambda: greeted("imaps", tls=True), 5)
