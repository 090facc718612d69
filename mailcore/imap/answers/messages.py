"""Messages of the selected mailbox: read, flag, remove, copy."""

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from mailcore.dialogue import Question
from mailcore.imap.answers.common import Answer, into, refusing, target
from mailcore.imap.questions import (
    Copied,
    CopyMessages,
    Expunge,
    Expunged,
    Fetched,
    FetchMessages,
    ReadBody,
    Refused,
    Stored,
    StoreFlags,
)
from mailcore.imap.sections import Cutter
from mailcore.message import imapform
from mailcore.store import changes
from mailcore.store.batch import GoneError
from mailcore.store.reading import ANSWER_LIMIT, bodies, overview, read_piece
from mailcore.transport import Doors


@refusing
async def fetch_messages(question: FetchMessages, doors: Doors) -> Fetched:
    """Return columns of messages, and what has to be cut out of their bodies."""
    return Fetched(*await doors.database(_fetch, question))


def _fetch(question: FetchMessages) -> tuple[Sequence[Sequence[Any]], int]:
    columns = {"envelope": question.envelope, "structure": question.structure, "headers": question.headers}
    if not (question.sections or question.plain_structure):
        return overview(*question.key, question.uids, **columns)
    rows, done = [], len(question.uids)
    taken = 0
    for row, message in bodies(*question.key, question.uids):
        if taken > ANSWER_LIMIT:
            break
        cutter = Cutter(message)
        contents = tuple(cutter.cut(section) for section in question.sections)
        taken += sum(len(content) for content in contents if isinstance(content, bytes))
        plain = imapform.body(cutter.root) if question.plain_structure else None
        rows.append((row.uid, row.size, row.internal_date, None, None, plain, None, contents))
    else:
        return _joined(question, rows, columns), done
    return _joined(question, rows, columns), bisect_right(question.uids, rows[-1][0])


def _joined(
    question: FetchMessages, rows: Sequence[tuple[Any, ...]], columns: dict[str, bool]
) -> Sequence[tuple[Any, ...]]:
    """Put the kept columns into rows that were made from the bodies."""
    if not any(columns.values()):
        return rows
    uids = [row[0] for row in rows]
    kept: dict[int, tuple[Any, ...]] = {}
    while uids:
        part, done = overview(*question.key, uids, **columns)
        kept.update((row[0], row) for row in part)
        uids = uids[done:]
    return [
        (*row[:3], kept[row[0]][3], kept[row[0]][4], row[5], kept[row[0]][6], row[7]) for row in rows if row[0] in kept
    ]


async def read_body(question: ReadBody, doors: Doors) -> bytes | Refused:
    """Return octets of a message."""
    octets = await doors.database(read_piece, *question.key, question.uid, question.offset, question.length)
    return octets if octets is not None and len(octets) == question.length else Refused.EXPUNGED


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
    )
    return Stored(*await doors.commit(work))


@refusing
async def expunge(question: Expunge, doors: Doors) -> Expunged:
    """Remove messages that are flagged as deleted."""
    return Expunged(*await doors.commit(changes.Expunge(*question.key, question.uids)))


@into
@refusing
async def copy_messages(question: CopyMessages, doors: Doors) -> Copied | Refused:
    """Copy or move messages."""
    owner, source = question.source
    account = owner if question.account is None else question.account
    place = await doors.database(target, account, question.target)
    work = changes.Copy(
        owner, source, question.uids, place.mailbox, question.move, target_owner=place.owner, rights=place.rights
    )
    try:
        return Copied(*await doors.commit(work))
    except GoneError:
        return Refused.EXPUNGED  # the mailbox they were in


ANSWERS: dict[type[Question], Answer[Any, Any]] = {
    FetchMessages: fetch_messages,
    ReadBody: read_body,
    StoreFlags: store_flags,
    Expunge: expunge,
    CopyMessages: copy_messages,
}
