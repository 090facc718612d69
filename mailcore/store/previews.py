"""Previews of messages (RFC 8970): made when they are first asked for, and kept from then on.

``read`` belongs in a reader thread; what it had to make is then given to the group commit as ``Keep``.
"""

from bisect import bisect_right
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from mailcore.message.text import PREVIEW_SCAN, preview
from mailcore.store.batch import Batch
from mailcore.store.models import Preview
from mailcore.store.reading import beginnings, with_previews
from mailcore.store.uidsets import among
from mailqueue.bodies import ROW_LIMIT
from mailqueue.models import Body

# Messages whose beginnings are read at once, and octets that are looked at for one answer.
_SLICE = 50
EFFORT_LIMIT = 4 * 1024 * 1024


class Previews(NamedTuple):
    """Previews by UID, ``None`` where one was left out; those that are new, by body; and how many UIDs are done."""

    texts: Mapping[int, str | None]
    made: Mapping[int, str]
    done: int


def read(owner: int, mailbox: int, uids: Sequence[int], *, lazy: bool) -> Previews:
    """Return the previews of messages (UIDs ascending); of fewer than were asked for where many are new.

    ``lazy``: without opening a file (RFC 8970 section 3.1).
    """
    rows = with_previews(owner, mailbox, uids)
    texts = {uid: text for uid, _, _, text in rows}
    wanted = [row[:3] for row in rows if row[3] is None and not (lazy and row[2] > ROW_LIMIT)]
    made: dict[int, str] = {}
    effort = 0
    for begin in range(0, len(wanted), _SLICE):
        part = wanted[begin : begin + _SLICE]
        found = beginnings([(body, size) for _, body, size in part], PREVIEW_SCAN)
        for uid, body, _ in part:
            if body not in made:
                made[body] = preview(found[body]) if body in found else ""
            texts[uid] = made[body]
        effort += sum(map(len, found.values()))
        if effort > EFFORT_LIMIT:
            return Previews(texts, made, bisect_right(uids, part[-1][0]))
    return Previews(texts, made, len(uids))


@dataclass(frozen=True, slots=True)
class Keep:
    """Keep previews that were made (a ``Work``), by the ids of their bodies. What is there already stays."""

    made: Mapping[int, str]
    users: Collection[int] = ()
    mailboxes: Collection[int] = ()
    weight: int = 0

    def apply(self, batch: Batch) -> None:
        """Write those whose bodies are still there: nobody may be reading the message any more."""
        where = among(sorted(self.made), "b.id")
        missing = batch.rows(
            f'SELECT b.id FROM "{Body._meta.db_table}" b WHERE {where.sql} '  # noqa: S608 - our own names
            f'AND NOT EXISTS (SELECT 1 FROM "{Preview._meta.db_table}" p WHERE p.body_id = b.id)',
            where.parameters,
        )
        for (body,) in missing:
            batch.add(Preview, (body, self.made[body]))
