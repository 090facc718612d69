"""Looking for messages."""

from collections.abc import Sequence
from typing import Any

from mailcore.dialogue import Question
from mailcore.imap.answers.common import Answer, refusing
from mailcore.imap.questions import Pause, SearchMessages
from mailcore.store.searching import search
from mailcore.transport import Doors

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


async def pause(question: Pause, doors: Doors) -> None:
    """Do nothing: at each question the transport may give others their turn."""


ANSWERS: dict[type[Question], Answer[Any, Any]] = {
    SearchMessages: search_messages,
    Pause: pause,
}
