"""What a person may do with queued mail: try it now, hold it, release it, delete it.

Entries that a worker has in hand are left alone. Each act is noted in the message's timeline.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet

from a3mailer_site.control import hint
from mailqueue.models import MessageEvent, MessageTrace, QueuedMessage, QueueEntry

Kind = MessageEvent.Kind
State = QueueEntry.State
Status = MessageTrace.Status

# Rows changed in one transaction: few enough that nobody waits long for the write gate.
_SLICE = 200


def retry(entries: QuerySet[QueueEntry], now: datetime, by: str) -> int:
    """Let deferred entries be tried at once; returns how many. Limits on destinations stay in force."""
    waiting = entries.filter(state=State.QUEUED, next_attempt_at__gt=now)
    return _act(waiting, now, Kind.RETRIED, by, Status.QUEUED, lambda rows: rows.update(next_attempt_at=now))


def hold(entries: QuerySet[QueueEntry], now: datetime, by: str) -> int:
    """Keep entries from being tried until somebody releases them; returns how many."""
    waiting = entries.filter(state=State.QUEUED)
    return _act(waiting, now, Kind.HELD, by, Status.HELD, lambda rows: rows.update(state=State.HELD))


def release(entries: QuerySet[QueueEntry], now: datetime, by: str) -> int:
    """Let held entries be tried again, now; returns how many."""
    held = entries.filter(state=State.HELD)

    def change(rows: QuerySet[QueueEntry]) -> int:
        return rows.update(state=State.QUEUED, next_attempt_at=now, crashes=0)

    return _act(held, now, Kind.RELEASED, by, Status.QUEUED, change)


def delete(entries: QuerySet[QueueEntry], now: datetime, by: str) -> int:
    """Take entries out of the queue for good; nobody is told. Returns how many."""

    def change(rows: QuerySet[QueueEntry]) -> int:
        messages = set(rows.values_list("message_id", flat=True))
        count = rows.count()
        rows.delete()
        open_states = (State.QUEUED, State.HELD)
        still = set(
            QueueEntry.objects.filter(message__in=messages, state__in=open_states).values_list("message_id", flat=True)
        )
        QueuedMessage.objects.filter(pk__in=messages - still).delete()
        return count

    waiting = entries.filter(state__in=(State.QUEUED, State.HELD))
    return _act(waiting, now, Kind.FAILED, by, Status.FAILED, change, reply="deleted by an administrator")


def _act(
    entries: QuerySet[QueueEntry],
    now: datetime,
    kind: MessageEvent.Kind,
    by: str,
    status: MessageTrace.Status,
    change: Callable[[QuerySet[QueueEntry]], int],
    **detail: Any,
) -> int:
    changed = 0
    wanted = list(entries.order_by("pk").values_list("pk", flat=True))
    for start in range(0, len(wanted), _SLICE):
        with transaction.atomic():
            # Looked at again under the lock: a worker may have taken one, or ended it, since.
            rows = (
                entries.filter(pk__in=wanted[start : start + _SLICE])
                .filter(Q(lease_until__isnull=True) | Q(lease_until__lte=now))
                .order_by("pk")
                .select_for_update()
            )
            taken = list(rows.values_list("pk", "message_id", "trace_id"))
            if not taken:
                continue
            _note(((message, trace) for _pk, message, trace in taken), kind, now, {"by": by, **detail})
            MessageTrace.objects.filter(pk__in=[trace for _pk, _message, trace in taken]).update(status=status)
            changed += change(QueueEntry.objects.filter(pk__in=[pk for pk, _message, _trace in taken]))
    if changed:
        hint("wake")
    return changed


def _note(rows: Iterable[tuple[int, int]], kind: MessageEvent.Kind, now: datetime, detail: dict[str, Any]) -> None:
    MessageEvent.objects.bulk_create(
        MessageEvent(message=message, trace_id=trace, kind=kind, at=now, detail=detail) for message, trace in rows
    )
