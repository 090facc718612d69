"""Looking for messages."""

from collections.abc import Sequence
from typing import Any, cast

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from mailcore.dialogue import Question
from mailcore.imap.answers.common import Answer, refusing
from mailcore.imap.questions import Pause, SearchMessages
from mailcore.store.searching import search
from mailcore.transport import Connection, Doors

# Messages searched in one go of a reader thread.
SEARCH_SLICE = 200


@refusing
async def search_messages(question: SearchMessages, doors: Doors) -> Sequence[int]:
    """Look for messages, slice by slice, so that a thread is never held for long."""
    found: list[int] = []
    for start in range(0, len(question.uids), SEARCH_SLICE):
        uids = question.uids[start : start + SEARCH_SLICE]
        found += await doors.database(search, *question.key, uids, question.criterion)
    return found


async def pause(question: Pause, doors: Doors) -> None:  # noqa: ARG001
    """Wait for one turn of the reactor: an answer that is there at once would give nobody else theirs."""
    if isinstance(doors.connection, Connection):
        from twisted.internet import reactor  # noqa: PLC0415 - importing it installs it

        await deferLater(cast("IReactorTime", reactor), 0)


ANSWERS: dict[type[Question], Answer[Any, Any]] = {
    SearchMessages: search_messages,
    Pause: pause,
}
