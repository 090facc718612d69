"""Every part of the server is probed by trying it; who hangs holds nobody up; strangers learn nothing."""

import datetime as dt
import socket
import sqlite3
import threading
import time
from contextlib import closing

import pytest
from django.conf import settings
from django.db import Error
from django.utils import timezone
from rest_framework.test import APIClient

from a3mailer_site import env
from a3mailer_site.control import ServerAwayError
from accounts.models import ApiKey
from fakedns import FakeDns
from mailcore import probes as mail_probes
from mailcore import tls
from mailqueue.models import Body, QueuedMessage, QueueEntry
from monitoring import health, probes, server, service_probes
from monitoring.probes import Finding
from security.models import AuditEntry

pytestmark = pytest.mark.django_db

DETAILED, CHECK = "/api/v1/health/detailed", "/api/v1/health/check/"
ALL = {
    "database", "cache", "disk_space", "memory", "smtp", "imap", "pop3", "queue", "worker", "clock", "audit", "dns",
    "tls",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _nothing_remembered(monkeypatch):
    health.forget()
    monkeypatch.setattr(health, "AGE", -1.0)
    yield
    health.forget()


@pytest.fixture
def settings_of(monkeypatch):
    def change(**fields):
        from dataclasses import replace

        monkeypatch.setattr(env, "_current", replace(env.current(), **fields))

    return change


@pytest.fixture
def away(monkeypatch):
    def call(command, timeout):
        raise ServerAwayError("nobody")

    monkeypatch.setattr(server, "call", call)


@pytest.fixture
def api():
    def make(*permissions, **defaults):
        client = APIClient(**defaults)
        if permissions:
            client.credentials(HTTP_AUTHORIZATION=f"Bearer {ApiKey.issue('x', list(permissions))[1]}")
        return client

    return make


@pytest.fixture
def all_fine(monkeypatch):
    """Every probe finds that all is well."""
    fine = dict.fromkeys(ALL, lambda: Finding("healthy", details={"a": "1"}))
    monkeypatch.setattr(health, "components", lambda: fine)
    monkeypatch.setattr(server, "call", lambda command, timeout: {"uptime": 5, "state": "running", "listeners": []})
    return fine


class TestAnswers:
    """What the two operations answer, and to whom."""

    @pytest.mark.parametrize(
        ("permissions", "read", "run"), [((), 401, 401), (("read",), 200, 403), (("write",), 200, 200)]
    )
    def test_who_may(self, all_fine, api, permissions, read, run):
        assert api(*permissions).get(DETAILED).status_code == read
        assert api(*permissions).post(f"{CHECK}dns").status_code == run

    def test_a_key_for_some_domains_is_a_stranger_here(self, all_fine, monkeypatch):
        from monitoring import server_views

        monkeypatch.setattr(server_views, "granted", lambda request: frozenset({"read"}))
        monkeypatch.setattr(server_views, "domains_of", lambda request: frozenset({"example.com"}))
        assert set(APIClient(REMOTE_ADDR="192.0.2.1").get("/health").json()) == {"status", "timestamp"}

    def test_who_cannot_be_known_because_the_database_is_away_is_a_stranger(self, all_fine, monkeypatch):
        from monitoring import server_views

        def gone(request):
            raise Error("gone")

        monkeypatch.setattr(server_views, "granted", gone)
        client = APIClient(REMOTE_ADDR="192.0.2.1", HTTP_AUTHORIZATION="Bearer sk_live_x")
        assert set(client.get("/health").json()) == {"status", "timestamp"}
        assert set(client.get("/ready").json()) == {"ready", "timestamp", "services"}

    def test_it_has_the_shape_of_health_and_more_in_it(self, all_fine, api):
        body = api("read").get(DETAILED).json()
        assert set(body) == {"status", "timestamp", "uptime", "version", "checks"}
        assert set(body["checks"]) == ALL
        assert (body["status"], body["uptime"]) == ("healthy", 5)

    def test_the_worst_check_is_the_whole(self, all_fine, api):
        all_fine["queue"] = lambda: Finding("degraded")
        assert api("read").get(DETAILED).json()["status"] == "degraded"
        all_fine["tls"] = lambda: Finding("unhealthy")
        answers = [api("read").get(DETAILED) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 503]
        assert answers[-1].json()["status"] == "unhealthy"

    def test_bad_runs_count_only_when_time_has_passed(self, all_fine, api, monkeypatch):
        all_fine["tls"] = lambda: Finding("unhealthy")
        for _ in range(10):
            api("write").post(f"{CHECK}tls")
            health.forget()
        health._bad_runs.clear()
        monkeypatch.setattr(health, "AGE", 60.0)
        for _ in range(10):
            assert health.check("tls")["status"] == "unhealthy"
        assert health._bad_runs["tls"][0] == 1

    def test_a_check_says_what_it_found_now(self, all_fine, api):
        all_fine["dns"] = lambda: Finding("unhealthy", details={"192.0.2.53:53": None})
        body = api("write").post(f"{CHECK}dns").json()
        assert set(body) == {"component", "status", "response_time", "details", "timestamp"}
        assert (body["component"], body["status"], body["details"]) == ("dns", "unhealthy", {"192.0.2.53:53": None})

    @pytest.mark.parametrize("name", ["spam_filter", "DNS", "dns%00", "..", "%F0%9F%92%A9", "__class__", "x" * 3000])
    def test_what_there_is_not_is_404(self, api, away, name):
        answer = api("write").post(f"{CHECK}{name}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "NOT_FOUND")

    def test_what_is_switched_off_is_not_there(self, settings_of):
        settings_of(pop3_listen="off", pop3s_listen="off", smtp_listen="off")
        assert set(health.components()) == ALL - {"pop3"}  # submission is SMTP, too


@pytest.mark.django_db(transaction=True)
class TestTime:
    """Who hangs."""

    def test_one_that_hangs_is_unhealthy_and_does_not_hold_up_the_others(self, all_fine, api, monkeypatch):
        monkeypatch.setattr(health, "PATIENCE", 0.3)
        hanging = threading.Event()
        begun = []

        def hang():
            begun.append(1)
            hanging.wait(30)
            return Finding("healthy")

        all_fine["dns"] = hang
        client = api("read")
        try:
            for _ in range(3):
                started = time.monotonic()
                body = client.get(DETAILED).json()
                assert time.monotonic() - started < 5 * 0.3
            assert body["checks"]["dns"]["status"] == "unhealthy"
            assert body["checks"]["dns"]["details"] == {"problem": "no answer within 0.3s"}
            assert {body["checks"][name]["status"] for name in ALL - {"dns"}} == {"healthy"}
            assert len(begun) == 1, "what hangs is not begun again and again"
        finally:
            hanging.set()

    @pytest.mark.sqlite
    def test_a_locked_database_is_unhealthy_within_the_patience(self, api, monkeypatch):
        monkeypatch.setattr(server, "call", lambda command, timeout: {"uptime": 5, "state": "running", "listeners": []})
        monkeypatch.setattr(health, "PATIENCE", 0.5)
        assert api().get("/health").json()["checks"]["database"]["status"] == "healthy"
        with closing(sqlite3.connect(settings.DATABASES["default"]["NAME"], isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            for status in ("degraded", "degraded", "unhealthy"):
                started = time.monotonic()
                body = api().get("/health").json()
                assert body["checks"]["database"]["status"] == status
                assert time.monotonic() - started < 5 * 1.0
            other.execute("ROLLBACK")
        end = time.monotonic() + 30
        while (body := api().get("/health").json())["checks"]["database"]["status"] != "healthy":
            assert time.monotonic() < end


def greeter(text, tls_context=None):
    """A listener that greets, until it is closed."""
    opened = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                link, _ = opened.accept()
            except OSError:
                return
            try:
                with tls_context.wrap_socket(link, server_side=True) if tls_context else link as inside:
                    inside.sendall(text)
            except OSError:
                continue

    threading.Thread(target=serve, daemon=True).start()
    return opened


@pytest.fixture
def tls_context(tmp_path):
    import ssl
    from dataclasses import replace

    own = replace(env.current(), data_dir=tmp_path, tls_cert="", tls_key="")
    tls.ensure_pair(own)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*map(str, tls.certificate_paths(own)))
    return context


class TestListeners:
    """Greetings, with and without TLS."""

    @pytest.fixture
    def listening(self, monkeypatch):
        opened = []

        def make(**listeners):
            opened.extend(listeners.values())
            answer = [
                {"name": name, "address": f"127.0.0.1:{one.getsockname()[1]}", "served": True}
                for name, one in listeners.items()
            ]
            monkeypatch.setattr(server, "call", lambda command, timeout: {"listeners": answer})

        yield make
        for one in opened:
            one.close()

    def test_all_listeners_of_a_protocol_greet_the_tls_ones_after_a_handshake(self, listening, tls_context):
        listening(imap=greeter(b"* OK ready\r\n"), imaps=greeter(b"* OK ready\r\n", tls_context))
        found = service_probes.protocol_probe("imap")()
        assert found.status == "healthy"
        assert set(found.details) == {"imap", "imaps"}
        assert all(text.endswith("ms") for text in found.details.values())

    @pytest.mark.parametrize("imaps", ["plain", "wrong", "away"])
    def test_one_that_does_not_is_unhealthy_and_named(self, listening, tls_context, imaps):
        bad = {"plain": greeter(b"* OK ready\r\n"), "wrong": greeter(b"220 hello\r\n", tls_context)}
        listening(imap=greeter(b"* OK ready\r\n"), **({"imaps": bad[imaps]} if imaps in bad else {}))
        found = service_probes.protocol_probe("imap")()
        assert found.status == "unhealthy"
        assert found.details["imap"] is not None
        assert found.details["imaps"] is None

    def test_without_a_supervisor_nobody_knows_where_they_are(self, away):
        assert probes.timed(service_probes.protocol_probe("imap")).status == "unhealthy"


class TestQueue:
    """What waits, and for how long."""

    def entry(self, due, lease=None):
        body = Body.objects.create(size=3, data=b"abc")
        message = QueuedMessage.objects.create(
            id=body.id, body=body, sender="b@example.com", size=3, expires_at=timezone.now() + dt.timedelta(days=5)
        )
        return QueueEntry.objects.create(
            message=message, trace_id=1, recipient="x@example.org", destination="example.org",
            next_attempt_at=timezone.now() + dt.timedelta(seconds=due),
            lease_until=lease and timezone.now() + dt.timedelta(seconds=lease),
        )  # fmt: skip

    @pytest.mark.parametrize(
        ("due", "lease", "status"),
        [
            (60, None, "healthy"),
            (-10, None, "healthy"),
            (-400, None, "degraded"),
            (-4000, None, "unhealthy"),
            (-4000, 60, "healthy"),  # somebody has it in hand
            (-4000, -60, "unhealthy"),  # had it in hand
        ],
    )
    def test_what_is_overdue_and_nobody_takes(self, due, lease, status):
        self.entry(due, lease)
        found = service_probes.queue()
        assert found.status == status
        assert found.details["depth"] == "1"

    def test_a_long_queue_that_is_worked_off_is_not_broken(self):
        self.entry(-4000)
        self.entry(-4000, 60)
        found = service_probes.queue()
        assert found.status == "degraded"
        assert found.details == {"depth": "2", "in_flight": "1", "oldest_due": "4000s"}

    def test_an_empty_queue_has_no_oldest(self):
        assert service_probes.queue().details == {"depth": "0", "in_flight": "0", "oldest_due": None}


@pytest.mark.parametrize(
    ("state", "heartbeat", "status"),
    [
        ("ready", 0.4, "healthy"),
        ("ready", 6, "degraded"),
        ("ready", 16, "unhealthy"),
        ("ready", None, "unhealthy"),
        ("starting", None, "degraded"),
        ("down", None, "unhealthy"),
    ],
)
def test_the_worker_is_well_while_its_figures_come(monkeypatch, state, heartbeat, status):
    processes = [{"name": "mail"}, {"name": "worker", "state": state, "heartbeat": heartbeat}]
    monkeypatch.setattr(server, "call", lambda command, timeout: {"processes": processes})
    assert service_probes.worker().status == status


def test_a_clock_that_was_moved_is_told(monkeypatch):
    assert service_probes.clock().status == "healthy"
    monkeypatch.setattr(service_probes, "_BEGAN", service_probes._BEGAN - 3600)
    found = service_probes.clock()
    assert found.status == "degraded"
    assert round(found.numbers["jump_seconds"]) == 3600
    monkeypatch.setattr(server, "build_date", lambda: "2999-01-01T00:00:00Z")
    assert service_probes.clock().status == "unhealthy"


@pytest.mark.parametrize(("age", "status"), [(5, "healthy"), (60, "degraded"), (600, "unhealthy")])
def test_audit_entries_that_wait_for_their_seal_are_told(age, status):
    assert service_probes.audit().details == {"sealer_lag": "0s"}
    AuditEntry.objects.create(event_type="system", action="x", at=timezone.now() - dt.timedelta(seconds=age))
    assert service_probes.audit().status == status
    AuditEntry.objects.update(seq=1)
    assert service_probes.audit().status == "healthy"


class TestDns:
    """Real questions over a socket."""

    def test_a_server_that_answers_is_well(self, settings_of):
        with FakeDns() as one:
            settings_of(dns_servers=one.address)
            found = mail_probes.dns_servers()
        assert found.status == "healthy"
        assert list(found.details) == [one.address]
        assert found.details[one.address].endswith("ms")

    def test_of_two_one_may_be_silent(self, settings_of, monkeypatch):
        monkeypatch.setattr(mail_probes, "DNS_PATIENCE", 0.2)
        with FakeDns() as one, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
            silent.bind(("127.0.0.1", 0))
            other = f"127.0.0.1:{silent.getsockname()[1]}"
            settings_of(dns_servers=f"{one.address},{other}")
            found = mail_probes.dns_servers()
            assert (found.status, found.details[other]) == ("degraded", None)
            settings_of(dns_servers=other)
            assert mail_probes.dns_servers().status == "unhealthy"


@pytest.mark.parametrize(("days", "status"), [(90, "healthy"), (13, "degraded"), (-1, "unhealthy")])
def test_a_certificate_is_watched_as_it_ends(settings_of, tmp_path, monkeypatch, days, status):
    monkeypatch.setattr(tls, "_SELF_SIGNED_DAYS", days + 0.5 if days > 0 else days)
    if days < 0:  # nothing may end before it begins
        monkeypatch.setattr(tls, "_self_signed", _expired)
    settings_of(data_dir=tmp_path, tls_cert="", tls_key="", hostname="mail.example.com")
    tls.ensure_pair(env.current())
    found = mail_probes.certificate()
    assert found.status == status
    assert found.details["issuer"] == "self-signed"
    assert int(found.details["days_left"]) == days


def _expired(host_name, private):
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509.oid import NameOID

    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host_name)])
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=30))
        .not_valid_after(now - dt.timedelta(days=1, hours=2))
        .sign(private, hashes.SHA256())
    )


def test_a_log_that_is_not_worked_off_is_told(monkeypatch, away):
    monkeypatch.setattr(probes, "wal_bytes", lambda: 300 * 2**20)
    found = probes.database()
    assert (found.status, found.details["wal_size"]) == ("degraded", "300MB")
    assert APIClient().get("/ready").json()["details"] == {"wal_size": "300MB"}


def test_the_caches_figures_are_those_of_all_processes_or_of_this_one(monkeypatch, away):
    assert set(probes.cache_works().details) == {"hit_rate", "memory_usage"}
    figures = {
        "uptime": 9.0,
        "counters": {
            "cache.user.hits": 80,
            "cache.user.misses": 10,
            "cache.domain.hits": 5,
            "cache.settings.misses": 5,
        },
        "gauges": {"cache.user.bytes": 2**20, "cache.domain.bytes": 2**20},
    }
    monkeypatch.setattr(server, "call", lambda command, timeout: figures)
    assert probes.cache_works().details == {"hit_rate": "85%", "memory_usage": "2MB"}
