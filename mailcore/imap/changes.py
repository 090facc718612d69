"""Telling a client what has changed in its mailbox, at the end of a command or while it idles."""

from collections.abc import Generator
from typing import Any

from mailcore.dialogue import Question
from mailcore.imap import responses
from mailcore.imap.questions import Changes, ReadChanges, Refused
from mailcore.imap.rights import is_shared, look_at_rights
from mailcore.imap.talk import GoodbyeError, QuestionRefusedError, Talk


def tell_changes(talk: Talk, *, expunges: bool) -> Generator[Question | bytes, Any, bool]:
    """Read what has happened in the selected mailbox and say it (RFC 3501 section 5.2).

    Returns ``False`` when it could not be read now: it is told with a later command, and the one that has just been
    done is done all the same.
    """
    selected = talk.mailbox
    talk.news = False
    try:
        if is_shared(talk):
            yield from look_at_rights(talk)
        changes: Changes = yield ReadChanges(selected.key, selected.snapshot.modseq, selected.read_only)
    except QuestionRefusedError as error:
        if error.reason is Refused.NO_SUCH_MAILBOX:
            raise GoodbyeError(responses.MAILBOX_GONE) from None
        talk.news = True
        return False
    known, talk.known = talk.known, {}
    yield selected.absorb(changes, expunges=expunges, known=known, condstore=talk.condstore)
    return True
