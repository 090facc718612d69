"""Telling a client what has changed in its mailbox, at the end of a command or while it idles."""

from bisect import bisect_left
from collections.abc import Generator
from typing import Any

from mailcore.dialogue import Question
from mailcore.imap import responses
from mailcore.imap.questions import Changes, ReadChanges, Refused
from mailcore.imap.talk import GoodbyeError, QuestionRefusedError, Talk
from mailcore.imap.updates import tell_leaving, tell_updates


def tell_changes(talk: Talk, *, expunges: bool) -> Generator[Question | bytes, Any, bool]:
    """Read what has happened in the selected mailbox and say it (RFC 3501 section 5.2).

    Returns ``False`` when it could not be read now: it is told with a later command, and the one that has just been
    done is done all the same.
    """
    selected = talk.mailbox
    talk.news = False
    try:
        changes: Changes = yield ReadChanges(selected.key, selected.snapshot.modseq, selected.read_only)
    except QuestionRefusedError as error:
        if error.reason is Refused.NO_SUCH_MAILBOX:
            raise GoodbyeError(responses.MAILBOX_GONE) from None
        talk.news = True
        return False
    known, talk.known = talk.known, {}
    old_end = selected.snapshot.uidnext
    if selected.contexts and expunges:
        yield tell_leaving(selected, selected.pending.union(changes.vanished))
    yield selected.absorb(changes, expunges=expunges, known=known, condstore=talk.condstore)
    if selected.contexts:
        arrived = selected.uids[bisect_left(selected.uids, old_end) :]
        yield from tell_updates(talk, selected, [*changes.updated, *arrived])
    return True
