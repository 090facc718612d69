"""Who has which part of the queue in hand: leases on entries, taken, renewed and given back.

A lease lasts for seconds and is renewed while its owner lives; when the owner is killed it runs out by itself, and a
successor on the same machine takes it back at once. Everything here uses the database and belongs in its threads.
"""

import os
import socket
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import Path

from django.db import connection, transaction
from django.db.models import Exists, OuterRef, Q

from a3mailer_site.env import current
from a3mailer_site.ids import first_id_at
from accounts.addresses import is_local_domain
from mailcore.delivery.backoff import longest_pause, pause
from mailcore.delivery.jobs import Entry, Job, Mail, Nexthop
from mailcore.smtp.client import Credentials, Tls
from mailqueue import holds
from mailqueue.models import Parked, QueueDestination, QueueEntry, QueueEntryQuerySet, Route
from mailqueue.standing import lock, reclassify
from mailqueue.turns import moment

LEASE = timedelta(seconds=30)
# RFC 5321 section 4.5.3.1.8: every server takes 100 recipients in a transaction.
RECIPIENTS_AT_ONCE = 100
# Entries in hand for one destination.
IN_HAND_A_DESTINATION = 100
# After so long nobody believes any more that a probe is still under way.
PROBE_PATIENCE = timedelta(minutes=10)
_IDS_AT_ONCE = 500
# Destinations with parked entries that are looked at in one claim.
_READY_AT_ONCE = 50
# How often one claim looks again because it has parked what it found.
_ROUNDS = 5


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


def any_due(now: datetime, in_hand: Mapping[str, int] | None = None) -> bool:
    """Say whether there may be anything to claim. Cheap, and takes no lock."""
    return QueueEntry.objects.due(now).exists() or any(
        failures or (in_hand or {}).get(name, 0) < IN_HAND_A_DESTINATION
        for name, failures in QueueDestination.objects.ready(now).values_list("name", "failures")[:_READY_AT_ONCE]
    )


def claim(
    owner: str, now: datetime, limit: int, in_hand: Mapping[str, int] | None = None, ahead: int | None = None
) -> list[Job]:
    """Lease up to ``limit`` entries that are due, those first whose turn it is; returns them grouped into jobs.

    ``in_hand`` says how many entries of each destination there are in hand. What is due for a destination of which
    there are enough, or that is away or paused, is parked. At most ``ahead`` entries are taken whose turn it is not yet
    (``None``: any number), so that there is always room for those whose it is.
    """
    hand = Counter(in_hand or {})
    jobs = _claim_parked(owner, now, limit - limit // 2, hand)
    left = limit - sum(len(job.entries) for job in jobs)
    ahead = limit if ahead is None else ahead
    put_off: list[int] = []
    for _ in range(_ROUNDS):
        if left <= 0:
            break
        with transaction.atomic():
            found, others = _candidates(now, left, ahead)
            taken, away = _sort_out(found, now, hand)
            _lease(owner, taken, now)
        put_off += away
        jobs += _jobs(taken, now)
        left -= len(taken)
        ahead -= len(others & set(taken))
        if len(taken) == len(found):
            break  # nothing had to be parked, so there is nothing behind it
    _note_waiting(put_off)
    return jobs


def _candidates(now: datetime, limit: int, ahead: int) -> tuple[list[tuple[int, str]], set[int]]:
    """Return ids and destinations of entries whose turn it is, then of others that are due; and the ids of these."""
    due, turn = QueueEntry.objects.due(now), moment(now)
    found = list(_locked(due.filter(turn__lte=turn).order_by("turn")).values_list("id", "destination")[:limit])
    others: list[tuple[int, str]] = []
    if len(found) < limit and ahead > 0:
        early = _locked(due.filter(turn__gt=turn).order_by("next_attempt_at"))
        others = list(early.values_list("id", "destination")[: min(limit - len(found), ahead)])
    return found + others, {number for number, _name in others}


def _locked(entries: QueueEntryQuerySet) -> QueueEntryQuerySet:
    if connection.features.has_select_for_update_skip_locked:
        return entries.select_for_update(skip_locked=True)
    return entries


def _sort_out(found: Iterable[tuple[int, str]], now: datetime, hand: Counter[str]) -> tuple[list[int], list[int]]:
    """Park what has to wait for its destination; returns the ids of the rest, which counts as in hand from now on.

    And of what was parked the ids of those whose destination is not only busy.
    """
    found = list(found)
    names = {name for _id, name in found}
    shut = set(
        QueueDestination.objects.filter(Q(paused=True) | Q(failures__gt=0), name__in=names).values_list(
            "name", flat=True
        )
    )
    taken, waiting = [], []
    for number, name in found:
        if name in shut or hand[name] >= IN_HAND_A_DESTINATION:
            waiting.append((number, name))
        else:
            hand[name] += 1
            taken.append(number)
    if waiting:
        _park([number for number, _name in waiting], {name for _number, name in waiting}, now)
    return taken, [number for number, name in waiting if name in shut]


def _park(entries: Collection[int], names: Collection[str], now: datetime) -> None:
    """Let entries wait for their destinations; in a transaction."""
    QueueDestination.objects.bulk_create(
        [QueueDestination(name=name, since=now, next_attempt_at=now) for name in sorted(names)], ignore_conflicts=True
    )
    # Nobody may take one of the rows away for want of parked entries before these are there.
    rows = list(QueueDestination.objects.select_for_update().filter(name__in=names).order_by("name"))
    mine = QueueEntry.objects.filter(id__in=entries)
    mine.update(parked=Parked.BUSY, lease_owner="", lease_until=None)
    for row in rows:
        if row.state != "busy":  # so that whoever looks at it sees why it waits
            mine.filter(destination=row.name).update(
                parked=Parked.PUT_OFF, last_reply=_why(row), next_attempt_at=max(now, row.next_attempt_at)
            )


def _note_waiting(entries: Collection[int]) -> None:
    """Let the counters know that these entries are put off."""
    for part in _parts(entries):
        with transaction.atomic():
            messages = set(QueueEntry.objects.filter(id__in=part).values_list("message_id", flat=True))
            lock(messages)
            reclassify(messages)


def _claim_parked(owner: str, now: datetime, limit: int, hand: Counter[str]) -> list[Job]:
    """Lease parked entries that may go: one for each destination that is away, and as many as there is room for."""
    ready = list(QueueDestination.objects.ready(now).order_by("next_attempt_at")[:_READY_AT_ONCE])
    if not ready:
        return []
    probes: list[int] = []
    ids: list[int] = []
    with transaction.atomic():
        for destination in ready:
            name = destination.name
            left = limit - len(probes) - len(ids)
            room = 1 if destination.failures else min(IN_HAND_A_DESTINATION - hand[name], left)
            if room <= 0 or left <= 0:
                continue
            parked = QueueEntry.objects.parked(now).filter(destination=name)
            found = list(_locked(parked.order_by("turn")).values_list("id", flat=True)[:room])
            if not found:
                _forget_unless_waited_for(name)
                continue
            if not destination.failures:
                ids += found
            elif _take_probe(name, now):
                probes += found
            else:
                continue
            hand[name] += len(found)
        put_off = list(
            QueueEntry.objects.filter(id__in=ids + probes, parked=Parked.PUT_OFF).values_list("id", flat=True)
        )
        _lease(owner, ids + probes, now)
    _note_waiting(put_off)
    return _jobs(probes, now, probe=True) + _jobs(ids, now)


def _forget_unless_waited_for(name: str) -> None:
    waits = QueueEntry.objects.filter(destination=OuterRef("pk"), parked__gt=Parked.NO)
    QueueDestination.objects.filter(~Exists(waits), pk=name, paused=False).delete()


def _take_probe(name: str, now: datetime) -> bool:
    """Say whether nobody else has begun to try this destination; from now on we have."""
    rows = QueueDestination.objects.ready(now).filter(pk=name, failures__gt=0)
    return rows.update(probing_until=now + PROBE_PATIENCE) > 0


def _lease(owner: str, ids: Collection[int], now: datetime) -> None:
    QueueEntry.objects.filter(id__in=ids).update(lease_owner=owner, lease_until=now + LEASE, parked=Parked.NO)


def shut(owner: str, entries: Collection[int], names: Collection[str], reply: str, now: datetime) -> int:
    """Note that nobody is there, and let these entries, which nobody has tried, wait until somebody is.

    Only those are touched that ``owner`` still holds. Returns how many destinations this is news of: what several
    connections find out at the same time is one failure.
    """
    news = 0
    with transaction.atomic():
        QueueDestination.objects.bulk_create(
            [QueueDestination(name=name, since=now, next_attempt_at=now) for name in sorted(names)],
            ignore_conflicts=True,
        )
        for row in QueueDestination.objects.select_for_update().filter(name__in=names).order_by("name"):
            if row.failures and row.probing_until is None and row.next_attempt_at > now:
                continue
            row.since = row.since if row.failures else now
            row.failures += 1
            row.probing_until = None
            row.next_attempt_at = now + timedelta(
                seconds=pause(row.failures, current().retry_first, current().retry_longest)
            )
            row.last_reply = reply
            row.save(update_fields=["since", "failures", "probing_until", "next_attempt_at", "last_reply"])
            news += 1
        held = QueueEntry.objects.waiting().filter(id__in=entries, lease_owner=owner).select_for_update()
        ours = list(held.values_list("id", flat=True))
        _park(ours, names, now)
    _note_waiting(ours)
    return news


def reopen(names: Collection[str], now: datetime) -> None:
    """Note that somebody is there again: everything that waits may go."""
    rows = QueueDestination.objects.filter(name__in=names, failures__gt=0)
    rows.update(failures=0, probing_until=None, next_attempt_at=now, last_reply="", since=now)


def end_probe(names: Collection[str]) -> None:
    """Note that a probe has told nothing about whether anybody is there: the next one may be made."""
    QueueDestination.objects.filter(name__in=names).update(probing_until=None)


def overdue(owner: str, now: datetime, limit: int) -> list[tuple[Job, str]]:
    """Lease parked entries whose time is over, or whose sender is to hear of the delay; return jobs and why they wait.

    Nobody tries them, so nobody else would notice.
    """
    env = current()
    late = now - timedelta(seconds=env.delay_notice_after)
    oldest = now - timedelta(seconds=min(env.delay_notice_after, env.queue_lifetime))
    over = QueueEntry.objects.parked(now).filter(
        Q(message__expires_at__lte=now) | Q(message__received_at__lte=late, delay_notified_at__isnull=True),
        message_id__lt=first_id_at(oldest.timestamp()),
    )
    # Not in the transaction: there may be many that wait.
    found = list(over.order_by("message_id").values_list("id", flat=True)[:limit])
    with transaction.atomic():
        ids = list(_locked(QueueEntry.objects.parked(now).filter(id__in=found)).values_list("id", flat=True))
        _lease(owner, ids, now)
    _note_waiting(ids)
    jobs = _jobs(ids, now)
    words = {
        row.name: _why(row)
        for row in QueueDestination.objects.filter(name__in={n for j in jobs for n in j.destinations})
    }
    return [(job, next((words[name] for name in sorted(job.destinations) if name in words), "")) for job in jobs]


def _why(row: QueueDestination) -> str:
    since = row.since.strftime("%Y-%m-%d %H:%M UTC")
    if row.paused:
        return f"mail for {row.name} is held back by the administrator"
    if not row.failures:
        return f"there is more mail for {row.name} than it takes"
    return f"{row.name} has been away since {since}: {row.last_reply}"


def unpark_strays(now: datetime) -> int:
    """Let entries be claimed that wait for a destination that nobody knows of; there should be none."""
    known = QueueDestination.objects.filter(pk=OuterRef("destination"))
    strays = QueueEntry.objects.filter(~Exists(known), state=QueueEntry.State.QUEUED, parked__gt=Parked.NO)
    ids = list(strays.values_list("id", flat=True)[:_IDS_AT_ONCE])
    unparked = QueueEntry.objects.filter(id__in=ids).update(parked=Parked.NO, next_attempt_at=now)
    _note_waiting(ids)
    return unparked


def resume_paused(now: datetime) -> int:
    """End the pauses whose time is over; returns how many."""
    over = QueueDestination.objects.filter(paused=True, paused_until__lte=now)
    return over.update(paused=False, paused_until=None, reason="", paused_by="", next_attempt_at=now)


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
            free = {"last_reply": reason, "lease_owner": "", "lease_until": None, "parked": Parked.NO}
            # What is in the trash stays there, or it would go with it; when it is put back, it is held.
            free["hold_reason"] = holds.CRASH
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
    waiting = QueueEntry.objects.waiting().filter(parked=Parked.NO)
    latest = now + longest_pause(current().retry_longest)
    # What somebody has handed in ahead of time is meant to stand in the future.
    wrong = waiting.filter(next_attempt_at__gt=latest + timedelta(minutes=1)).exclude(message__release_at__gt=latest)
    moved = QueueEntry.objects.filter(pk__in=wrong.values("pk")).update(next_attempt_at=latest)
    freed = waiting.filter(lease_until__gt=now + 10 * LEASE).update(lease_owner="", lease_until=None)
    return moved + freed


def _jobs(ids: list[int], now: datetime, *, probe: bool = False) -> list[Job]:
    """Group entries by message, nexthop and return path, in the order of ``ids``."""
    turn = moment(now)
    rows = {row.id: row for row in QueueEntry.objects.filter(id__in=ids).select_related("message")}
    nexthops = _nexthops({row.destination for row in rows.values()})
    groups: dict[tuple[int, Nexthop, str], list[QueueEntry]] = defaultdict(list)
    for row in (rows[number] for number in ids if number in rows):
        groups[row.message_id, nexthops[row.destination], row.return_path].append(row)
    return [
        Job(
            _mail(group[0]),
            tuple(_entry(row) for row in group[start : start + RECIPIENTS_AT_ONCE]),
            nexthop,
            ahead=group[start].turn > turn,
            probe=probe,
        )
        for (_message, nexthop, _return_path), group in groups.items()
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
        row.turn,
        row.return_path,
    )
