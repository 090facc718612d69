"""Probes of what the server does: its listeners, its queue, its worker, its clock, its audit log."""

import socket
import ssl
import time
from collections.abc import Callable
from datetime import datetime

from django.db import models
from django.utils import timezone

from a3mailer_site.env import host_and_port
from mailqueue.models import QueueEntry
from monitoring import server
from monitoring.probes import Finding, Status, by_limits, milliseconds_since
from security.models import AuditEntry

# Seconds that a listener has for handshake and greeting together.
GREETING_PATIENCE = 1.5
GREETINGS = {"smtp": b"220", "imap": b"* OK", "pop3": b"+OK"}
# The listeners of each protocol, and those among them that begin with TLS.
LISTENERS = {"smtp": ("smtp", "submission", "submissions"), "imap": ("imap", "imaps"), "pop3": ("pop3", "pop3s")}
IMPLICIT_TLS = {"submissions", "imaps", "pop3s"}

# Seconds from which it is degraded, and unhealthy: mail that is due and nobody takes; figures that come each second;
# audit entries that are sealed each second.
OVERDUE = (300, 1800)
SILENCE = (5, 15)
UNSEALED = (30, 300)
# Seconds that the clock may have been moved since the start, more than slewing would.
CLOCK_JUMP = 5.0
# Beyond this many nobody wants the exact number, and counting would take long.
_MOST = 10_000
# The clock of the day and the one that only goes forward, when this process began.
_BEGAN = time.time() - time.monotonic()


def listens(protocol: str) -> bool:
    """Say whether this protocol is switched on."""
    return any(server.wanted(name) for name in LISTENERS[protocol])


def protocol_probe(protocol: str) -> Callable[[], Finding]:
    """Return a probe of all listeners of a protocol: each must greet, the TLS ones after a handshake."""

    def probe() -> Finding:
        bound = server.listening(server.status())
        times: dict[str, str | None] = {}
        bad = False
        for name in LISTENERS[protocol]:
            if not server.wanted(name):
                continue
            started = time.monotonic()
            fine = name in bound and greets(protocol, bound[name], tls=name in IMPLICIT_TLS)
            times[name] = f"{milliseconds_since(started)}ms" if fine else None
            bad = bad or not fine
        return Finding("unhealthy" if bad else "healthy", details=times)

    return probe


def greets(protocol: str, address: str, *, tls: bool = False) -> bool:
    """Say whether a listener greets over loopback as its protocol demands."""
    host, port = host_and_port(address, "listener")
    loopback = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - read, not bound
    deadline = time.monotonic() + GREETING_PATIENCE
    try:
        with socket.create_connection((loopback, port), GREETING_PATIENCE) as link:
            spoken = _handshake(link) if tls else link
            expected = GREETINGS[protocol]
            heard = b""
            while len(heard) < len(expected):
                spoken.settimeout(max(0.01, deadline - time.monotonic()))
                data = spoken.recv(64)
                if not data:
                    break
                heard += data
            return heard.startswith(expected)
    except OSError:  # and with it ssl.SSLError
        return False


def _handshake(link: socket.socket) -> ssl.SSLSocket:
    """Begin TLS; whether the certificate is valid is another probe's question."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(link)


def queue() -> Finding:
    """Look at what waits, and at what is due and nobody takes."""
    now = timezone.now()
    oldest = QueueEntry.objects.due(now).order_by("next_attempt_at").values_list("next_attempt_at", flat=True).first()
    age = 0.0 if oldest is None else (now - oldest).total_seconds()
    depth = _count(QueueEntry.objects.waiting())
    leased = _count(QueueEntry.objects.waiting().filter(lease_until__gt=now))
    details = {
        "depth": f"{depth}+" if depth == _MOST else str(depth),
        "in_flight": str(leased),
        "oldest_due": None if oldest is None else f"{age:.0f}s",
    }
    # What is overdue while the worker has its hands full is a long queue; while it has nothing, it does not take mail.
    stuck = age > OVERDUE[0] and not leased
    status: Status = "unhealthy" if stuck and age > OVERDUE[1] else by_limits(age, (OVERDUE[0], float("inf")))
    return Finding(status, 0, details, {"depth": depth, "oldest_due_seconds": age, "in_flight": leased})


def _count(entries: "models.QuerySet[QueueEntry]") -> int:
    return entries.order_by()[:_MOST].count()


def worker() -> Finding:
    """See that the worker is there, and that its figures come."""
    workers = [one for one in server.status()["processes"] if one["name"].startswith("worker")]
    if not workers:
        return Finding("unhealthy")
    one = workers[0]
    heard = one.get("heartbeat")
    details = {"state": one["state"], "heartbeat": None if heard is None else f"{heard:.1f}s ago"}
    if one["state"] != "ready" or heard is None:
        return Finding("degraded" if one["state"] in {"starting", "restarting"} else "unhealthy", details=details)
    return Finding(by_limits(heard, SILENCE), details=details)


def clock() -> Finding:
    """See whether somebody has moved the clock since this process began."""
    jump = time.time() - time.monotonic() - _BEGAN
    built = datetime.fromisoformat(server.build_date())
    too_early = timezone.now() < built
    status: Status = "unhealthy" if too_early else "degraded" if abs(jump) > CLOCK_JUMP else "healthy"
    return Finding(status, details={"jump": f"{jump * 1000:.0f}ms"}, numbers={"jump_seconds": jump})


def audit() -> Finding:
    """See how long audit entries have waited for their seal."""
    oldest = AuditEntry.objects.filter(seq__isnull=True).order_by("id").values_list("at", flat=True).first()
    lag = 0.0 if oldest is None else max(0.0, (timezone.now() - oldest).total_seconds())
    return Finding(by_limits(lag, UNSEALED), details={"sealer_lag": f"{lag:.0f}s"}, numbers={"lag_seconds": lag})
