"""Metrics of a running server: known traffic moves exactly the figures it should, and nothing takes them back."""

import http.client
import json
import os
import signal

import pytest
from prometheus_client.parser import text_string_to_metric_families
from running import PASSWORD, deliver, quick_retries, running

from monitoring import metric_examples as examples
from wire import Imap, Pop3, Smtp, until

pytestmark = [pytest.mark.flow, pytest.mark.xdist_group("counted_traffic")]

CONTENT = b"Subject: hello\r\n\r\nx\r\n"
CUSTOM = "/api/v1/metrics/custom"


@pytest.fixture(scope="module")
def own_server(fake_dns):
    """A server that nobody but the tests of this module speaks to."""
    with running("metrics", quick_retries(fake_dns), people=4) as one:
        until(lambda: one.control("status")["state"] == "running")
        yield one


def ask(server, method, path, body=None, *, key=True):
    """One request on a connection of its own; status and body."""
    connection = http.client.HTTPConnection("127.0.0.1", server.ports["http"], timeout=60)
    headers = {"Content-Type": "application/json"}
    if key:
        headers["Authorization"] = f"Bearer {server.credentials['api_key']}"
    try:
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        return answer.status, json.loads(text) if "json" in (answer.getheader("Content-Type") or "") else text
    finally:
        connection.close()


def figures(server):
    return server.control("figures")


def requests(counters):
    return {name: count for name, count in counters.items() if name.startswith("http.requests.")}


def settled(server):
    """Figures once all processes have told what they counted: two seconds' worth that are the same."""

    def twice():
        first, uptime = figures(server), figures(server)["uptime"]
        until(lambda: figures(server)["uptime"] > uptime + 2.2)
        second = figures(server)
        return second if first["counters"] == second["counters"] else None

    return until(twice)


def moved(before, after):
    return {
        name: count - before["counters"].get(name, 0)
        for name, count in after["counters"].items()
        if count != before["counters"].get(name, 0)
    }


def samples(text):
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            series = (sample.name, frozenset(sample.labels.items()))
            assert series not in found, series
            found[series] = sample.value
    return found


def test_known_traffic_moves_exactly_the_figures_it_should(own_server):
    server = own_server
    anna, bert, carl, _ = server.people
    before = settled(server)

    for _ in range(3):
        with Imap(server.ports["imaps"], tls=True) as imap:
            assert imap.login(anna.address, PASSWORD).startswith(b"OK")
            imap.fine(b"NOOP")
    with Imap(server.ports["imaps"], tls=True) as imap:
        assert imap.login(anna.address, "wrong").startswith(b"NO")
    with Pop3(server.ports["pop3s"], tls=True) as pop3:
        assert pop3.login(bert.address, PASSWORD).startswith(b"+OK")
    for _ in range(4):
        assert deliver(server, bert, CONTENT).startswith(b"250")
    with Smtp(server.ports["smtp"]) as smtp:
        assert smtp.envelope("x@example.net", f"nobody@{server.domain}").startswith(b"550")
    with Smtp(server.ports["submissions"], tls=True) as smtp:
        assert smtp.login(carl.address, PASSWORD).startswith(b"235")
        assert smtp.envelope(carl.address, anna.address, bert.address).startswith(b"250")
        assert smtp.data(b"From: " + carl.address.encode() + b"\r\n" + CONTENT).startswith(b"250")
    calls = [("GET", "/api/v1/users", 200)] * 5 + [("GET", "/api/v1/users/user_999999", 404)] * 2
    for method, path, status in calls:
        assert ask(server, method, path)[0] == status
    assert ask(server, "POST", CUSTOM, examples.CUSTOM)[0] == 201
    assert ask(server, "DELETE", "/api/v1/users")[0] == 405
    assert ask(server, "GET", "/api/v1/users", key=False)[0] == 401
    assert ask(server, "BREW", "/api/v1/domains")[0] == 405

    after = settled(server)
    found = moved(before, after)
    expected = {
        "http.requests.GET.200": 5,
        "http.requests.GET.404": 2,
        "http.requests.POST.201": 1,
        "http.requests.DELETE.405": 1,
        "http.requests.GET.401": 1,
        "http.requests.OTHER.405": 1,
        "http.connections": 11,
        "imaps.connections": 4,
        "imaps.tls.TLSv1.3": 4,
        "pop3s.connections": 1,
        "smtp.connections": 5,
        "submissions.connections": 1,
        "login.imap.succeeded": 3,
        "login.imap.failed": 1,
        "login.pop3.succeeded": 1,
        "login.submission.succeeded": 1,
        "login.api_key.succeeded": 10,
        "imap.commands.LOGIN": 4,
        "imap.commands.NOOP": 3,
        "pop3.commands.PASS": 1,
        "smtp.commands.DATA": 5,
        "smtp.accepted.received": 4,
        "smtp.accepted.submitted": 1,
        "smtp.recipient.refused.5.1.1": 1,
        "messages.delivered": 6,
    }
    assert {name: found.get(name) for name in expected} == expected
    assert requests(found).keys() == requests(expected).keys()
    assert found["smtp.bytes_in"] > 4 * len(CONTENT)
    assert not [name for name in found if name.endswith((".failures", ".unavailable"))]

    # The sums agree, and lately is the same as in all: everything was in the last five minutes.
    total = int(sum(requests(after["counters"]).values()))
    assert sum(after["timings"]["http.seconds"][:-1]) == total
    status, application = ask(server, "GET", "/api/v1/metrics/application?explain=1")
    assert status == 200
    assert application["total_requests"] == total
    assert application["successful_requests"] + application["failed_requests"] == total
    assert application["explain"]["avg_response_time"]["samples"] <= total
    assert 0 < application["avg_response_time"] < 60_000
    assert application["p95_response_time"] <= application["p99_response_time"]
    assert application["requests_per_second"] > 0
    assert application["active_sessions"] == 0

    # The same on the page for Prometheus, with one request more; nobody needs a key on this machine.
    settled(server)
    status, text = ask(server, "GET", "/metrics", key=False)
    page = samples(text)
    assert status == 200
    served = [value for (name, _), value in page.items() if name == "stalwart_http_requests_total"]
    assert sum(served) == total + 1 == page["stalwart_response_time_seconds_count", frozenset()]
    received = page["a3mailer_messages_accepted_total", frozenset({("direction", "inbound")})]
    assert received == after["counters"]["smtp.accepted.received"]
    assert page["a3mailer_commit_batch_size_count", frozenset()] > 0
    custom = [value for (name, _), value in page.items() if name == "custom_counter_total"]  # the parser's name for it
    assert custom == [42]
    processes = {dict(labels)["process"] for name, labels in page if name == "a3mailer_process_resident_memory_bytes"}
    assert processes == {"mail", "web", "worker"}


def test_open_connections_and_sessions_are_counted_while_they_last(own_server):
    server, anna = own_server, own_server.people[0]
    with anna.imap(), anna.imap(), Smtp(server.ports["smtp"]):

        def seen():
            _, system = ask(server, "GET", "/api/v1/metrics/system")
            _, application = ask(server, "GET", "/api/v1/metrics/application")
            return system["active_connections"] >= 3 and application["active_sessions"] == 2 and system

        system = until(seen)
        assert 0 <= system["cpu_usage"] <= 100
        assert 0 < system["memory_usage"] < system["memory_total"]
        idle = http.client.HTTPConnection("127.0.0.1", server.ports["http"], timeout=60)
        idle.request("GET", "/ready")
        idle.getresponse().read()
        until(lambda: figures(server)["gauges"]["http.open"] == 1)
        idle.close()
    until(lambda: ask(server, "GET", "/api/v1/metrics/application")[1]["active_sessions"] == 0)
    until(lambda: figures(server)["gauges"]["http.open"] == 0)
    until(lambda: ask(server, "GET", "/api/v1/metrics/system")[1]["active_connections"] == 1)  # the one that asks


def test_a_body_that_is_too_large_and_a_bad_request_are_counted(own_server):
    server = own_server
    before = settled(server)
    for head in (
        b"POST /admin/login/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: \x0b\r\nConnection: close\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ):
        connection = http.client.HTTPConnection("127.0.0.1", server.ports["http"], timeout=60)
        connection.connect()
        connection.sock.sendall(head)
        assert connection.sock.recv(4096).startswith(b"HTTP/1.1 4")
        connection.close()
    after = settled(server)
    assert requests(moved(before, after)) == {"http.requests.POST.413": 1, "http.requests.GET.400": 1}
    assert moved(before, after)["http.malformed"] == 1
    assert sum(after["timings"]["http.seconds"][:-1]) == sum(requests(after["counters"]).values())


@pytest.mark.parametrize("killed", ["web", "mail"])
def test_figures_survive_a_process_that_is_killed(own_server, killed):
    """What was counted in its last second may be lost with it; nothing that the supervisor had heard is."""
    server, anna = own_server, own_server.people[0]
    assert ask(server, "GET", "/ready")[0] == 200
    deliver(server, anna, CONTENT)
    before = settled(server)
    os.kill(server.pid(killed), signal.SIGKILL)
    until(lambda: figures(server)["processes"] and server.control("status")["state"] != "running")
    until(lambda: server.control("status")["state"] == "running")
    server.wait()
    assert ask(server, "GET", "/ready")[0] == 200
    deliver(server, anna, CONTENT)
    after = settled(server)
    lost = {name: count for name, count in before["counters"].items() if after["counters"].get(name, 0) < count}
    assert lost == {}
    assert after["counters"]["smtp.accepted.received"] == before["counters"]["smtp.accepted.received"] + 1
    assert after["windows"]["300"]["counters"]["smtp.accepted.received"] > 0
    status, application = ask(server, "GET", "/api/v1/metrics/application")
    assert status == 200
    assert application["total_requests"] == sum(requests(after["counters"]).values())
    restarts = {process["name"]: process["restarts"] for process in after["processes"]}
    assert restarts[killed] >= 1


def test_a_process_that_is_replaced_in_order_hands_over_everything(own_server):
    server = own_server
    before, pid = settled(server), server.pid("web")
    for _ in range(5):
        assert ask(server, "GET", "/api/v1/domains")[0] == 200
    server.control("restart", process="web")
    until(lambda: server.pid("web") not in {pid, None} and server.control("status")["state"] == "running")
    after = settled(server)
    assert requests(moved(before, after)) == {"http.requests.GET.200": 5}
    assert after["windows"]["300"]["counters"]["http.requests.GET.200"] >= 5


def test_custom_metrics_survive_a_restart_of_everything(own_server):
    server = own_server
    body = {"name": "survivor", "type": "counter", "value": 5, "labels": {"a": "b"}}
    assert ask(server, "POST", CUSTOM, body)[0] == 201
    server.kill()
    server.start()
    status, shown = ask(server, "GET", f"{CUSTOM}/survivor")
    assert (status, shown["series"][0]["value"]) == (200, 5)
    assert ask(server, "POST", CUSTOM, body)[1]["value"] == 10
    assert 'survivor{a="b"} 10\n' in ask(server, "GET", "/metrics", key=False)[1]
    assert ask(server, "DELETE", f"{CUSTOM}/survivor")[0] == 204
    assert "survivor" not in ask(server, "GET", "/metrics", key=False)[1]
