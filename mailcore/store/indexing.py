"""Keeping the search index up with the mail: bodies in mailboxes that have no entry by today's rules get one.

An entry belongs to a body, so mail to many recipients is indexed once, and an entry goes with its body. Which bodies
still need one is seen from the tables alone: whatever dies in the middle, what was not written is found again. New mail
is looked for all the time by the ids, which grow with time; sweeps find what committed late or was delivered from the
queue, and everything when the rules have changed. The work is done in small slices with rests between, long ones while
others use the processors: a search is exact without the index, and who waits for mail waits now. The write gate is held
for a moment only. Two that do it at once do no harm.
"""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import psutil
import structlog
from django.db import connection, transaction

from a3mailer_site.figures import figures
from a3mailer_site.ids import first_id_at, made_at, to_text
from mailcore.message.collation import RULES
from mailcore.store.entries import UNREADABLE, Entry, entry_of
from mailcore.store.models import Message, SearchEntry, Structure
from mailcore.store.reading import map_body, small_bodies
from mailqueue.models import Body

log = structlog.get_logger("mailcore.store.indexing")

# Seconds of one turn; and of work before the entries are written.
TURN = 1.0
WORK = 0.02
# Rest after that, as a share of the work, on a machine with nothing else to do; and what is added when all processors
# are busy with other things: a quarter of it when half of them are.
REST = 0.25
GIVE_WAY = 8.0
# Seconds over which is seen how busy they are: the system counts in hundredths.
LOOK_EVERY = 0.2
# Bodies looked at with one statement, and entries written in one transaction.
PAGE = 500
BATCH = 100
# A body may commit so many seconds after its id was made without waiting for a sweep.
OVERLAP = 2.0
# Seconds between two sweeps over the last hour, and over everything.
SWEEP_EVERY = 300.0
SWEEP_BACK = 3600.0
WHOLE_SWEEP_EVERY = 24 * 3600.0
# Seconds between two transactions that only forget.
PAUSE = 0.005

_PROCESSORS = os.cpu_count() or 1
# Any number will do that no other lock of ours has.
_LOCK = 0x41334D49

_PAGE = (
    f'SELECT s.body_id, e.rules FROM "{Structure._meta.db_table}" s '  # noqa: S608 - our own models
    f'LEFT JOIN "{SearchEntry._meta.db_table}" e ON e.body_id = s.body_id '
    f'WHERE s.body_id > %s AND EXISTS (SELECT 1 FROM "{Message._meta.db_table}" m WHERE m.body_id = s.body_id) '
    f"ORDER BY s.body_id LIMIT {PAGE}"
)


class State(NamedTuple):
    """How far the index has come. Sizes are in bytes."""

    bodies: int  # in mailboxes
    indexed: int
    size: int  # of all entries, without what the database adds


class Indexer:
    """Call ``turn`` now and then, in a thread with a database and never in two at once."""

    def __init__(self, now: float) -> None:
        self._new_from = first_id_at(now)  # new mail before this has been looked at
        self._sweep_from: int | None = -1  # where the sweep stands; None: there is none
        self._next_sweep = now + SWEEP_EVERY
        self._next_whole_sweep = now + WHOLE_SWEEP_EVERY
        self._behind: int | None = None  # the first that is not indexed, as far as is known
        self._stopping = False
        self._others = _Others()

    def stop(self) -> None:
        """End the turn that is under way, soon. From any thread."""
        self._stopping = True

    def lag(self, now: float) -> float:
        """Return the age in seconds of the oldest mail that is known to wait for the index; 0 when none is."""
        behind = self._behind
        return 0.0 if behind is None else max(0.0, now - made_at(behind))

    def turn(self, now: float) -> bool:
        """Index for about ``TURN`` seconds, new mail first. Return whether all is done for now."""
        with _alone() as alone:
            return not alone or self._turn(now, time.monotonic() + TURN)

    def _turn(self, now: float, end: float) -> bool:
        self._new_from, done, _ = self._go_through(self._new_from, end)
        if not done:
            self._behind = self._new_from
            return False
        self._new_from = first_id_at(now - OVERLAP)
        self._behind = None
        if self._sweep_from is None and now >= self._next_sweep:
            whole = now >= self._next_whole_sweep
            self._sweep_from = -1 if whole else first_id_at(now - SWEEP_BACK)
            self._next_sweep = now + SWEEP_EVERY
            self._next_whole_sweep = now + WHOLE_SWEEP_EVERY if whole else self._next_whole_sweep
        if self._sweep_from is not None:
            position, done, missing = self._go_through(self._sweep_from, end)
            self._sweep_from = None if done else position
            self._behind = position if missing and not done else None
        return done

    def _go_through(self, position: int, end: float) -> tuple[int, bool, bool]:
        """Index what is behind ``position``; return how far it came, whether that is all, and whether any was missing.

        ``end`` is a time of the monotonic clock.
        """
        missing = False
        while True:
            page = _page(position)
            wanted = [body for body, rules in page if rules != RULES]
            missing = missing or bool(wanted)
            for slice_ in _index(wanted, self._others):
                if self._stopping or time.monotonic() > end:
                    return slice_[-1], False, missing
            position = page[-1][0] if page else position
            if len(page) < PAGE:
                return position, True, missing
            if self._stopping or time.monotonic() > end:
                return position, False, missing


class _Others:
    """What share of the processors others use: all programs, and all threads of this process but the one that works."""

    def __init__(self) -> None:
        self._share = 0.0
        self._mine = 0.0
        self._looked_at, self._busy = time.monotonic(), _busy_seconds()

    def share(self, mine: float) -> float:
        """Return the share (0 to 1) in the last moments. ``mine``: processor seconds used here since the last call."""
        self._mine += mine
        now = time.monotonic()
        if now - self._looked_at >= LOOK_EVERY:
            busy = _busy_seconds()
            used = busy - self._busy - self._mine
            self._share = min(max(used / (now - self._looked_at) / _PROCESSORS, 0.0), 1.0)
            self._looked_at, self._busy, self._mine = now, busy, 0.0
        return self._share


def _busy_seconds() -> float:
    """Return the seconds that the processors have been at work since the machine was started, added up."""
    times = psutil.cpu_times()
    # The time of guests is in ``user`` already.
    return float(sum(times) - sum(getattr(times, idle, 0.0) for idle in ("idle", "iowait", "guest", "guest_nice")))


def _page(after: int) -> list[tuple[int, int | None]]:
    """Return bodies in mailboxes, by id, each with the rules of its entry."""
    with connection.cursor() as cursor:
        cursor.execute(_PAGE, [after])
        rows: list[tuple[int, int | None]] = cursor.fetchall()
    return rows


def _index(bodies: Sequence[int], others: _Others) -> Iterator[Sequence[int]]:
    """Index these bodies (ids ascending) slice by slice; give the ids of each once it is written and rested from."""
    began, done, entries = _clocks(), 0, []
    for position, body in enumerate(bodies):
        if position % BATCH == 0:
            small = small_bodies(bodies[position : position + BATCH])
        entry = _entry(body, small.get(body))
        if entry is not None:
            entries.append((body, entry))
        if time.monotonic() - began[0] > WORK or position == len(bodies) - 1:
            _write(entries)
            figures.count("index.entries", len(entries))
            worked, computed = (end - begin for begin, end in zip(began, _clocks(), strict=True))
            time.sleep(worked * (REST + GIVE_WAY * others.share(computed) ** 2))
            yield bodies[done : position + 1]
            began, done, entries = _clocks(), position + 1, []


def _clocks() -> tuple[float, float]:
    """Return the time, and the processor seconds that this thread has used."""
    return time.monotonic(), time.thread_time()


def _entry(body: int, data: bytes | None) -> Entry | None:
    try:
        octets = data if data is not None else map_body(body)
    except FileNotFoundError:  # pruned meanwhile
        return None
    try:
        return entry_of(octets)
    except Exception:
        # A mistake of ours must not stop the index; the message is found by looking into it.
        log.exception("index.unreadable", body=to_text(body))
        figures.count("index.unreadable")
        return UNREADABLE


def _write(entries: Sequence[tuple[int, Entry]]) -> None:
    with transaction.atomic():
        there = set(Body.objects.filter(id__in=[body for body, _ in entries]).values_list("id", flat=True))
        SearchEntry.objects.bulk_create(
            [SearchEntry(body_id=body, rules=RULES, **entry._asdict()) for body, entry in entries if body in there],
            update_conflicts=True,
            update_fields=["rules", *Entry._fields],
            unique_fields=["body"],
        )


@contextmanager
def _alone() -> Iterator[bool]:
    """Say whether nobody else indexes. Only PostgreSQL may have workers on several machines; SQLite has one."""
    if connection.vendor != "postgresql":
        yield True
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [_LOCK])
        [alone] = cursor.fetchone()
        try:
            yield alone
        finally:
            if alone:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [_LOCK])


def index_all() -> Iterator[int]:
    """Index everything that is not, to the end; give how many each slice had."""
    position, others = -1, _Others()
    while page := _page(position):
        for slice_ in _index([body for body, rules in page if rules != RULES], others):
            yield len(slice_)
        position = page[-1][0]


def forget_all() -> None:
    """Have everything indexed anew. Entries stay and are of no use until then. In small transactions."""
    last = -1
    while True:
        page = list(SearchEntry.objects.filter(body__gt=last).order_by("body").values_list("body", flat=True)[:PAGE])
        if not page:
            return
        SearchEntry.objects.filter(body__gt=last, body__lte=page[-1]).update(rules=0)
        last = page[-1]
        time.sleep(PAUSE)


def state() -> State:
    """Count what is indexed, and its size. Reads all entries: a second or two for a million."""
    octets = "octet_length({})" if connection.vendor == "postgresql" else "length(CAST({} AS BLOB))"
    size = " + ".join(f"COALESCE({octets.format(column)}, 0)" for column in Entry._fields if column != "sent_on")
    with connection.cursor() as cursor:
        cursor.execute(f'SELECT COUNT(DISTINCT body_id) FROM "{Message._meta.db_table}"')  # noqa: S608
        [bodies] = cursor.fetchone()
        cursor.execute(
            f'SELECT COUNT(*), COALESCE(SUM({size}), 0) FROM "{SearchEntry._meta.db_table}" WHERE rules = {RULES}'  # noqa: S608
        )
        indexed, total = cursor.fetchone()
    return State(bodies, indexed, int(total))
