"""What was refused, counted by minute: one row a minute and kind, however many there were.

Each process counts for itself and adds to the rows every few seconds, so that a flood of refusals costs the database
next to nothing.
"""

import threading
import time
from datetime import UTC, datetime, timedelta

import structlog
from django.db import DatabaseError, InterfaceError, transaction
from django.db.models import F, Sum

from security.models import Tally

log = structlog.get_logger("security.tallies")

WRITE_EVERY = 2.0
# Days that the rows are kept: as long as the longest window of the overview.
DAYS = 30

_lock = threading.Lock()
_waiting: dict[tuple[int, str], int] = {}
_written_at = float("-inf")


def count(kind: Tally.Kind, now: float | None = None) -> None:
    """Count one refusal (``now`` in Unix time)."""
    minute = int(now if now is not None else time.time()) // 60 * 60
    with _lock:
        _waiting[minute, kind] = _waiting.get((minute, kind), 0) + 1


def write_down(*, at_once: bool = False) -> None:
    """Add to the rows what was counted, if that was not done in the last seconds. Never raises."""
    global _waiting, _written_at  # noqa: PLW0603
    with _lock:
        if not _waiting or (not at_once and time.monotonic() - _written_at < WRITE_EVERY):
            return
        _written_at = time.monotonic()
        counts, _waiting = _waiting, {}
    try:
        with transaction.atomic():
            for (minute, kind), number in sorted(counts.items()):
                at = datetime.fromtimestamp(minute, UTC)
                if not Tally.objects.filter(minute=at, kind=kind).update(count=F("count") + number):
                    row, made = Tally.objects.get_or_create(minute=at, kind=kind, defaults={"count": number})
                    if not made:  # by another process, in this very moment
                        Tally.objects.filter(pk=row.pk).update(count=F("count") + number)
    except (DatabaseError, InterfaceError) as error:
        with _lock:
            for key, number in counts.items():
                _waiting[key] = _waiting.get(key, 0) + number
        log.warning("refused requests cannot be written down now", reason=str(error))


def since(moment: datetime) -> dict[str, int]:
    """Return how often something was refused since then, by kind: what this process has not written down included."""
    write_down(at_once=True)
    rows = Tally.objects.filter(minute__gt=moment - timedelta(minutes=1)).order_by().values("kind")
    return {row["kind"]: row["total"] for row in rows.annotate(total=Sum("count"))}


def forget() -> None:
    """Forget what was counted and not yet written down (tests)."""
    with _lock:
        _waiting.clear()


def purge(now: datetime) -> int:
    """Delete rows that no figure looks at any more; returns how many. There are four a minute at most."""
    return Tally.objects.filter(minute__lt=now - timedelta(days=DAYS)).delete()[0]
