"""Object identifiers and save dates of messages, and messages by them (RFC 8474, RFC 8514)."""

from collections.abc import Sequence
from datetime import date
from typing import Any

from a3mailer_site.ids import from_text, to_text
from mailcore.dialogue import Question
from mailcore.imap.answers.common import Answer
from mailcore.imap.questions import FindOrigins, OriginKey, OriginRow, ReadOrigins
from mailcore.store import origins
from mailcore.transport import Doors

# Messages whose header lines are looked at in one go of a reader thread.
SLICE = 500
_DAY = 86400
_EPOCH = date(1970, 1, 1).toordinal()


async def read_origins(question: ReadOrigins, doors: Doors) -> Sequence[OriginRow]:
    """Return identifiers and save dates."""
    rows = await doors.database(origins.origins, *question.key, question.uids, threads=question.threads)
    return [OriginRow(row.uid, _email_id(row.body), _thread_id(row.thread), row.saved_at) for row in rows]


async def find_origins(question: FindOrigins, doors: Doors) -> Sequence[int]:
    """Look for messages by what they come from."""
    if question.what is OriginKey.THREAD:
        return await _of_thread(question, doors)
    found: Sequence[int] = ()
    if question.what is OriginKey.EMAIL:
        body = _body_of(question.text)
        if body is not None:
            found = await doors.database(origins.with_body, *question.key, body)
    elif question.day is not None:
        found = await doors.database(origins.saved_between, *question.key, *_span(question.what, question.day))
    wanted = set(question.uids)
    return [uid for uid in found if uid in wanted]


async def _of_thread(question: FindOrigins, doors: Doors) -> Sequence[int]:
    """Look at the header of each message: a thread is nowhere kept."""
    found: list[int] = []
    for start in range(0, len(question.uids), SLICE):
        uids = question.uids[start : start + SLICE]
        rows = await doors.database(origins.origins, *question.key, uids, threads=True)
        found += [row.uid for row in rows if _thread_id(row.thread) == question.text.encode("utf-8")]
    return found


def _span(what: OriginKey, day: date) -> tuple[int, int]:
    begin = (day.toordinal() - _EPOCH) * _DAY
    return {
        OriginKey.SAVED_BEFORE: (-(2**62), begin),
        OriginKey.SAVED_ON: (begin, begin + _DAY),
        OriginKey.SAVED_SINCE: (begin, 2**62),
    }[what]


def _email_id(body: int) -> bytes:
    """EMAILID: the same for a message and its copies."""
    return b"M" + to_text(body).encode("ascii")


def _body_of(email: str) -> int | None:
    """Return the body that an EMAILID stands for; ``None`` for what none stands for. Letter case matters."""
    try:
        body = from_text(email.removeprefix("M"))
    except ValueError:
        return None
    return body if email.encode("utf-8") == _email_id(body) else None


def _thread_id(thread: str) -> bytes:
    """THREADID: the same for all messages of a thread."""
    return b"T" + thread.encode("ascii")


ANSWERS: dict[type[Question], Answer[Any, Any]] = {
    ReadOrigins: read_origins,
    FindOrigins: find_origins,
}
