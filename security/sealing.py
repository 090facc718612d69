"""The hash chain over the audit log: what is sealed cannot be changed, removed or put between others unseen.

Entries are written plain, in the transaction of the act, and sealed by one process within about a second: each hash
covers the entry and the hash before it, under a key that is kept outside the database. The newest hash goes to the log
now and then, so that a tail cut off shows.

What this does not do: an entry can be changed unseen before it is sealed, and who holds both the key and the database
can write the whole chain anew, but for the hashes that were logged.
"""

import hashlib
import hmac
import json
import secrets
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import structlog
from django.db import connection, transaction

from a3mailer_site.env import current
from a3mailer_site.keys import keep
from security.models import AuditEntry

log = structlog.get_logger("security.sealing")

# Entries sealed in one transaction.
BATCH = 1000

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
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
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


def head() -> tuple[int, str]:
    """Return number and hash of the newest sealed entry; ``(0, "")`` when there is none."""
    newest = AuditEntry.objects.filter(seq__isnull=False).order_by("-seq").values_list("seq", "hash").first()
    return (newest[0] or 0, newest[1]) if newest else (0, "")


def broken_links() -> Iterator[int]:
    """Give the numbers at which the chain does not hold: an entry there was changed, or one before it is missing."""
    expected, last = 1, ""
    rows = AuditEntry.objects.filter(seq__isnull=False).order_by("seq").values_list("seq", "prev", "hash", *_COVERED)
    for seq, prev, own, *facts in rows.iterator(BATCH):
        number = seq or 0
        if number != expected or prev != last or not hmac.compare_digest(own, digest(number, prev, tuple(facts))):
            yield number
        expected, last = number + 1, own


def digest(seq: int, prev: str, facts: tuple[Any, ...]) -> str:
    """Return the hash of an entry, given its number, the hash before it and its columns."""
    text = json.dumps([seq, prev, *map(_plain, facts)], sort_keys=True, separators=(",", ":"))
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
