"""Taking mail out of the queue, and getting it back: the queue's trash.

What is purged is not tried any more and nobody is told. Entries stay where they are in the state "purged", with their
attempts and times, and so does the body, for ``A3MAILER_TRASH_DAYS``. What a worker has in hand is left alone. It is
all done in short transactions, each of which writes down what it did: a purge that is interrupted has purged what it
has purged, and that can be undone.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from a3mailer_site.api.errors import ConflictError
from a3mailer_site.control import hint
from a3mailer_site.trash import restorable_until
from mailqueue.interventions import Noted, nobody, note, queue_ids
from mailqueue.models import OPEN_STATES, MessageEvent, MessageTrace, Parked, QueuedMessage, QueueEntry, QueuePurge
from mailqueue.slices import slices
from mailqueue.standing import lock, reclassify

State = QueueEntry.State
Status = MessageTrace.Status


@dataclass(slots=True)
class Purged:
    """What came of a purge, in messages. Without ``purge`` there was nothing to take out."""

    deleted: int = 0
    skipped_active: int = 0
    entries: int = 0
    purge: QueuePurge | None = None

    @property
    def undo_until(self) -> datetime | None:
        """Until when it can be undone."""
        return restorable_until(self.purge.deleted_at) if self.purge is not None else None


def purge(
    entries: "QuerySet[QueueEntry]",
    now: datetime,
    by: str,
    *,
    queue: str = "",
    message: int | None = None,
    noted: Noted = nobody,
) -> Purged:
    """Put entries into the trash. A message of which one of them is in flight is left as it is.

    ``queue`` and ``message`` say for the list of purges what it was about.
    """
    done = Purged()
    for messages in slices(entries.filter(state__in=OPEN_STATES)):
        with transaction.atomic():
            lock(messages)
            rows = entries.filter(message_id__in=messages, state__in=OPEN_STATES).order_by("pk")
            found = list(
                rows.select_for_update(of=("self",)).values_list("pk", "message_id", "trace_id", "lease_until")
            )
            flying = {number for _pk, number, _trace, lease in found if lease is not None and lease > now}
            done.skipped_active += len(flying)
            taken = [(pk, number, trace) for pk, number, trace, _lease in found if number not in flying]
            if not taken:
                continue
            if done.purge is None:
                done.purge = QueuePurge.objects.create(queue=queue, message=message, deleted_at=now, by=by)
            _take_out(taken, done.purge, now, by)
            purged = queue_ids(number for _pk, number, _trace in taken)
            QueuePurge.objects.filter(pk=done.purge.pk).update(messages=F("messages") + len(purged))
            noted(purged)
            done.deleted += len(purged)
            done.entries += len(taken)
    return done


def _take_out(taken: Collection[tuple[int, int, int]], act: QueuePurge, now: datetime, by: str) -> None:
    rows = QueueEntry.objects.filter(pk__in=[pk for pk, _message, _trace in taken])
    rows.update(
        state=State.PURGED, purged_state=F("state"), purge=act, lease_owner="", lease_until=None, parked=Parked.NO
    )
    pairs = [(message, trace) for _pk, message, trace in taken]
    MessageTrace.objects.filter(pk__in=[trace for _message, trace in pairs]).update(status=Status.PURGED)
    note(pairs, MessageEvent.Kind.PURGED, now, {"by": by, "purge_id": str(act)})
    reclassify({message for message, _trace in pairs})


def undo(act: QueuePurge, now: datetime, by: str, *, own: Q | None = None, noted: Noted = nobody) -> int:
    """Put back what is still there, as it was; returns how many messages. ``own`` narrows it to some of its entries.

    Raises ``ConflictError`` when it has been undone, or is over.
    """
    if act.undone_at is not None:
        raise ConflictError(_("This has been undone already."))
    if act.emptied_at is not None or now > restorable_until(act.deleted_at):
        raise ConflictError(_("It is too late: the trash has been emptied."))
    restored = 0
    entries = QueueEntry.objects.filter(own or Q(), purge=act, state=State.PURGED)
    for messages in slices(entries):
        with transaction.atomic():
            lock(messages)
            rows = entries.filter(message_id__in=messages).order_by("pk").select_for_update(of=("self",))
            found = list(rows.values_list("pk", "message_id", "trace_id", "purged_state", "attempts"))
            if not found:
                continue
            _put_back(found, now, by, act)
            put_back = queue_ids(message for _pk, message, *_rest in found)
            noted(put_back)
            restored += len(put_back)
    if not QueueEntry.objects.filter(purge=act, state=State.PURGED).exists():
        QueuePurge.objects.filter(pk=act.pk, undone_at=None).update(undone_at=now)
        act.undone_at = now
    transaction.on_commit(partial(hint, "wake"))
    return restored


def _put_back(found: Collection[tuple[int, int, int, str, int]], now: datetime, by: str, act: QueuePurge) -> None:
    rows = QueueEntry.objects.filter(pk__in=[pk for pk, *_rest in found])
    rows.update(state=F("purged_state"), purged_state="", purge=None)
    by_status: dict[Status, list[int]] = {}
    for _pk, _message, trace, state, attempts in found:
        status = Status.HELD if state == State.HELD else Status.DEFERRED if attempts else Status.QUEUED
        by_status.setdefault(status, []).append(trace)
    for restored, traces in by_status.items():
        MessageTrace.objects.filter(pk__in=traces).update(status=restored)
    pairs = [(message, trace) for _pk, message, trace, *_rest in found]
    note(pairs, MessageEvent.Kind.RESTORED, now, {"by": by, "purge_id": str(act)})
    reclassify({message for message, _trace in pairs})


def empty(before: datetime, dry_run: bool) -> int:
    """Delete for good what was purged before this moment (a ``trash.Purge``); returns how many messages."""
    over = QueuePurge.objects.filter(deleted_at__lt=before, emptied_at=None)
    entries = QueueEntry.objects.filter(purge__in=over, state=State.PURGED)
    if dry_run:
        return entries.values("message_id").distinct().count()
    acts = list(over.values_list("pk", flat=True))
    gone = sum(_delete(messages, acts) for messages in slices(QueueEntry.objects.filter(purge__in=acts)))
    QueuePurge.objects.filter(pk__in=acts, emptied_at=None).update(emptied_at=timezone.now())
    # What was emptied or undone is remembered for as long again.
    QueuePurge.objects.filter(Q(emptied_at__lt=before) & ~Q(pk__in=acts)).delete()
    return gone


def _delete(messages: list[int], acts: list[int]) -> int:
    with transaction.atomic():
        lock(messages)
        rows = QueueEntry.objects.filter(message_id__in=messages, purge__in=acts)
        changed = set(rows.filter(state=State.PURGED).values_list("message_id", flat=True))
        rows.delete()
        kept = QueueEntry.objects.filter(message=OuterRef("pk"), state__in=(*OPEN_STATES, State.PURGED))
        QueuedMessage.objects.filter(~Exists(kept), pk__in=messages, lane="").delete()
        reclassify(messages)
    return len(changed)
