"""What has been expunged from a mailbox since a client last saw it (RFC 7162 section 3.2): how long that is known.

Rows of ``Expunged`` are kept for thirty days. Of what is older a mailbox only remembers up to which MODSEQ it has
forgotten (``Mailbox.history``): a client that asks from before is told that everything is gone which is not there,
and that is right too, only longer. No connection lives for so long: what open sessions need is always there.
"""

import time

from django.db import connection, transaction

from mailcore.store.models import Expunged, Mailbox

# Seconds for which it is known when a message was expunged.
KEEP = 30 * 86400
# UIDs in one answer; whoever has missed more is told what is not there.
ANSWER_LIMIT = 100_000

# Rows forgotten in one transaction, and transactions in one go.
_SLICE = 1000
_SLICES = 200
_PAUSE = 0.005  # seconds between two transactions: mail goes on meanwhile

_GONE = (
    f'SELECT uid FROM "{Expunged._meta.db_table}" '  # noqa: S608 - names are the models'
    "WHERE mailbox_id = %s AND modseq > %s AND modseq <= %s LIMIT %s"
)


def expunged_between(owner: int, mailbox: int, since: int, until: int) -> list[int] | None:
    """Return the UIDs that were expunged after the MODSEQ ``since`` up to ``until``, ascending.

    ``None``: not all of them are known any more, or they are too many.
    """
    with connection.cursor() as cursor:
        cursor.execute(_GONE, [mailbox, since, until, ANSWER_LIMIT + 1])
        uids = sorted(row[0] for row in cursor.fetchall())
    # Looked at last: rows that were forgotten meanwhile have moved it.
    known = Mailbox.objects.filter(pk=mailbox, owner_id=owner, history__lte=since).exists()
    return uids if known and len(uids) <= ANSWER_LIMIT else None


def forget_expunged(now: float) -> int:
    """Forget what was expunged more than thirty days before ``now`` (Unix time in seconds); returns how many rows."""
    forgotten = 0
    for _ in range(_SLICES):
        count = _forget_slice(int(now) - KEEP)
        forgotten += count
        if count < _SLICE:
            break
        time.sleep(_PAUSE)
    return forgotten


def _forget_slice(before: int) -> int:
    # Rows were written in the order of their ids; asking for old ones by their time would look at all of them.
    oldest = Expunged.objects.order_by("id").values_list("id", "mailbox_id", "modseq", "at")[:_SLICE]
    old = [row for row in oldest if row[3] < before]
    if not old:
        return 0
    reached: dict[int, int] = {}
    for _, mailbox, modseq, _ in old:
        reached[mailbox] = max(modseq, reached.get(mailbox, 0))
    with transaction.atomic():
        for mailbox in sorted(reached):
            Mailbox.objects.filter(pk=mailbox, history__lt=reached[mailbox]).update(history=reached[mailbox])
        Expunged.objects.filter(id__in=[row[0] for row in old]).delete()
    return len(old)
