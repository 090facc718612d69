"""What a person may do with queued mail besides ``purging.py``: try it now, hold it, release it.

Entries that a worker has in hand are left alone. Each act is noted in the message's timeline, in its transaction; who
calls gets the queue ids of each transaction to write them into the audit log.
"""

import json
import random
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeAlias, TypeVar

from django.db import connection, transaction
from django.db.models import Q, QuerySet

from a3mailer_site.control import hint
from a3mailer_site.ids import to_text
from mailqueue import holds
from mailqueue.models import MessageEvent, MessageTrace, Parked, QueueDestination, QueuedMessage, QueueEntry
from mailqueue.slices import slices
from mailqueue.standing import lock, reclassify
from mailqueue.turns import moment

Kind = MessageEvent.Kind
State = QueueEntry.State
Status = MessageTrace.Status

Entries = TypeVar("Entries", bound="QuerySet[QueueEntry]")

# Called in each transaction with the queue ids of the messages that it changes.
Noted: TypeAlias = Callable[[list[str]], None]

# More than a hundred entries become due in no order over some time, up to so many seconds: not all in one lump.
_SPREAD = 60.0
_A_SECOND = 100


def nobody(queue_ids: list[str]) -> None:
    """Be told and write nothing: for who writes everything down at the end."""


def retry(entries: "QuerySet[QueueEntry]", now: datetime, by: str, noted: Noted = nobody) -> int:
    """Let deferred entries be tried at once, also before the time that they were handed in for; returns how many.

    Many become due one after the other; limits on destinations stay in force.
    """
    waiting = deferred(entries, now)
    most = int(_SPREAD * _A_SECOND)
    many = len(waiting.order_by().values_list("pk")[:most])
    spread = many / _A_SECOND if many > _A_SECOND else 0

    def change(rows: "QuerySet[QueueEntry]") -> None:
        again: dict[int, datetime] = {}  # the recipients of a message stay together
        for message in rows.values_list("message_id", flat=True):
            again.setdefault(message, now + timedelta(seconds=random.uniform(0, spread)))  # noqa: S311 - no secret
        with connection.cursor() as cursor:
            cursor.executemany(
                _RETRY,
                [
                    (connection.ops.adapt_datetimefield_value(again[message]), moment(again[message]), pk)
                    for pk, message in rows.values_list("pk", "message_id")
                ],
            )
        QueuedMessage.objects.filter(pk__in=list(again), release_at__isnull=False).update(release_at=None)
        _look_again(rows, now)

    return _act(waiting, now, Kind.RETRIED, by, Status.QUEUED, change, noted)


def deferred(entries: Entries, now: datetime) -> Entries:
    """Entries that wait for a later attempt, or for their destination: what ``retry`` is about."""
    return entries.filter(Q(next_attempt_at__gt=now) | Q(parked__gt=Parked.NO), state=State.QUEUED)


def hold(entries: "QuerySet[QueueEntry]", now: datetime, by: str, noted: Noted = nobody) -> int:
    """Keep entries from being tried until somebody releases them; returns how many."""

    def change(rows: "QuerySet[QueueEntry]") -> None:
        rows.update(state=State.HELD, hold_reason=holds.by(by), parked=Parked.NO)

    return _act(entries.filter(state=State.QUEUED), now, Kind.HELD, by, Status.HELD, change, noted)


def release(entries: "QuerySet[QueueEntry]", now: datetime, by: str, noted: Noted = nobody) -> int:
    """Let held entries be tried again, now, or when their time comes; returns how many."""

    def change(rows: "QuerySet[QueueEntry]") -> None:
        rows.update(state=State.QUEUED, hold_reason="", next_attempt_at=now, turn=moment(now), crashes=0)
        for row in rows.filter(message__release_at__gt=now).select_related("message"):
            at = row.message.release_at or now
            rows.filter(pk=row.pk).update(next_attempt_at=at, turn=moment(at))
        _look_again(rows, now)

    return _act(entries.filter(state=State.HELD), now, Kind.RELEASED, by, Status.QUEUED, change, noted)


def _look_again(rows: "QuerySet[QueueEntry]", now: datetime) -> None:
    """See at once whether the destinations of these are there that have been away: a person wants it tried now."""
    names = set(rows.values_list("destination", flat=True))
    QueueDestination.objects.filter(name__in=names, failures__gt=0).update(next_attempt_at=now, probing_until=None)


def _act(
    entries: "QuerySet[QueueEntry]",
    now: datetime,
    kind: MessageEvent.Kind,
    by: str,
    status: MessageTrace.Status,
    change: "Callable[[QuerySet[QueueEntry]], None]",
    noted: Noted,
) -> int:
    changed = 0
    for messages in slices(entries):
        with transaction.atomic():
            lock(messages)
            # Looked at again under the lock: a worker may have taken one, or ended it, since.
            rows = (
                entries.filter(message_id__in=messages)
                .filter(Q(lease_until__isnull=True) | Q(lease_until__lte=now))
                .order_by("pk")
                .select_for_update(of=("self",))
            )
            taken = list(rows.values_list("pk", "message_id", "trace_id"))
            if not taken:
                continue
            note([(message, trace) for _pk, message, trace in taken], kind, now, {"by": by})
            MessageTrace.objects.filter(pk__in=[trace for _pk, _message, trace in taken]).update(status=status)
            change(QueueEntry.objects.filter(pk__in=[pk for pk, _message, _trace in taken]))
            reclassify(messages)
            noted(queue_ids(message for _pk, message, _trace in taken))
            changed += len(taken)
    if changed:
        transaction.on_commit(partial(hint, "wake"))
    return changed


def note(rows: Sequence[tuple[int, int]], kind: MessageEvent.Kind, now: datetime, detail: dict[str, Any]) -> None:
    """Add an event to the timeline of each of these messages and traces."""
    at, text = connection.ops.adapt_datetimefield_value(now), json.dumps(detail)
    with connection.cursor() as cursor:
        # Three times as fast as objects that are made and taken apart again, inside the write gate.
        cursor.executemany(_NOTE, [(message, trace, str(kind), at, text) for message, trace in rows])


def queue_ids(messages: Iterable[int]) -> list[str]:
    """Return each message once, as it stands in logs."""
    return [to_text(message) for message in sorted(set(messages))]


_NOTE = (
    f'INSERT INTO "{MessageEvent._meta.db_table}" (message, trace_id, kind, at, detail) '  # noqa: S608
    "VALUES (%s, %s, %s, %s, %s)"
)
_RETRY = f'UPDATE "{QueueEntry._meta.db_table}" SET next_attempt_at = %s, turn = %s WHERE id = %s'  # noqa: S608
