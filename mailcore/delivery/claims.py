"""Who has which part of the queue in hand: leases on entries, taken, renewed and given back.

A lease lasts for seconds and is renewed while its owner lives; when the owner is killed it runs out by itself, and a
successor on the same machine takes it back at once. Everything here uses the database and belongs in its threads.
"""

import os
import socket
from collections import defaultdict
from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from pathlib import Path

from django.db import connection, transaction
from django.db.models import Q

from a3mailer_site.env import current
from accounts.addresses import is_local_domain
from mailcore.delivery.backoff import longest_pause
from mailcore.delivery.jobs import Entry, Job, Mail, Nexthop
from mailcore.smtp.client import Credentials, Tls
from mailqueue.models import QueueEntry, Route
from mailqueue.standing import lock, reclassify

LEASE = timedelta(seconds=30)
# RFC 5321 section 4.5.3.1.8: every server takes 100 recipients in a transaction.
RECIPIENTS_AT_ONCE = 100
_AVOID_LIMIT = 500
_IDS_AT_ONCE = 500


def owner_name() -> str:
    """Return how this process signs its leases: machine, process id, and when the process began."""
    return f"{_machine()}/{os.getpid()}/{_began(os.getpid())}"


def _machine() -> str:
    return socket.gethostname()[:40]


def _began(pid: int) -> str:
    """Return when a process began, in ticks since boot; empty when there is none. Process ids are used again."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
    # Field 22 of proc(5); the second one is the name, which may contain anything.
    return stat.rpartition(")")[2].split()[19]


def any_due(now: datetime, avoid: Collection[str] = ()) -> bool:
    """Say whether there is anything to claim. Cheap, and takes no lock."""
    return QueueEntry.objects.due(now).exclude(destination__in=list(avoid)[:_AVOID_LIMIT]).exists()


def claim(owner: str, now: datetime, limit: int, avoid: Collection[str] = ()) -> list[Job]:
    """Lease up to ``limit`` due entries, those first that have waited longest; returns them grouped into jobs.

    ``avoid`` names destinations of which there is enough in hand.
    """
    due = QueueEntry.objects.due(now).exclude(destination__in=list(avoid)[:_AVOID_LIMIT]).order_by("next_attempt_at")
    with transaction.atomic():
        if connection.features.has_select_for_update_skip_locked:
            due = due.select_for_update(skip_locked=True)
        ids = list(due.values_list("id", flat=True)[:limit])
        QueueEntry.objects.filter(id__in=ids).update(lease_owner=owner, lease_until=now + LEASE)
    return _jobs(ids)


def renew(owner: str, entries: Collection[int], now: datetime) -> None:
    """Go on holding these entries. What is not renewed is anybody's after ``LEASE``."""
    for part in _parts(entries):
        QueueEntry.objects.filter(id__in=part, lease_owner=owner).update(lease_until=now + LEASE)


def give_back(owner: str, entries: Collection[int]) -> None:
    """Let go of these entries; they are due at once."""
    for part in _parts(entries):
        QueueEntry.objects.filter(id__in=part, lease_owner=owner).update(lease_owner="", lease_until=None)


def set_aside(entries: Collection[int], reason: str) -> None:
    """Hold entries whose outcome cannot be written down: an administrator has to look, and nothing is sent twice."""
    for part in _parts(entries):
        rows = QueueEntry.objects.filter(id__in=part)
        with transaction.atomic():
            messages = set(rows.values_list("message_id", flat=True))
            lock(messages)
            free = {"last_reply": reason, "lease_owner": "", "lease_until": None}
            # What is in the trash stays there, or it would go with it; when it is put back, it is held.
            rows.filter(state=QueueEntry.State.PURGED).update(purged_state=QueueEntry.State.HELD, **free)
            rows.exclude(state=QueueEntry.State.PURGED).update(state=QueueEntry.State.HELD, **free)
            reclassify(messages)


def _parts(ids: Collection[int]) -> Iterable[list[int]]:
    ordered = sorted(ids)
    return (ordered[start : start + _IDS_AT_ONCE] for start in range(0, len(ordered), _IDS_AT_ONCE))


def take_back_from_the_dead() -> int:
    """Free what processes of this machine held that are gone; returns how many entries that are."""
    prefix = f"{_machine()}/"
    owners = set(QueueEntry.objects.exclude(lease_owner="").values_list("lease_owner", flat=True).distinct())
    dead = [owner for owner in owners if owner.startswith(prefix) and not _lives(owner)]
    return QueueEntry.objects.filter(lease_owner__in=dead).update(lease_owner="", lease_until=None)


def _lives(owner: str) -> bool:
    _, pid, began = owner.rsplit("/", 2)
    return pid.isdigit() and _began(int(pid)) == began


def mend(now: datetime) -> int:
    """Put right what a wrong clock has left: nothing is due, or leased, later than it could be. Returns how many."""
    waiting = QueueEntry.objects.waiting()
    latest = now + longest_pause(current().retry_longest)
    moved = waiting.filter(next_attempt_at__gt=latest + timedelta(minutes=1)).update(next_attempt_at=latest)
    freed = waiting.filter(lease_until__gt=now + 10 * LEASE).update(lease_owner="", lease_until=None)
    return moved + freed


def _jobs(ids: list[int]) -> list[Job]:
    """Group entries by message and nexthop, in the order of ``ids``."""
    rows = {row.id: row for row in QueueEntry.objects.filter(id__in=ids).select_related("message")}
    nexthops = _nexthops({row.destination for row in rows.values()})
    groups: dict[tuple[int, Nexthop], list[QueueEntry]] = defaultdict(list)
    for row in (rows[number] for number in ids if number in rows):
        groups[row.message_id, nexthops[row.destination]].append(row)
    return [
        Job(_mail(group[0]), tuple(_entry(row) for row in group[start : start + RECIPIENTS_AT_ONCE]), nexthop)
        for (_message, nexthop), group in groups.items()
        for start in range(0, len(group), RECIPIENTS_AT_ONCE)
    ]


def _nexthops(destinations: Collection[str]) -> dict[str, Nexthop]:
    """Say where each destination's mail goes: a route of its own, here, the smart host, its mail hosts."""
    routes = {
        route.domain: route for route in Route.objects.filter(Q(domain__in=destinations) | Q(domain="*"), enabled=True)
    }
    smart_host = _by_route(routes.pop("*")) if "*" in routes else None
    found: dict[str, Nexthop] = {}
    for destination in destinations:
        if is_local_domain(destination):
            found[destination] = Nexthop(local=True)
        elif destination in routes:
            found[destination] = _by_route(routes[destination])
        else:
            found[destination] = smart_host or Nexthop(domain=destination, port=current().remote_smtp_port)
    return found


def _by_route(route: Route) -> Nexthop:
    login = Credentials(route.username, route.password) if route.username else None
    return Nexthop(host=route.host, port=route.port, tls=Tls(route.tls), login=login)


def _mail(row: QueueEntry) -> Mail:
    message = row.message
    return Mail(
        message.id,
        message.body_id,
        message.sender,
        message.size,
        message.received_at,
        message.expires_at,
        message.ret,
        message.envid,
        message.smtputf8,
        message.eight_bit,
        message.requiretls,
    )


def _entry(row: QueueEntry) -> Entry:
    return Entry(
        row.id,
        row.trace_id,
        row.recipient,
        row.destination,
        row.orcpt,
        frozenset(filter(None, row.notify.split(","))),
        row.attempts,
        row.delay_notified_at is not None,
        row.crashes,
    )
