"""Looking for messages, putting them in order, making threads of them."""

import time
from collections.abc import Sequence
from typing import Any

from mailcore.dialogue import Question
from mailcore.imap.answers.common import Answer, refusing, with_defaults
from mailcore.imap.questions import (
    MailboxKey,
    Opened,
    Pause,
    ReadMailbox,
    SearchMessages,
    SortMessages,
    ThreadMessages,
)
from mailcore.store import access, threading_mail
from mailcore.store.columns import Gathering, Kind
from mailcore.store.criteria import settled
from mailcore.store.searching import Search
from mailcore.store.sorting import KINDS, sort
from mailcore.store.views import views
from mailcore.transport import Doors, pause

# Seconds of a search in one go of a reader thread.
SLICE = 0.02


@refusing
async def search_messages(question: SearchMessages, doors: Doors) -> Sequence[int]:
    """Look for messages, slice by slice, so that a thread is never held for long."""
    # All slices are of one moment, whatever time they take.
    criterion = settled(question.criterion, int(time.time()))
    search = Search(*question.key, question.uids, criterion)
    while not await doors.database(search.advance, SLICE):
        pass
    return search.found


@refusing
async def sort_messages(question: SortMessages, doors: Doors) -> Sequence[int]:
    """Put messages in order."""
    values = {}
    for criterion in question.criteria:
        if criterion.key not in values:
            gathering = await _gathered(question.key, question.uids, KINDS[criterion.key], doors)
            values[criterion.key] = gathering.uids, gathering.values.values
    return await doors.database(sort, question.uids, question.criteria, values)


@refusing
async def thread_messages(question: ThreadMessages, doors: Doors) -> bytes:
    """Make threads of messages."""
    about = (*question.key, question.algorithm, question.uids, question.names)
    answer = await doors.database(threading_mail.remembered, *about)
    if answer is None:
        gathering = await _gathered(question.key, question.uids, Kind.THREAD, doors)
        answer = await doors.database(threading_mail.thread, *about, gathering.uids, gathering.values.facts)
    return answer


async def _gathered(key: MailboxKey, uids: Sequence[int], kind: Kind, doors: Doors) -> Gathering:
    gathering = Gathering(*key, uids, kind)
    while await doors.database(gathering.step):
        pass
    return gathering


@refusing
async def read_mailbox(question: ReadMailbox, doors: Doors) -> Opened:
    """Return a mailbox as it is; the view in memory is left as soon as it has been read."""
    return await doors.database(_look_into, question)


def _look_into(question: ReadMailbox) -> Opened:
    place = access.resolve(question.account, question.name, "r")
    opened = with_defaults(views.open, place.owner, place.name, read_only=True)
    key = MailboxKey(place.owner, opened.mailbox)
    views.close(*key)
    return Opened(key, opened.snapshot, opened.recent_from, opened.special_use, place.rights)


ANSWERS: dict[type[Question], Answer[Any, Any]] = {
    SearchMessages: search_messages,
    SortMessages: sort_messages,
    ThreadMessages: thread_messages,
    ReadMailbox: read_mailbox,
    Pause: pause,
}
