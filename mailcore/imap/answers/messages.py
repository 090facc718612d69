"""Messages of the selected mailbox: read, flag, remove, copy."""

import re
from bisect import bisect_right
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, NamedTuple

from mailcore.dialogue import Question, UnavailableError
from mailcore.imap.answers.common import Answer, actor, begin, into, refusing, target
from mailcore.imap.questions import (
    Copied,
    CopyMessages,
    Decoded,
    Expunge,
    Expunged,
    Fetched,
    FetchMessages,
    ReadBody,
    ReadDecoded,
    Refused,
    SectionText,
    Stored,
    StoreFlags,
)
from mailcore.imap.sections import Cutter, decode_window, window_length
from mailcore.message import imapform
from mailcore.message.headers import Octets
from mailcore.message.structure import scan
from mailcore.message.transfer import Place
from mailcore.store import changes, previews
from mailcore.store.batch import GoneError
from mailcore.store.previews import Previews
from mailcore.store.readahead import STRIDE, read_ahead
from mailcore.store.reading import ANSWER_LIMIT, MessageRow, bodies, following, overview, read_piece
from mailcore.transport import Doors

# Octets decoded for one answer, whatever it comes to: BINARY.SIZE of large parts is a few digits.
EFFORT_LIMIT = 8 * 1024 * 1024


class _Begun(NamedTuple):
    """A question that has not been asked yet, and its answer; ``None`` if it failed: then it is asked again."""

    question: FetchMessages
    answer: Awaitable[tuple[Sequence[Sequence[Any]], int] | None]


@refusing
async def fetch_messages(question: FetchMessages, doors: Doors) -> Fetched:
    """Return columns of messages, and what has to be cut out of their bodies."""
    if not question.preview:
        if _is_simple(question):
            known = read_ahead.take(*question.key, question.uids[0])
            if known is None:
                return Fetched(*await doors.database(_fetch_one, question))
            if (start := read_ahead.go_on(*question.key, question.uids[0])) is not None:
                begin(doors.database(_read_ahead, *question.key, start))
            return Fetched([_row(question, *known)], 1)
        return await _fetch_and_go_on(question, doors)
    found: Previews = await doors.database(previews.read, *question.key, question.uids, lazy=question.lazy)
    if found.made:
        with suppress(UnavailableError):  # they can be told all the same
            await doors.commit(previews.Keep(found.made))
    rows, done = await doors.database(_fetch, replace(question, uids=question.uids[: found.done]))
    return Fetched([(*row[:8], _encoded(found.texts.get(row[0]))) for row in rows], done)


async def _fetch_and_go_on(question: FetchMessages, doors: Doors) -> Fetched:
    """Return columns, and begin to read what will be asked for next: while this is on its way, the database is idle."""
    begun, doors.begun = doors.begun, None
    found = await begun.answer if isinstance(begun, _Begun) and begun.question == question else None
    if found is None:
        found = await doors.database(_fetch, question)
    fetched = Fetched(*found)
    rest = question.uids[fetched.done :]
    following = replace(question, uids=rest) if rest else replace(question, uids=question.following, following=())
    if following.uids:
        doors.begun = _Begun(following, begin(doors.database(_fetch, following)))
    return fetched


def _is_simple(question: FetchMessages) -> bool:
    """Say whether one message is asked for, as it stands or its header: no time is spent on taking it apart."""
    return (
        len(question.uids) == 1
        and bool(question.sections)
        and not (question.envelope or question.structure or question.plain_structure or question.headers)
        and not any(section.part or section.text in _DECODED for section in question.sections)
    )


_DECODED = (SectionText.BINARY, SectionText.BINARY_SIZE)


def _row(question: FetchMessages, row: MessageRow, message: Octets) -> tuple[Any, ...]:
    cutter = Cutter(message)
    return (*row[:7], tuple(cutter.cut(section) for section in question.sections))


def _fetch_one(question: FetchMessages) -> tuple[Sequence[Sequence[Any]], int]:
    """Read one message, and those that will be asked for next."""
    (uid,) = question.uids
    if read_ahead.goes_forward(*question.key, uid):
        _read_ahead(*question.key, uid)
        known = read_ahead.take(*question.key, uid)
        if known is not None:
            return [_row(question, *known)], 1
    return [_row(question, *found) for found in bodies(*question.key, question.uids)], 1


def _read_ahead(owner: int, mailbox: int, uid: int) -> None:
    """Read the next messages, this one included."""
    read_ahead.keep(owner, mailbox, *following(owner, mailbox, uid, STRIDE))


def _encoded(text: str | None) -> bytes | None:
    return None if text is None else text.encode()


def _fetch(question: FetchMessages) -> tuple[Sequence[Sequence[Any]], int]:
    if not (question.sections or question.plain_structure):
        return _overview(question, question.uids)
    rows, done = [], len(question.uids)
    taken = effort = 0
    sections = question.sections
    for row, message in bodies(*question.key, question.uids):
        if taken > ANSWER_LIMIT or effort > EFFORT_LIMIT:
            break
        cutter = Cutter(message)
        contents = tuple([cutter.cut(section) for section in sections])
        for content in contents:
            if isinstance(content, bytes):
                taken += len(content)
        effort += cutter.effort
        plain = imapform.body(cutter.root, rev2=question.rev2) if question.plain_structure else None
        rows.append((row.uid, row.size, row.internal_date, None, None, plain, None, contents))
    else:
        return _joined(question, rows), done
    return _joined(question, rows), bisect_right(question.uids, rows[-1][0])


# What is kept of a structure is as IMAP4rev1 has it.
_GLOBAL = re.compile(rb'"message" "global"', re.IGNORECASE)


def _overview(question: FetchMessages, uids: Sequence[int]) -> tuple[Sequence[tuple[Any, ...]], int]:
    """Return the kept columns, with BODYSTRUCTURE made anew where IMAP4rev2 has it otherwise."""
    rows, done = overview(
        *question.key, uids, envelope=question.envelope, structure=question.structure, headers=question.headers
    )
    if not (question.rev2 and question.structure):
        return rows, done
    others = [row[0] for row in rows if _GLOBAL.search(row[4])]
    if not others:
        return rows, done
    made = {row.uid: imapform.bodystructure(scan(message), rev2=True) for row, message in bodies(*question.key, others)}
    return [(*row[:4], made.get(row[0], row[4]), *row[5:]) for row in rows], done


def _joined(question: FetchMessages, rows: Sequence[tuple[Any, ...]]) -> Sequence[tuple[Any, ...]]:
    """Put the kept columns into rows that were made from the bodies."""
    if not (question.envelope or question.structure or question.headers):
        return rows
    uids = [row[0] for row in rows]
    kept: dict[int, tuple[Any, ...]] = {}
    while uids:
        part, done = _overview(question, uids)
        kept.update((row[0], row) for row in part)
        uids = uids[done:]
    return [
        (*row[:3], kept[row[0]][3], kept[row[0]][4], row[5], kept[row[0]][6], row[7]) for row in rows if row[0] in kept
    ]


async def read_body(question: ReadBody, doors: Doors) -> bytes | Refused:
    """Return octets of a message."""
    octets = await doors.database(read_piece, *question.key, question.uid, question.offset, question.length)
    return octets if octets is not None and len(octets) == question.length else Refused.EXPUNGED


async def read_decoded(question: ReadDecoded, doors: Doors) -> Decoded | Refused:
    """Return the next piece of a section that is decoded on the way."""
    decoded = await doors.database(_decode, question)
    return Decoded(*decoded) if decoded is not None else Refused.EXPUNGED


def _decode(question: ReadDecoded) -> tuple[bytes, Place] | None:
    length = window_length(question.place, question.end)
    window = read_piece(*question.key, question.uid, question.place.offset, length)
    if window is None or len(window) < length:
        return None
    return decode_window(window, question.encoding, question.place, question.end)


@refusing
async def store_flags(question: StoreFlags, doors: Doors) -> Stored:
    """Change flags."""
    work = changes.StoreFlags(
        *question.key,
        question.uids,
        changes.Mode(question.mode.value),
        question.flags,
        question.keywords,
        question.unchanged_since,
        question.rights,
        actor(doors, question.device),
    )
    return Stored(*await doors.commit(work))


@refusing
async def expunge(question: Expunge, doors: Doors) -> Expunged:
    """Remove messages that are flagged as deleted."""
    work = changes.Expunge(*question.key, question.uids, by=actor(doors, question.device))
    return Expunged(*await doors.commit(work))


@into
@refusing
async def copy_messages(question: CopyMessages, doors: Doors) -> Copied | Refused:
    """Copy or move messages."""
    owner, source = question.source
    account = owner if question.account is None else question.account
    place = await doors.database(target, account, question.target)
    work = changes.Copy(
        owner,
        source,
        question.uids,
        place.mailbox,
        question.move,
        place.owner,
        place.rights,
        actor(doors, question.device),
    )
    try:
        copied = Copied(*await doors.commit(work))
    except GoneError:
        return Refused.EXPUNGED  # the mailbox they were in
    # RFC 4315 section 3: UIDs disclose what is in a mailbox.
    return copied if "r" in place.rights else copied._replace(uidvalidity=0)


ANSWERS: dict[type[Question], Answer[Any, Any]] = {
    FetchMessages: fetch_messages,
    ReadBody: read_body,
    ReadDecoded: read_decoded,
    StoreFlags: store_flags,
    Expunge: expunge,
    CopyMessages: copy_messages,
}
