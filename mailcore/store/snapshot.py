"""A mailbox as clients see it, at one MODSEQ: its UIDs, flags, keywords and modseqs, in parallel arrays.

Pure values. A snapshot never changes, so every session may hold one without a lock; what happens in the mailbox makes
a new one, which shares what stayed the same.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import compress
from operator import itemgetter
from typing import NamedTuple

from mailcore.store.keywords import NONE, split

# A row of a message: UID, flags, keywords as kept in the row, MODSEQ.
Row = tuple[int, int, str, int]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All messages of a mailbox, ascending by UID. ``modseq`` covers everything in it and nothing that is not."""

    uids: "array[int]"  # UIDs have 32 bits (RFC 3501 section 2.3.1.1)
    flags: "array[int]"  # bits of flags.py
    keywords: Sequence[tuple[str, ...]]
    modseqs: "array[int]"
    modseq: int
    uidvalidity: int
    uidnext: int

    def position(self, uid: int) -> int:
        """Return the index of a UID, -1 when it is not there."""
        at = bisect_left(self.uids, uid)
        return at if at < len(self.uids) and self.uids[at] == uid else -1


class Step(NamedTuple):
    """What led from one snapshot to the next: UIDs, ascending."""

    modseq: int
    updated: Sequence[int]  # new ones and changed ones
    vanished: Sequence[int]


def build(rows: Sequence[Row], modseq: int, uidvalidity: int, uidnext: int) -> Snapshot:
    """Make a snapshot from all rows, ascending by UID."""
    uids, flags, texts, modseqs = zip(*rows, strict=True) if rows else ((), (), (), ())
    keywords = [split(text) if text else NONE for text in texts]
    return Snapshot(array("I", uids), array("B", flags), keywords, array("Q", modseqs), modseq, uidvalidity, uidnext)


def advance(
    old: Snapshot, rows: Sequence[Row], gone: Collection[int], modseq: int, uidnext: int
) -> tuple[Snapshot, Step]:
    """Make the next snapshot from the rows that are new or have changed since, and the UIDs that are gone.

    ``rows`` ascend by UID. What came and went meanwhile may be among ``gone``; that is no harm.
    """
    flags, modseqs = old.flags, old.modseqs
    uids, keywords = old.uids, old.keywords
    present = set(gone).intersection(uids) if gone else set()
    if present:
        stays = bytes(uid not in present for uid in uids)
        uids = array("I", compress(uids, stays))
        flags = array("B", compress(flags, stays))
        keywords = list(compress(keywords, stays))
        modseqs = array("Q", compress(modseqs, stays))
    elif rows:
        flags, modseqs = flags[:], modseqs[:]
    last = uids[-1] if uids else 0
    first_new = bisect_right(rows, last, key=itemgetter(0))
    if first_new:
        keywords = _change(uids, flags, keywords, modseqs, rows[:first_new])
    if first_new < len(rows):
        tail = build(rows[first_new:], 0, 0, 0)
        uids = uids + tail.uids
        flags += tail.flags
        keywords = [*keywords, *tail.keywords]
        modseqs += tail.modseqs
    new = Snapshot(uids, flags, keywords, modseqs, modseq, old.uidvalidity, uidnext)
    return new, Step(modseq, [row[0] for row in rows], sorted(present))


def _change(
    uids: "array[int]",
    flags: "array[int]",
    keywords: Sequence[tuple[str, ...]],
    modseqs: "array[int]",
    rows: Sequence[Row],
) -> Sequence[tuple[str, ...]]:
    """Write what changed into ``flags`` and ``modseqs``; return the keywords, in a new list if any of them changed."""
    begin = bisect_left(uids, rows[0][0])
    end = begin + len(rows)
    if end <= len(uids) and uids[end - 1] == rows[-1][0]:  # neighbours: many often change together
        new = build(rows, 0, 0, 0)
        flags[begin:end] = new.flags
        modseqs[begin:end] = new.modseqs
        if keywords[begin:end] == new.keywords:
            return keywords
        return [*keywords[:begin], *new.keywords, *keywords[end:]]
    changed: list[tuple[str, ...]] | None = None
    for uid, bits, text, modseq in rows:
        at = bisect_left(uids, uid)
        flags[at] = bits
        modseqs[at] = modseq
        words = split(text) if text else NONE
        if keywords[at] != words:
            if changed is None:
                keywords = changed = list(keywords)
            changed[at] = words
    return keywords
