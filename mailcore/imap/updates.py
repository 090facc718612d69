"""Keeping up searches: which messages come into their results and leave them (RFC 5267 sections 4.3.3 and 4.3.4).

What a message says never changes. So only those are looked at again that are new, or whose flags have changed; what
was expunged leaves. Results that are sorted are told with their positions. New messages are described before, where
that was asked for (RFC 5465 section 7); those that come in because their flags have changed are not.
"""

from array import array
from bisect import bisect_left
from collections.abc import Callable, Collection, Generator, Iterable, Sequence
from typing import Any

from mailcore.dialogue import Question
from mailcore.imap import responses, sequences
from mailcore.imap.contexts import Context
from mailcore.imap.questions import Pause, SortMessages
from mailcore.imap.search_keys import Searcher
from mailcore.imap.selected import Selected
from mailcore.imap.talk import QuestionRefusedError, Talk

# Searches that are kept up in one session, messages in the results of all of them, and in one that is sorted: each new
# message makes the store put it in order again.
CONTEXTS_LIMIT = 16
RESULTS_LIMIT = 200_000
SORTED_LIMIT = 50_000
# Messages that are looked at again before others have their turn.
SLICE = 5000


def may_add(selected: Selected, results: int, *, is_sorted: bool) -> bool:
    """Say whether one more search can be kept up. The first one always, unless it is sorted (section 4.3.1)."""
    contexts = selected.contexts.values()
    if is_sorted and results > SORTED_LIMIT:
        return False
    taken = sum(len(context.uids) for context in contexts)
    return not contexts or (len(contexts) < CONTEXTS_LIMIT and taken + results <= RESULTS_LIMIT)


def tell_leaving(selected: Selected, gone: Collection[int]) -> bytes:
    """Take expunged messages out of the results. To be told before EXPUNGE, while their numbers are still theirs."""
    lines = []
    for context in selected.contexts.values():
        leaving = set(gone).intersection(context.uids)
        if leaving:
            lines.append(_response(context, b" REMOVEFROM (%b)" % _taken_out(selected, context, leaving)))
    return b"".join(lines)


def tell_updates(
    talk: Talk, selected: Selected, changed: Iterable[int], new_from: int
) -> Generator[Question | bytes, Any, None]:
    """Look again at messages that are new or have changed (UIDs), and say which results they came into or left.

    New are those with the UID ``new_from`` or a greater one.
    """
    changed = set(changed)
    for context in list(selected.contexts.values()):
        candidates = sorted(context.unsure | changed)
        context.unsure = set()
        for start in range(0, len(candidates), SLICE):
            if start:
                yield Pause()
            try:
                yield from _follow(talk, selected, context, candidates[start : start + SLICE], new_from)
            except QuestionRefusedError:
                # What this context did not hear of it hears of next time.
                context.unsure.update(candidates[start : start + SLICE])
                talk.news = True


def _follow(
    talk: Talk, selected: Selected, context: Context, candidates: list[int], new_from: int
) -> Generator[Question | bytes, Any, None]:
    gone = selected.pending
    places = [number - 1 for number, uid in selected.numbers_of(candidates) if uid not in gone]
    if not places:
        return
    found = yield from Searcher(selected).find(context.key, places)
    fulfil = {selected.uids[place] for place in found}
    members = {selected.uids[place] for place in places}.intersection(context.uids)
    leaving = members - fulfil
    coming = fulfil - members
    order: Sequence[int] = ()
    if coming and context.criteria:
        wanted = sorted((set(context.uids) - leaving) | coming)
        order = yield SortMessages(selected.key, wanted, context.criteria)
        coming.intersection_update(order)
    if context.describe is not None:
        new = sorted(uid for uid in coming if uid >= new_from)
        yield from context.describe(talk, [number - 1 for number, _ in selected.numbers_of(new)])
    said = b""
    if leaving:
        said += b" REMOVEFROM (%b)" % _taken_out(selected, context, leaving)
    if coming:
        said += b" ADDTO (%b)" % _put_in(selected, context, coming, order)
    if said:
        yield _response(context, said)


def _taken_out(selected: Selected, context: Context, leaving: Collection[int]) -> bytes:
    """Take messages out of the result; return how that is said.

    Position 0 is for a result that is not sorted. Otherwise the last ones go first, so that the positions of those
    before them stay what they are.
    """
    name = _naming(selected, context)
    if context.criteria:
        runs = _runs(context.uids, leaving)
        said = b" ".join([b"%d %b" % (at + 1, sequences.write(map(name, uids))) for at, uids in reversed(runs)])
    else:
        said = b"0 " + sequences.write(map(name, sorted(leaving)))
    context.uids = array("I", [uid for uid in context.uids if uid not in leaving])
    return said


def _put_in(selected: Selected, context: Context, coming: Collection[int], order: Sequence[int]) -> bytes:
    """Put messages into the result; return how that is said. ``order`` has the whole result where it is sorted."""
    name = _naming(selected, context)
    if not context.criteria:
        context.uids = array("I", sorted({*context.uids, *coming}))
        return b"0 " + sequences.write(map(name, sorted(coming)))
    context.uids = _merged(context.uids, coming, order)
    runs = _runs(context.uids, coming)
    return b" ".join([b"%d %b" % (at + 1, sequences.write(map(name, uids))) for at, uids in runs])


def _merged(old: Sequence[int], coming: Collection[int], order: Sequence[int]) -> "array[int]":
    """Put the new messages where ``order`` has them. What is not in it any more stays where it was until it is told."""
    merged = array("I")
    there = set(order)
    at = 0
    for uid in order:
        if uid in coming:
            merged.append(uid)
            continue
        while at < len(old) and old[at] != uid and old[at] not in there:
            merged.append(old[at])
            at += 1
        merged.append(uid)
        at += 1
    merged.extend(old[at:])
    return merged


def _runs(uids: Sequence[int], wanted: Collection[int]) -> list[tuple[int, list[int]]]:
    """Return where those that are wanted stand, neighbours together."""
    runs: list[tuple[int, list[int]]] = []
    for at, uid in enumerate(uids):
        if uid not in wanted:
            continue
        if runs and runs[-1][0] + len(runs[-1][1]) == at:
            runs[-1][1].append(uid)
        else:
            runs.append((at, [uid]))
    return runs


def _naming(selected: Selected, context: Context) -> Callable[[int], int]:
    if context.uid:
        return lambda uid: uid
    return lambda uid: bisect_left(selected.uids, uid) + 1


def _response(context: Context, items: bytes) -> bytes:
    uid = b" UID" if context.uid else b""
    return b"* ESEARCH (TAG %b)%b%b\r\n" % (responses.string(context.tag), uid, items)
