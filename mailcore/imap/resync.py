"""Bringing a client's copy of a mailbox up to date: VANISHED (EARLIER) and what has changed (RFC 7162 section 3.2).

Sets of UIDs stay ranges here: a client may know ``1:4294967295``.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from mailcore.conversation import CommandRefusedError
from mailcore.imap import responses
from mailcore.imap.changes import in_turns
from mailcore.imap.forms import vanished
from mailcore.imap.grammar import MODSEQ_LIMIT, Parser, SyntaxRefusedError
from mailcore.imap.questions import ReadVanished
from mailcore.imap.selected import Selected
from mailcore.imap.sequences import STAR, Ranges, resolve
from mailcore.imap.talk import Piece, QuestionRefusedError, Talk

Runs = Iterable[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Resync:
    """What a client knows of the mailbox that it selects."""

    uidvalidity: int
    modseq: int
    known: Ranges | None = None  # UIDs
    numbers: Ranges = ()  # message numbers of some messages, ascending,
    uids: Ranges = ()  # and their UIDs


def read_resync(talk: Talk, arguments: Parser) -> Resync:
    """Take what follows QRESYNC in a SELECT.

    ``"(" uidvalidity SP mod-sequence-value [SP known-uids] [SP seq-match-data] ")"`` (RFC 7162 section 7)
    """
    if not talk.qresync:
        raise SyntaxRefusedError("QRESYNC is not enabled")  # RFC 7162 section 3.2.5
    arguments.space()
    arguments.expect(b"(")
    uidvalidity = arguments.number(least=1)
    arguments.space()
    modseq = arguments.number(least=1, most=MODSEQ_LIMIT)
    known = None
    numbers: Ranges = ()
    uids: Ranges = ()
    if arguments.accept(b" ") and not arguments.at(b"("):
        known = _without_star(arguments)
        more = arguments.accept(b" ")
    else:
        more = arguments.at(b"(")
    if more:
        if talk.uidonly:
            raise CommandRefusedError(responses.UID_REQUIRED)  # RFC 9586 section 3
        arguments.expect(b"(")
        numbers = _without_star(arguments)
        arguments.space()
        uids = _without_star(arguments)
        arguments.expect(b")")
        if not _ascends(numbers) or not _ascends(uids) or _count(numbers) != _count(uids):
            raise SyntaxRefusedError("Message numbers and UIDs do not go together")
    arguments.expect(b")")
    return Resync(uidvalidity, modseq, known, numbers, uids)


def _without_star(arguments: Parser) -> Ranges:
    ranges = arguments.sequence_set()
    if any(STAR in pair for pair in ranges):
        raise SyntaxRefusedError("No * here")
    return ranges


def _ascends(ranges: Ranges) -> bool:
    ends = [end for pair in ranges for end in pair]
    return ends == sorted(ends)


def _count(ranges: Ranges) -> int:
    return sum(last - first + 1 for first, last in ranges)


def resynchronise(talk: Talk, selected: Selected, resync: Resync) -> Piece:
    """Tell what has happened since the client last saw the mailbox, as far as it is about UIDs that it knows."""
    if resync.uidvalidity != selected.snapshot.uidvalidity:
        return  # it has to begin anew, and sees so (RFC 7162 section 3.2.5)
    last = selected.snapshot.uidnext - 1
    known = resolve(resync.known, last) if resync.known is not None else [(1, last)] if last else []
    matched = matching(resync.numbers, resync.uids, selected.uids)
    yield from tell_vanished(selected, resync.modseq, overlap(known, [(matched + 1, last)]))
    modseqs = selected.table().modseqs
    places = [
        place
        for low, high in known
        for place in range(bisect_left(selected.uids, low), bisect_right(selected.uids, high))
        if modseqs[place] > resync.modseq
    ]
    yield from in_turns(_changed(talk, selected, places))


def _changed(talk: Talk, selected: Selected, places: Iterable[int]) -> Iterator[bytes]:
    form, table = talk.form, selected.table()
    for place in places:
        uid = selected.uids[place]
        flags = selected.flags_of(uid, table.flags[place], table.keywords[place])
        yield form.fetch(place + 1, uid, [b"FLAGS " + flags, b"MODSEQ (%d)" % table.modseqs[place]])


def tell_vanished(selected: Selected, since: int, wanted: Runs) -> Piece:
    """Say which of these UIDs were expunged after a MODSEQ (RFC 7162 section 3.2.10.1).

    Where that is not known any more, all that are not there (section 3.2.6). What this session has still to be told
    of as VANISHED or EXPUNGE is not among them.
    """
    try:
        gone: Runs | None = yield ReadVanished(selected.key, since, selected.snapshot.modseq)
    except QuestionRefusedError:
        gone = None
    missing = wanted if gone is None else overlap(gone, wanted)
    yield from in_turns(vanished(holes(missing, selected.uids), earlier=True))


def overlap(some: Runs, others: Runs) -> Iterator[tuple[int, int]]:
    """Give what is in both; each ascends and has no overlaps."""
    left, right = iter(some), iter(others)
    try:
        one, other = next(left), next(right)
        while True:
            low, high = max(one[0], other[0]), min(one[1], other[1])
            if low <= high:
                yield low, high
            if one[1] < other[1]:
                one = next(left)
            else:
                other = next(right)
    except StopIteration:
        return


def holes(ranges: Runs, uids: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Give what is in the ranges and not among the UIDs, which ascend."""
    for low, high in ranges:
        at, end = bisect_left(uids, low), bisect_right(uids, high)
        if end - at == high - low + 1:
            continue
        for uid in uids[at:end]:
            if uid > low:
                yield low, uid - 1
            low = uid + 1  # noqa: PLW2901 - what is left of the range
        if low <= high:
            yield low, high


def matching(numbers: Ranges, known: Ranges, uids: Sequence[int]) -> int:
    """Return the greatest UID up to which the client has missed no expunge; 0 if there is none.

    It names some messages by number and by UID. As long as the n-th message still has the UID that it had, nothing
    before it is gone, and what it says of later ones is of no use (RFC 7162 section 3.2.5.2).
    """
    matched = 0
    for number, uid, count in _in_parallel(numbers, known):
        low, high = 0, count  # so many of these match: they do up to some place, and not after it
        while low < high:
            middle = (low + high) // 2
            at = number + middle - 1
            if at < len(uids) and uids[at] == uid + middle:
                low = middle + 1
            else:
                high = middle
        if low:
            matched = uid + low - 1
        if low < count:
            break
    return matched


def _in_parallel(numbers: Ranges, uids: Ranges) -> Iterator[tuple[int, int, int]]:
    """Cut two sets of one size into pieces that are ranges in both: first number, first UID, how many."""
    ends = iter(uids)
    uid, last_uid = 1, 0
    for first, last in numbers:
        number = first
        while number <= last:
            if uid > last_uid:
                uid, last_uid = next(ends)
            count = min(last - number, last_uid - uid) + 1
            yield number, uid, count
            number += count
            uid += count
