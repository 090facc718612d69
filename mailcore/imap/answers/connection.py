"""About the connection itself."""

from typing import Any

from mailcore.dialogue import Question
from mailcore.imap.answers.common import Answer
from mailcore.imap.questions import ForgetLogin
from mailcore.transport import Doors


async def forget_login(question: ForgetLogin, doors: Doors) -> None:  # noqa: ARG001
    """Let the connection be nobody's: who cuts the connections of an account passes it over."""
    if doors.connection is not None:
        doors.connection.logged_out()


ANSWERS: dict[type[Question], Answer[Any, Any]] = {ForgetLogin: forget_login}
