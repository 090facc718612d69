"""STORE and UID STORE: change flags (RFC 3501 section 6.4.6), on a condition too (RFC 7162 section 3.1.3)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from mailcore.imap import responses, sequences
from mailcore.imap.grammar import MODSEQ_LIMIT, Parser, SyntaxRefusedError
from mailcore.imap.questions import Refused, Stored, StoreFlags, StoreMode
from mailcore.imap.selected import Selected
from mailcore.imap.sequences import Ranges
from mailcore.imap.talk import Command, Exchange, Talk
from mailcore.store.rights import settable

# Messages changed in one question: a transaction stays short, and other sessions get their turn.
SLICE = 2500

_MODES = {
    b"FLAGS": StoreMode.REPLACE,
    b"+FLAGS": StoreMode.ADD,
    b"-FLAGS": StoreMode.REMOVE,
}


@dataclass(frozen=True, slots=True)
class _Wish:
    """What a STORE asks for."""

    ranges: Ranges
    mode: StoreMode
    silent: bool
    flags: int
    keywords: tuple[str, ...]
    unchanged_since: int | None


def _store(talk: Talk, arguments: Parser, *, uid: bool) -> Exchange:
    """Change flags of messages and say what they are then."""
    wish = _wish(arguments)
    selected = talk.writable_mailbox
    if not _may_change(wish, selected.rights):
        return responses.refused(Refused.NO_PERMISSION)
    if wish.unchanged_since is not None:
        yield talk.learn_condstore()
    places = selected.places(wish.ranges, uid=uid)
    uids = selected.uids_of(places)
    failed: list[int] = []
    found = 0
    known = dict(talk.known)
    for start in range(0, len(uids), SLICE):
        talk.progress = (start, len(uids))
        stored: Stored = yield StoreFlags(
            selected.key,
            uids[start : start + SLICE],
            wish.mode,
            wish.flags,
            wish.keywords,
            wish.unchanged_since,
            selected.rights,
            talk.device,
        )
        talk.news = True
        failed += stored.failed
        found += len(stored.rows) + len(stored.failed)
        yield _tell(talk, selected, wish, stored, uid=uid)
        known.update({row[0]: (row[1], row[2]) for row in stored.rows})
        talk.known = known
    if failed:
        refused = failed if uid else [number for number, _ in selected.numbers_of(failed)]
        return responses.ok(b"Some messages have changed meanwhile", b"MODIFIED " + sequences.write(refused))
    if not uid and found < sum(map(len, places)):
        # RFC 2180 section 4.2.1: what is still there has been changed.
        return responses.completed(b"STORE", b"EXPUNGEISSUED")
    return responses.completed(b"UID STORE" if uid else b"STORE")


def _may_change(wish: _Wish, rights: str) -> bool:
    """Say whether there is anything in this that the rights allow; the rest is passed over (RFC 4314 section 4)."""
    if wish.mode is StoreMode.REPLACE or not (wish.flags or wish.keywords):
        return bool(settable(rights))
    return bool(wish.flags & settable(rights) or (wish.keywords and "w" in rights))


def _wish(arguments: Parser) -> _Wish:
    """Take ``SP sequence-set [store-modifiers] SP store-att-flags``.

    ``store-att-flags = (["+" / "-"] "FLAGS" [".SILENT"]) SP (flag-list / (flag *(SP flag)))``; the modifiers are
    ``SP "(" "UNCHANGEDSINCE" SP mod-sequence-valzer ")"`` (RFC 7162 section 7).
    """
    arguments.space()
    ranges = arguments.sequence_set()
    arguments.space()
    unchanged_since = None
    if arguments.accept(b"("):
        if arguments.word() != b"UNCHANGEDSINCE":
            raise SyntaxRefusedError("Unknown modifier")
        arguments.space()
        unchanged_since = arguments.number(most=MODSEQ_LIMIT)
        arguments.expect(b")")
        arguments.space()
    item = arguments.word()
    mode = _MODES.get(item.removesuffix(b".SILENT"))
    if mode is None:
        raise SyntaxRefusedError("Unknown STORE item")
    arguments.space()
    flags, keywords = arguments.flags()
    arguments.end()
    return _Wish(ranges, mode, item.endswith(b".SILENT"), flags, keywords, unchanged_since)


def _tell(talk: Talk, selected: Selected, wish: _Wish, stored: Stored, *, uid: bool) -> bytes:
    """Write a FETCH response for each message; with .SILENT only where the client cannot know what has come out."""
    lines: list[bytes] = [selected.introduce({row[2] for row in stored.rows})]
    table = selected.table() if wish.silent else None
    form = talk.form
    numbers = {each: number for number, each in selected.numbers_of([row[0] for row in stored.rows])}
    for found, flags, keywords, modseq in stored.rows:
        number = numbers.get(found)
        if number is None:
            continue
        items = []
        before = (table.flags[number - 1], table.keywords[number - 1]) if table else None
        if before is None or _is_surprise(wish, selected.rights, before, (flags, keywords)):
            items.append(b"FLAGS " + selected.flags_of(found, flags, keywords))
        elif not talk.condstore:
            continue
        if talk.condstore:
            # RFC 7162 section 3.1.3: the MODSEQ is told even with .SILENT.
            items.append(b"MODSEQ (%d)" % modseq)
        lines.append(form.fetch(number, found, items, by_uid=uid))
    return b"".join(lines)


# Flags and keywords of a message.
_State: TypeAlias = tuple[int, Sequence[str]]


def _is_surprise(wish: _Wish, rights: str, before: _State, after: _State) -> bool:
    """Say whether somebody else has changed the message too: the outcome is not what the client expects."""
    own, writes = settable(rights), "w" in rights
    old_flags, old_words = before[0], {word.lower() for word in before[1]}
    given = {word.lower() for word in wish.keywords} if writes else set()
    if wish.mode is StoreMode.REPLACE:
        expected, expected_words = old_flags & ~own | wish.flags & own, given if writes else old_words
    elif wish.mode is StoreMode.ADD:
        expected, expected_words = old_flags | wish.flags & own, old_words | given
    else:
        expected, expected_words = old_flags & ~(wish.flags & own), old_words - given
    return after[0] != expected or {word.lower() for word in after[1]} != expected_words


COMMANDS = {
    b"STORE": Command(partial(_store, uid=False), expunges=False),
    b"UID STORE": Command(partial(_store, uid=True)),
}
