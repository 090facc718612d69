"""Health, readiness and server facts: true probes, nothing for strangers, nothing invented."""

import shutil
import socket
import threading
from types import SimpleNamespace

import pytest
from django.db import OperationalError
from rest_framework.test import APIClient

from a3mailer_site import env
from a3mailer_site.control import ServerAwayError
from monitoring import health, probes, server

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _nothing_remembered(monkeypatch):
    health.forget()
    monkeypatch.setattr(health, "AGE", -1.0)


@pytest.fixture
def away(monkeypatch):
    def call(command, timeout):
        raise ServerAwayError("nobody")

    monkeypatch.setattr(server, "call", call)


def listener(greeting):
    """A listener that greets once for each connection, until the test ends."""
    opened = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                connection, _ = opened.accept()
            except OSError:
                return
            with connection:
                for piece in greeting:
                    connection.sendall(piece)

    threading.Thread(target=serve, daemon=True).start()
    return opened


@pytest.fixture
def running(monkeypatch):
    """A server whose listeners greet as told; returns the status to change."""
    opened = {
        "smtp": listener([b"2", b"20 mail.example.com ESMTP\r\n"]),
        "imap": listener([b"* OK ready\r\n"]),
        "pop3": listener([b"+OK ready\r\n"]),
    }
    answer = {
        "state": "running",
        "uptime": 12.9,
        "listeners": [
            {"name": name, "address": f"0.0.0.0:{one.getsockname()[1]}", "served": True} for name, one in opened.items()
        ],
    }
    monkeypatch.setattr(server, "call", lambda command, timeout: answer)
    yield answer
    for one in opened.values():
        one.close()


def test_health_has_the_references_fields(running):
    body = APIClient().get("/health").json()
    assert set(body) == {"status", "timestamp", "uptime", "version", "checks"}
    assert set(body["checks"]) == {"database", "cache", "disk_space", "memory"}
    for check in body["checks"].values():
        assert set(check) == {"status", "response_time", "details"}
        assert isinstance(check["response_time"], int)
    assert set(body["checks"]["database"]["details"]) >= {"connection_pool", "query_time"}
    assert set(body["checks"]["cache"]["details"]) == {"hit_rate", "memory_usage"}
    assert body["checks"]["disk_space"]["details"]["usage_percent"].endswith("%")
    assert set(body["checks"]["memory"]["details"]) == {"usage_percent", "available_memory"}
    assert body["uptime"] == 12


def test_strangers_learn_only_whether_it_is_well(running, client_of):
    assert set(client_of("192.0.2.1").get("/health").json()) == {"status", "timestamp"}
    assert set(client_of("192.0.2.1", "read").get("/health", secure=True).json()) > {"checks"}


@pytest.fixture
def client_of():
    def make(address, *permissions):
        from accounts.models import ApiKey

        client = APIClient(REMOTE_ADDR=address)
        if permissions:
            client.credentials(HTTP_AUTHORIZATION=f"Bearer {ApiKey.issue('x', list(permissions))[1]}")
        return client

    return make


def test_without_a_supervisor_nobody_knows_the_uptime(away):
    assert APIClient().get("/health").json()["uptime"] is None


@pytest.mark.parametrize(("used", "status"), [(80, "healthy"), (81, "degraded"), (90, "degraded"), (91, "unhealthy")])
def test_a_disk_that_fills_up_is_told(monkeypatch, used, status):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(total=100, used=used, free=100 - used))
    found = probes.disk_space()
    assert found.status == status
    assert found.details == {"usage_percent": f"{used}%", "available_space": f"{100 - used}B"}


def test_it_is_unhealthy_only_after_three_bad_runs_and_well_after_one_good_one(running, monkeypatch):
    def gone():
        raise OperationalError("gone")

    monkeypatch.setitem(probes.PROBES, "database", gone)
    answers = [APIClient().get("/health") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 503, 503]
    assert [answer.json()["status"] for answer in answers] == ["degraded", "degraded", "unhealthy", "unhealthy"]
    assert "gone" not in answers[-1].content.decode()
    monkeypatch.setitem(probes.PROBES, "database", probes.database)
    assert APIClient().get("/health").status_code == 200


def test_answers_are_given_again_for_a_moment(running, monkeypatch):
    monkeypatch.setattr(health, "AGE", 60.0)
    asked = []
    monkeypatch.setitem(probes.PROBES, "memory", lambda: asked.append(1) or probes.Finding("healthy"))
    for _ in range(3):
        APIClient().get("/health")
    assert len(asked) == 1


def test_ready_when_everything_that_is_switched_on_answers(running):
    answer = APIClient().get("/ready")
    assert answer.status_code == 200
    assert set(answer.json()) >= {"ready", "timestamp", "services"}
    assert answer.json()["services"] == {"database": True, "cache": True, "smtp": True, "imap": True, "pop3": True}


def test_not_ready_while_a_listener_greets_wrongly_or_not_at_all(running):
    wrong = listener([b"421 go away\r\n"])
    running["listeners"][0]["address"] = f"127.0.0.1:{wrong.getsockname()[1]}"
    running["listeners"][1]["served"] = False
    answer = APIClient().get("/ready")
    assert answer.status_code == 503
    assert answer.json()["ready"] is False
    assert answer.json()["services"] == {"database": True, "cache": True, "smtp": False, "imap": False, "pop3": True}
    wrong.close()


def test_a_service_that_is_switched_off_is_false_and_does_not_count(running, monkeypatch):
    import dataclasses

    monkeypatch.setattr(env, "_current", dataclasses.replace(env.current(), pop3_listen="off"))
    running["listeners"].pop()
    answer = APIClient().get("/ready")
    assert answer.status_code == 200
    assert answer.json()["services"]["pop3"] is False


def test_not_ready_while_draining(running):
    running["state"] = "draining"
    answer = APIClient().get("/ready")
    assert (answer.status_code, answer.json()["ready"]) == (503, False)


def test_not_ready_without_a_server_or_with_tables_missing(away, monkeypatch):
    assert APIClient().get("/ready").status_code == 503
    health._known_to_be_migrated.clear()
    monkeypatch.setattr(health, "migrated", lambda: False)
    assert APIClient().get("/ready").json()["services"]["database"] is False


def test_migrations_that_are_applied_are_found_applied():
    assert probes.migrated()


def test_server_info_is_503_when_nobody_can_say(away, client_of):
    answer = client_of("127.0.0.1", "read").get("/api/v1/server/info")
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "SERVICE_UNAVAILABLE"
    assert answer["Retry-After"]


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0B"), (1536, "2KB"), (512 * 2**20, "512MB"), (25 * 2**30, "25GB"), (2**45, "32TB")]
)
def test_sizes_are_written_as_in_the_reference(size, text):
    assert probes.human(size) == text
