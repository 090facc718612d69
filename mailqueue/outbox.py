"""The outbox of the webhooks: what is to be told, in which order, and what came of it. Plain values; uses the database.

Events of one message reach a webhook in their order: the next one is told when the one before has been taken or given
up. Each is told at least once; its id is the same when it comes again, after a crash of ours or in a replay.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Any, Final

from django.db import transaction
from django.db.models import Exists, OuterRef, Q

from a3mailer_site.env import current
from a3mailer_site.ids import to_text
from mailqueue.models import MessageEvent, MessageTrace, Webhook, WebhookDelivery
from mailqueue.reach import own_traces
from mailqueue.webhooks import TEST_KIND, Event, in_force, name_of, secrets_of
from security.audit import record
from security.models import AuditEntry

LEASE: Final = timedelta(seconds=60)
# Seconds to wait after so many failures in a row; the last one again and again.
PAUSES: Final = (5, 30, 120, 600, 1800, 3600)
# Events that a replay puts into the box at once, and recipients that are named with a message.
_REPLAYED_AT_ONCE = 200
_RECIPIENTS = 100
_DELETED_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Target:
    """A webhook that there is something for; leased to whoever got this."""

    id: int
    url: str
    secrets: tuple[str, ...] = field(repr=False)
    domains: tuple[str, ...] | None
    failing: bool  # the last attempt came to nothing: try with one event


@dataclass(frozen=True, slots=True)
class Told:
    """An event to tell: its row, its id, which stays the same, and what is said."""

    row: int
    id: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of telling one. ``error`` is empty when it was taken."""

    row: int
    error: str = ""
    unreachable: bool = False  # nobody is there, or he takes nothing now: others need not try
    gone: bool = False  # 410: he wants nothing any more
    after: float = 0.0  # seconds that he asks to wait


def pause(failures: int) -> timedelta:
    """Return how long to wait after so many failures, at least one."""
    return timedelta(seconds=PAUSES[min(failures, len(PAUSES)) - 1])


def lease(owner: str, now: datetime, running: Collection[int]) -> list[Target]:
    """Take the webhooks that there is something for, and that nobody else has in hand; none of ``running``."""
    if not in_force():
        return []
    waiting = WebhookDelivery.objects.filter(webhook=OuterRef("pk"), failed_at=None, next_attempt_at__lte=now)
    due = Webhook.objects.filter(
        ~Q(lease_until__gt=now) | Q(lease_owner=owner),
        ~Q(not_before__gt=now),
        Q(replay_after__isnull=False) | Exists(waiting),
        enabled=True,
    )
    found = []
    for webhook in due.exclude(pk__in=running).order_by("pk"):
        free = Webhook.objects.filter(~Q(lease_until__gt=now) | Q(lease_owner=owner), pk=webhook.pk)
        if free.update(lease_owner=owner, lease_until=now + LEASE):
            _go_on_replaying(webhook, now)
            domains = None if webhook.domains is None else tuple(webhook.domains)
            found.append(Target(webhook.pk, webhook.url, secrets_of(webhook, now), domains, webhook.failures > 0))
    return found


def renew(owner: str, webhook: int, now: datetime) -> bool:
    """Go on holding a webhook; ``False`` when it is somebody else's, disabled or gone."""
    mine = Webhook.objects.filter(pk=webhook, lease_owner=owner, enabled=True)
    return bool(mine.update(lease_until=now + LEASE))


def let_go(owner: str, webhook: int) -> None:
    """Let others have a webhook."""
    Webhook.objects.filter(pk=webhook, lease_owner=owner).update(lease_owner="", lease_until=None)


def take(target: Target, now: datetime, limit: int) -> list[Told]:
    """Return what may be told now, the oldest first, at most one event of each message.

    What does not concern the webhook's domains is dropped.
    """
    while True:
        told, dropped = _look(target, now, limit)
        WebhookDelivery.objects.filter(pk__in=dropped).delete()
        if told or not dropped:
            return told


def _look(target: Target, now: datetime, limit: int) -> tuple[list[Told], list[int]]:
    """Return what is to be told of what waits, and the rows that are not."""
    waiting = WebhookDelivery.objects.filter(webhook=target.id, failed_at=None)
    earlier = waiting.filter(message=OuterRef("message"), pk__lt=OuterRef("pk"))
    rows = list(waiting.filter(~Exists(earlier), next_attempt_at__lte=now).order_by("pk")[:limit])
    traces: dict[int, list[MessageTrace]] = {}
    known = MessageTrace.objects.filter(message__in={row.message for row in rows})
    for trace in own_traces(known, target.domains).order_by("pk"):
        traces.setdefault(trace.message, []).append(trace)
    told, dropped = [], []
    for row in rows:
        body = _body(row, traces.get(row.message, []))
        if body is None:
            dropped.append(row.pk)
        else:
            told.append(Told(row.pk, body["id"], json.dumps(body, separators=(",", ":")).encode()))
    return told, dropped


def _body(row: WebhookDelivery, traces: Sequence[MessageTrace]) -> dict[str, Any] | None:
    """Return what is said of an event; ``None`` when it is not for this webhook, or nothing is known of it any more."""
    said: dict[str, Any] = {
        "id": event_id(row),
        "type": f"message.{name_of(row.kind, row.detail)}" if row.kind != TEST_KIND else Event.TEST.value,
        "timestamp": row.at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "replayed": row.replayed,
    }
    if row.kind == TEST_KIND:
        return {**said, "data": row.detail}
    concerned = traces if row.trace_id is None else [trace for trace in traces if trace.pk == row.trace_id]
    if not concerned:
        return None
    first = concerned[0]
    data: dict[str, Any] = {
        "queue_id": to_text(row.message),
        "message_id": first.message_id,
        "subject": first.subject,
        "sender": first.sender,
        "size": first.size,
    }
    if row.trace_id is None:
        data["recipients"] = [trace.recipient for trace in concerned[:_RECIPIENTS]]
        data["recipient_count"] = len(concerned)
    else:
        data["recipient"] = first.recipient
    return {**said, "data": {**data, **_facts(row)}}


# What is said besides, where the timeline knows it.
_TOLD: Final = ("login", "peer", "protocol", "mailbox", "reply", "next_attempt_at", "feedback_type", "proved")


def _facts(row: WebhookDelivery) -> dict[str, Any]:
    return {name: row.detail[name] for name in _TOLD if row.detail.get(name) is not None}


def event_id(row: WebhookDelivery) -> str:
    """Return the id of an event: made of what happened, so that it is the same whenever it is told."""
    facts = [row.message, row.trace_id, row.kind, row.at.timestamp(), row.detail]
    if row.kind == TEST_KIND:
        facts.append(row.pk)
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"))
    return f"evt_{blake2b(text.encode(), digest_size=16).hexdigest()}"


def settle(target: Target, answers: Sequence[Answer], now: datetime) -> bool:
    """Write down what came of it; says whether to go on. A webhook that is gone or long dead is switched off."""
    taken = [answer.row for answer in answers if not answer.error]
    refused = [answer for answer in answers if answer.error]
    with transaction.atomic():
        WebhookDelivery.objects.filter(pk__in=taken).delete()
        webhook = Webhook.objects.select_for_update().filter(pk=target.id).first()
        if webhook is None:
            return False
        _write_failures(refused, now)
        unreachable = [answer for answer in refused if answer.unreachable or answer.gone]
        if unreachable:
            _write_unreachable(webhook, unreachable, now, had_success=bool(taken))
        elif taken:
            Webhook.objects.filter(pk=webhook.pk).update(
                last_success_at=now, failing_since=None, failures=0, not_before=None, last_error=""
            )
    return not unreachable


def _write_failures(refused: Sequence[Answer], now: datetime) -> None:
    rows = {row.pk: row for row in WebhookDelivery.objects.filter(pk__in=[answer.row for answer in refused])}
    oldest = now - timedelta(seconds=current().webhook_lifetime)
    for answer in refused:
        row = rows.get(answer.row)
        if row is None:
            continue
        row.attempts += 1
        row.last_error = answer.error[:300]
        row.next_attempt_at = now + max(pause(row.attempts), timedelta(seconds=answer.after))
        row.failed_at = now if row.queued_at <= oldest else None
        row.save(update_fields=["attempts", "last_error", "next_attempt_at", "failed_at"])


def _write_unreachable(webhook: Webhook, answers: Sequence[Answer], now: datetime, *, had_success: bool) -> None:
    failures = 1 if had_success else webhook.failures + 1
    since = now if had_success else webhook.failing_since or now
    wait = max(pause(failures), timedelta(seconds=max(answer.after for answer in answers)))
    told = {
        "failures": failures,
        "failing_since": since,
        "last_error": answers[0].error[:300],
        "not_before": now + wait,
    }
    if had_success:
        told["last_success_at"] = now
    Webhook.objects.filter(pk=webhook.pk).update(**told)
    gone = any(answer.gone for answer in answers)
    if gone or since <= now - timedelta(seconds=current().webhook_lifetime):
        _switch_off(webhook.pk, "gone" if gone else "failing", answers[0].error)


def _switch_off(number: int, reason: str, error: str) -> None:
    webhook = Webhook.objects.get(pk=number)
    webhook.enabled = False
    webhook.save(update_fields=["enabled"])
    record(
        "webhook_switched_off",
        AuditEntry.EventType.SYSTEM,
        severity=AuditEntry.Severity.WARNING,
        outcome=AuditEntry.Outcome.FAILURE,
        metadata={"target": f"webhook_{number}", "name": webhook.url, "reason": reason, "error": error[:300]},
    )


def put_test(webhook: Webhook, now: datetime) -> WebhookDelivery:
    """Put an event into the box that says nothing but that it arrives."""
    detail = {"webhook_id": f"webhook_{webhook.pk}"}
    Webhook.objects.filter(pk=webhook.pk).update(not_before=None)
    return WebhookDelivery.objects.create(
        webhook=webhook, message=0, at=now, kind=TEST_KIND, detail=detail, queued_at=now, next_attempt_at=now
    )


def replay(webhook: Webhook, since: datetime, until: datetime | None) -> bool:
    """Have what the message log has of this time told again, by the worker; ``False`` when there is nothing.

    From the one moment to the other, give or take what happened at the very same time.
    """
    newest = MessageEvent.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    after = _last_before(since, newest)
    up_to = newest if until is None else _last_before(until, newest)
    if up_to <= after:
        return False
    Webhook.objects.filter(pk=webhook.pk).update(replay_after=after, replay_up_to=up_to)
    return True


def _last_before(moment: datetime, newest: int) -> int:
    """Return the id of the last event before a moment, 0 for none: ids grow with time, and time has no index."""
    low, high = 0, newest  # the one looked for is not below the one and not above the other
    while low < high:
        middle = (low + high + 1) // 2
        at = MessageEvent.objects.filter(pk__gte=middle).order_by("pk").values_list("at", flat=True).first()
        if at is not None and at < moment:
            low = middle
        else:
            high = middle - 1
    return low


def _go_on_replaying(webhook: Webhook, now: datetime) -> None:
    """Put the next events of a replay into the box, unless enough is waiting there."""
    if webhook.replay_after is None or webhook.replay_up_to is None:
        return
    if WebhookDelivery.objects.filter(webhook=webhook, failed_at=None)[:_REPLAYED_AT_ONCE].count() == _REPLAYED_AT_ONCE:
        return
    with transaction.atomic():
        events = list(
            MessageEvent.objects.filter(pk__gt=webhook.replay_after, pk__lte=webhook.replay_up_to).order_by("pk")[
                :_REPLAYED_AT_ONCE
            ]
        )
        wanted = set(webhook.events)
        WebhookDelivery.objects.bulk_create(
            WebhookDelivery(
                webhook=webhook,
                message=event.message,
                trace_id=event.trace_id,
                at=event.at,
                kind=event.kind,
                detail=event.detail,
                replayed=True,
                queued_at=now,
                next_attempt_at=now,
            )
            for event in events
            if name_of(event.kind, event.detail) in wanted
        )
        over = len(events) < _REPLAYED_AT_ONCE
        after = None if over else events[-1].pk
        Webhook.objects.filter(pk=webhook.pk, replay_after=webhook.replay_after).update(replay_after=after)


def forget_failed(before: datetime) -> int:
    """Delete what was given up before this moment, and what is left of webhooks that are gone; returns how many."""
    gone = ~Exists(Webhook.objects.filter(pk=OuterRef("webhook")))
    old = WebhookDelivery.objects.filter(Q(failed_at__lt=before) | gone).order_by("pk")
    deleted = 0
    while ids := list(old.values_list("pk", flat=True)[:_DELETED_AT_ONCE]):
        deleted += WebhookDelivery.objects.filter(pk__in=ids).delete()[0]
    return deleted


def waiting(webhooks: Collection[int]) -> Mapping[int, int]:
    """Return how many events wait for each of these webhooks, at most 10,000 are counted."""
    found = {}
    for number in webhooks:
        rows = WebhookDelivery.objects.filter(webhook=number, failed_at=None)[:10_000]
        found[number] = rows.count()
    return found
