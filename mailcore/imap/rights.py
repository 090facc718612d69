"""Rights in a mailbox of somebody else's, looked at again before each command: they may have been taken away.

RFC 4314 section 5.1.1 lets a server remember the rights that an account had at SELECT; here they end with the next
command, in whichever process they were changed.
"""

from collections.abc import Generator
from typing import Any

from mailcore.dialogue import Question
from mailcore.imap import responses
from mailcore.imap.questions import RightsIn
from mailcore.imap.talk import GoodbyeError, Talk


def is_shared(talk: Talk) -> bool:
    """Say whether a mailbox is selected that is not the account's own."""
    return talk.selected is not None and talk.selected.key.account != talk.account


def look_at_rights(talk: Talk) -> Generator[Question | bytes, Any, None]:
    """See what the account may still do in the selected mailbox, which is another's, and tell it what has changed.

    Raises ``GoodbyeError`` when it may not even read any more, ``QuestionRefusedError`` when nobody can say now.
    """
    selected = talk.mailbox
    rights: str = yield RightsIn(talk.account, selected.key)
    if "r" not in rights:
        raise GoodbyeError(responses.MAILBOX_GONE)
    if rights != selected.rights:
        selected.rights = rights
        if not selected.read_only:
            yield responses.untagged(responses.permanent_flags(rights, selected.keywords))
