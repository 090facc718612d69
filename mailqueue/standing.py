"""How a message stands in the queue: its lane and its flags, and the counters of all of them.

An entry is one recipient; how the message stands follows from all of its entries. Every transaction that changes
entries ends with ``reclassify`` (a batch of the mail store has its own way to it), which looks at them once more and
writes what is different, and one row of differences for the counters: these change in the transaction of what they
count.
"""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from django.db import connection, models

from mailqueue.models import Lane, Parked, QueuedMessage, QueueEntry, QueueTally

# What is counted, in the order of the columns of ``QueueTally``.
COUNTED = ("incoming", "outgoing", "retry", "bounce", "fresh", "deferred", "held", "bounced")


class Standing(NamedTuple):
    """What is kept in the row of a message. Without a lane it is not in the queue: it is in the trash."""

    lane: str = ""
    fresh: bool = False
    deferred: bool = False
    held: bool = False
    bounced: bool = False

    @property
    def counts_under(self) -> list[str]:
        """The numbers that this message is part of."""
        if not self.lane:
            return []
        return [self.lane, *(name for name, is_set in zip(self._fields[1:], self[1:], strict=True) if is_set)]


_NEW, _NEW_NOTICE = Standing(Lane.OUTGOING, fresh=True), Standing(Lane.BOUNCE, fresh=True)
_NEW_HELD = Standing(Lane.RETRY, held=True)


def of_new(sender: str, *, held: bool = False) -> Standing:
    """Return how a message stands that has just been accepted: all of its recipients wait for the first attempt."""
    if held and sender:
        return _NEW_HELD
    return _NEW if sender else _NEW_NOTICE


class Tally:
    """Differences to the counters, gathered during a transaction."""

    def __init__(self) -> None:
        self._by_name = dict.fromkeys(COUNTED, 0)

    def add(self, standing: Standing, times: int = 1) -> None:
        """Count a message that stands so from now on; with ``times=-1`` one that does not any more."""
        for name in standing.counts_under:
            self._by_name[name] += times

    def row(self) -> tuple[int, ...] | None:
        """Return the columns to add; ``None`` when nothing is different."""
        return tuple(self._by_name.values()) if any(self._by_name.values()) else None


def lock(messages: Collection[int]) -> None:
    """Lock these messages until the commit, in the order that everybody takes. Before their entries are touched."""
    list(QueuedMessage.objects.select_for_update().filter(pk__in=messages).order_by("pk").values_list("pk"))


def reclassify(messages: Collection[int]) -> None:
    """Look how these messages stand now; inside the transaction that locked them and changed their entries."""
    tally = Tally()
    update(messages, tally)
    row = tally.row()
    if row is not None:
        QueueTally.objects.create(**dict(zip(COUNTED, row, strict=True)))


def update(messages: Collection[int], tally: Tally) -> int:
    """Write down how these messages stand, and the differences into the tally; returns how many stood otherwise."""
    rows = []
    for message, before, after in look(messages):
        if before != after:
            tally.add(before, -1)
            tally.add(after)
            rows.append((*after, message))
    if rows:
        with connection.cursor() as cursor:
            cursor.executemany(_UPDATE, rows)
    return len(rows)


def look(messages: Collection[int]) -> list[tuple[int, Standing, Standing]]:
    """Return for each message how it is said to stand, and how it does by its entries; both at one moment."""
    found = []
    for part in _parts(messages):
        with connection.cursor() as cursor:
            cursor.execute(_LOOK % ", ".join(["%s"] * len(part)), part)
            for message, notice, lane, fresh, deferred, held, bounced, *facts in cursor.fetchall():
                before = Standing(lane, bool(fresh), bool(deferred), bool(held), bool(bounced))
                found.append((message, before, _by_entries(bool(notice), *facts)))
    return found


def _by_entries(notice: bool, is_open: int, local: int, fresh: int, deferred: int, held: int, failed: int) -> Standing:
    """The rule: the reference's four lanes sum to the whole, the flags may overlap. Arguments count entries."""
    if not is_open:
        return Standing()
    if notice:
        lane = Lane.BOUNCE
    elif local:
        lane = Lane.INCOMING
    else:
        lane = Lane.OUTGOING if fresh else Lane.RETRY
    return Standing(lane, fresh > 0, deferred > 0, held > 0, failed > 0)


_AT_ONCE = 500


def _parts(ids: Collection[int]) -> list[Sequence[int]]:
    ordered = sorted(ids)
    return [ordered[start : start + _AT_ONCE] for start in range(0, len(ordered), _AT_ONCE)]


def _sum(condition: str) -> str:
    return f"SUM(CASE WHEN {condition} THEN 1 ELSE 0 END)"


def _table(model: type[models.Model]) -> str:
    return f'"{model._meta.db_table}"'


_IS_OPEN = "e.state IN ('queued', 'held')"
_IS_PUT_OFF = f"e.parked = {Parked.PUT_OFF.value}"
_FACTS: dict[str, Any] = {
    "open": _sum(_IS_OPEN),
    "local": _sum(f"{_IS_OPEN} AND e.local"),
    "fresh": _sum(f"e.state = 'queued' AND e.attempts = 0 AND NOT {_IS_PUT_OFF}"),
    "deferred": _sum(f"{_IS_OPEN} AND (e.attempts > 0 OR {_IS_PUT_OFF})"),
    "held": _sum("e.state = 'held'"),
    "failed": _sum("e.state = 'failed'"),
}
_LOOK = (
    f"SELECT m.id, m.sender = '', m.lane, m.fresh, m.deferred, m.held, m.bounced, {', '.join(_FACTS.values())} "  # noqa: S608
    f"FROM {_table(QueuedMessage)} m LEFT JOIN {_table(QueueEntry)} e ON e.message_id = m.id "
    "WHERE m.id IN (%s) GROUP BY m.id"
)
_UPDATE = (
    f"UPDATE {_table(QueuedMessage)} SET lane = %s, fresh = %s, deferred = %s, held = %s, bounced = %s WHERE id = %s"  # noqa: S608
)
