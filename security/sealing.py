"""The hash chain over the audit log: what is sealed cannot be changed, removed or put between others unseen.

Entries are written plain, in the transaction of the act, and sealed by one process within about a second: each hash
covers the entry and the hash before it, under a key that is kept outside the database. The newest hash goes to the log
now and then, so that a tail cut off shows.

Old entries can be purged. What goes leaves a checkpoint, the number and hash of the last one, sealed under the same
key: the chain is verified from there. A purge stops at an entry that does not hold, for it must not hide a change.

What this does not do: an entry can be changed unseen before it is sealed, and who holds both the key and the database
can write the whole chain anew, but for the hashes that were logged.
"""

import hashlib
import hmac
import json
import secrets
from collections.abc import Iterator
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import structlog
from django.db import connection, transaction
from django.db.models import Min
from django.utils import timezone

from a3mailer_site.env import current
from a3mailer_site.keys import keep
from security.models import AuditCheckpoint, AuditEntry

log = structlog.get_logger("security.sealing")

# Entries sealed in one transaction, and purged in one.
BATCH = 1000
PURGE_BATCH = 500

_COVERED = (
    "id",
    "at",
    "event_type",
    "severity",
    "outcome",
    "source_ip",
    "user_id",
    "action",
    "metadata",
    "request_id",
)
_SEAL = f'UPDATE "{AuditEntry._meta.db_table}" SET seq = %s, prev = %s, hash = %s WHERE id = %s AND seq IS NULL'  # noqa: S608
# Any number will do that no other lock of ours has.
_LOCK = 0x41334D41


def seal() -> int:
    """Seal what has been committed since the last time; returns how many entries. Reads and writes the database."""
    sealed = 0
    while AuditEntry.objects.filter(seq__isnull=True).exists():
        count = _seal_some()
        sealed += count
        if count < BATCH:
            break
    return sealed


def _seal_some() -> int:
    with transaction.atomic():
        _lock()
        seq, last = head()
        rows = []
        # An entry whose transaction took longer than that of a later one comes behind it.
        for facts in AuditEntry.objects.filter(seq__isnull=True).order_by("id").values_list(*_COVERED)[:BATCH]:
            seq += 1
            prev, last = last, digest(seq, last, facts)
            rows.append((seq, prev, last, facts[0]))
        with connection.cursor() as cursor:
            cursor.executemany(_SEAL, rows)
    return len(rows)


def _lock() -> None:
    """Keep everybody else off both ends of the chain until the transaction ends; on SQLite it does so by itself."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])


def head() -> tuple[int, str]:
    """Return number and hash of the newest sealed entry; ``(0, "")`` when there has never been one."""
    newest = AuditEntry.objects.filter(seq__isnull=False).order_by("-seq").values_list("seq", "hash").first()
    if newest:
        return newest[0] or 0, newest[1]
    point = AuditCheckpoint.objects.order_by("-seq").first()
    return (point.seq, point.hash) if point is not None else (0, "")


def beginning() -> tuple[int, str]:
    """Return number and hash of the last purged entry; ``(0, "")`` when none is gone.

    Raises ``ForgedCheckpointError`` when the checkpoint is not as it was written.
    """
    points = list(AuditCheckpoint.objects.order_by("seq")[:2])
    if not points:
        return 0, ""
    point = points[0]
    if len(points) > 1 or not hmac.compare_digest(point.seal, _point_seal(point)):
        raise ForgedCheckpointError(point.seq)
    return point.seq, point.hash


class ForgedCheckpointError(Exception):
    """The checkpoint of a purge is not as it was written."""


def broken_links() -> Iterator[int]:
    """Give the numbers at which the chain does not hold: an entry there was changed, or one before it is missing.

    May run beside the sealer and beside a purge: what is read in pieces is read again where a purge went past it.
    Raises ``ForgedCheckpointError``.
    """
    expected, last = _after(beginning())
    if (stray := _before(expected)) is not None:
        yield stray
    while rows := _sealed_from(expected):
        if rows[0][0] != expected and (fresh := _after(beginning()))[0] > expected:
            expected, last = fresh
            continue
        for seq, prev, own, *facts in rows:
            if seq != expected or prev != last or not hmac.compare_digest(own, digest(seq, prev, tuple(facts))):
                yield seq
            expected, last = seq + 1, own


def _after(point: tuple[int, str]) -> tuple[int, str]:
    return point[0] + 1, point[1]


def _before(expected: int) -> int | None:
    """Return the number of an entry that stands before the beginning, where nothing can be."""
    found: int | None = AuditEntry.objects.filter(seq__lt=expected).aggregate(least=Min("seq"))["least"]
    # A purge may have moved the beginning since it was read, but never back.
    return found


def _sealed_from(seq: int, count: int = BATCH) -> list[tuple[Any, ...]]:
    rows = AuditEntry.objects.filter(seq__gte=seq).order_by("seq")
    return list(rows.values_list("seq", "prev", "hash", *_COVERED)[:count])


class BrokenChainError(Exception):
    """The chain does not hold where something is to be purged; the argument is the number of the entry."""


def last_before(moment: datetime) -> int:
    """Return the number up to which every entry is older than ``moment``; 0 when none is."""
    # First of all: what is sealed while we look is not old.
    end = head()[0]
    older = AuditEntry.objects.filter(seq__isnull=False)
    newer = older.filter(at__gte=moment).aggregate(least=Min("seq"))["least"]
    last = newer - 1 if newer is not None else end
    return last if older.filter(seq__lte=last).exists() else 0


def purge_some(last: int) -> int:
    """Delete some of the oldest entries, up to the number ``last``, and move the checkpoint; returns how many.

    Raises ``BrokenChainError`` (and deletes nothing of these) when they are not as they were written.
    """
    try:
        start, prev = _after(beginning())
    except ForgedCheckpointError as error:
        raise BrokenChainError(*error.args) from error
    rows = [row for row in _sealed_from(start, PURGE_BATCH) if row[0] <= last]
    if not rows:
        return 0
    # Outside of the transaction: nobody should wait for hashes.
    for expected, (seq, its_prev, own, *facts) in enumerate(rows, start):
        if seq != expected:
            if beginning()[0] >= start:
                return 0  # somebody else has just purged these
            raise BrokenChainError(seq)
        if its_prev != prev or not hmac.compare_digest(own, digest(seq, its_prev, tuple(facts))):
            raise BrokenChainError(seq)
        prev = own
    point = AuditCheckpoint(seq=rows[-1][0], hash=rows[-1][2], purged_at=timezone.now())
    point.seal = _point_seal(point)
    with transaction.atomic():
        _lock()
        if beginning()[0] != start - 1:
            return 0  # as above
        gone = AuditEntry.objects.filter(seq__gte=start, seq__lte=point.seq).delete()[0]
        AuditCheckpoint.objects.all().delete()
        point.save()
    return gone


def _point_seal(point: AuditCheckpoint) -> str:
    return _mac(["checkpoint", point.seq, point.hash, point.purged_at.isoformat()])


def digest(seq: int, prev: str, facts: tuple[Any, ...]) -> str:
    """Return the hash of an entry, given its number, the hash before it and its columns."""
    return _mac([seq, prev, *map(_plain, facts)])


def _mac(values: list[Any]) -> str:
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hmac.digest(_key(current().data_dir / "audit_key"), text.encode(), hashlib.sha256).hex()


def _plain(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value


@cache
def _key(path: Path) -> bytes:
    return keep(path, secrets.token_bytes(32))


class HeadLog:
    """Tells the log of the newest hash whenever it is another one."""

    def __init__(self) -> None:
        self._told = 0

    def tell(self) -> None:
        """Write a line if something was sealed since the last one."""
        seq, last = head()
        if seq != self._told:
            self._told = seq
            log.info("audit log sealed", seq=seq, hash=last)
