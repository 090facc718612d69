"""How many messages are in the queue, out of counters that change in the transactions of what they count.

Nothing is counted row by row but what is in flight, which is never much: a worker has at most a thousand recipients in
hand. ``check`` proves the counters against the rows; ``fold`` keeps their table small.

    counts()["retry"]
"""

from datetime import datetime
from typing import NamedTuple

from django.db import connection, transaction
from django.db.models import Count, Sum
from django.utils import timezone

from a3mailer_site.models import Generation
from mailqueue.models import QueuedMessage, QueueEntry, QueueTally
from mailqueue.standing import COUNTED, Tally, lock, look, update

LANES = ("incoming", "outgoing", "retry", "bounce")
# Rows that become one in a transaction of a few milliseconds.
_FOLD = 2000
# Messages proved with one statement.
_PAGE = 500


def counts(now: datetime | None = None) -> dict[str, int]:
    """Return ``total active deferred bounced incoming outgoing retry bounce``, in messages; two queries.

    The four lanes sum to ``total``. ``active`` has a recipient in hand of a worker at ``now``.
    """
    numbers = tallies()
    lanes = {lane: numbers[lane] for lane in LANES}
    states = {"deferred": numbers["deferred"], "bounced": numbers["bounced"]}
    return {"total": sum(lanes.values()), "active": active(now or timezone.now()), **states, **lanes}


def tallies() -> dict[str, int]:
    """Return the counters by the names of ``standing.COUNTED``; one query."""
    sums = QueueTally.objects.aggregate(**{f"{name}_sum": Sum(name) for name in COUNTED})
    # No row at all means that nothing has ever been in the queue.
    return {name: int(sums[f"{name}_sum"] or 0) for name in COUNTED}


def active(now: datetime) -> int:
    """Return how many messages have a recipient that a worker has in hand."""
    leased = QueueEntry.objects.in_flight(now)
    return int(leased.aggregate(messages=Count("message_id", distinct=True))["messages"])


def fold() -> int:
    """Make one row of many; returns how many there were. May run beside itself and beside everything else."""
    if len(QueueTally.objects.values_list("pk")[:2]) < 2:
        return 0
    with transaction.atomic():
        rows = QueueTally.objects.select_for_update(skip_locked=True).order_by("pk").values_list("pk", *COUNTED)[:_FOLD]
        found = list(rows)
        if len(found) < 2:
            return 0
        columns = list(zip(*found, strict=True))
        QueueTally.objects.filter(pk__in=columns[0]).delete()
        QueueTally.objects.create(**{name: sum(values) for name, values in zip(COUNTED, columns[1:], strict=True)})
    return len(found)


class Checked(NamedTuple):
    """What a check has found: messages in the queue, those whose row said something else, and wrong counters."""

    messages: int
    misplaced: int
    wrong: dict[str, int]  # what was added to each counter


def check(*, dry_run: bool = False) -> Checked:
    """Prove rows against entries and counters against rows, and put right what is wrong. Takes small transactions."""
    messages = misplaced = 0
    last = -1
    while True:
        page = list(QueuedMessage.objects.filter(pk__gt=last).order_by("pk").values_list("pk", flat=True)[:_PAGE])
        if not page:
            break
        last = page[-1]
        looked = look(page)
        messages += len(looked)
        wrong = [message for message, before, after in looked if before != after]
        misplaced += len(wrong) if dry_run or not wrong else _mend(wrong)
    return Checked(messages, misplaced, _differences() if dry_run else _mend_counters())


def _mend(messages: list[int]) -> int:
    """Write down how these messages stand, and count them so."""
    with transaction.atomic():
        lock(messages)
        tally = Tally()
        number = update(messages, tally)
        row = tally.row()
        if row is not None:
            QueueTally.objects.create(**dict(zip(COUNTED, row, strict=True)))
    return number


def _differences() -> dict[str, int]:
    """Return by how much each counter is off. One statement, so rows and counters are those of one moment."""
    with connection.cursor() as cursor:
        cursor.execute(_DIFFERENCES)
        row = cursor.fetchone()
    return {name: int(value) for name, value in zip(COUNTED, row, strict=True) if value}


def _mend_counters() -> dict[str, int]:
    if not _differences():
        return {}
    with transaction.atomic():
        # Two that mend at once would add the same difference twice.
        Generation.objects.select_for_update().get_or_create(name="queue_tally", defaults={"value": 0})
        wrong = _differences()
        if wrong:
            QueueTally.objects.create(**wrong)
    return wrong


def _counted(name: str) -> str:
    condition = f"lane = '{name}'" if name in LANES else f"lane <> '' AND {name}"
    return f"COALESCE(SUM(CASE WHEN {condition} THEN 1 ELSE 0 END), 0) AS {name}"


_DIFFERENCES = (
    f"SELECT {', '.join(f'm.{name} - t.{name}' for name in COUNTED)} "  # noqa: S608 - names are ours
    f'FROM (SELECT {", ".join(map(_counted, COUNTED))} FROM "{QueuedMessage._meta.db_table}") m, '
    f"(SELECT {', '.join(f'COALESCE(SUM({name}), 0) AS {name}' for name in COUNTED)} "
    f'FROM "{QueueTally._meta.db_table}") t'
)
