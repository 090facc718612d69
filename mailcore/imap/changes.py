"""Telling a client what has changed in its mailbox, at the end of a command or while it idles."""

from bisect import bisect_left
from collections.abc import Generator, Iterable
from itertools import islice
from typing import Any

from mailcore.dialogue import Question
from mailcore.imap import responses
from mailcore.imap.questions import Changes, Pause, ReadChanges, Refused
from mailcore.imap.rights import is_shared, look_at_rights
from mailcore.imap.talk import Exchange, GoodbyeError, Piece, QuestionRefusedError, Talk
from mailcore.imap.updates import tell_leaving, tell_updates

# Lines that are written before others have their turn.
LINES_AT_ONCE = 2000


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
    end = selected.snapshot.uidnext
    if selected.contexts and expunges:
        yield tell_leaving(selected, selected.pending.union(changes.vanished))
    told = selected.absorb(changes, expunges=expunges, known=known, form=talk.form, flags=talk.hears_flags)
    yield from in_turns(told)
    if talk.notify is not None and talk.notify.describe is not None:
        made, talk.notify.made = talk.notify.made, set()
        places = range(bisect_left(selected.uids, end), selected.exists)
        yield from talk.notify.describe(talk, [place for place in places if selected.uids[place] not in made])
    if selected.contexts:
        arrived = selected.uids[bisect_left(selected.uids, end) :]
        yield from tell_updates(talk, selected, [*changes.updated, *arrived], end)
    return True


def expunged(talk: Talk, command: bytes) -> Exchange:
    """End a command that has removed messages: tell a client that knows MODSEQ how far it is now.

    The MODSEQ goes into the completion (RFC 7162 section 3.2.7), and everything up to it must have been told by then.
    """
    talk.news = True
    if not talk.condstore or not (yield from tell_changes(talk, expunges=True)):
        return responses.completed(command)
    return responses.completed(command, b"HIGHESTMODSEQ %d" % talk.mailbox.snapshot.modseq)


def in_turns(lines: Iterable[bytes]) -> Piece:
    """Say many lines; other sessions have their turn in between, and the client may read."""
    waiting = iter(lines)
    while part := list(islice(waiting, LINES_AT_ONCE)):
        yield b"".join(part)
        if len(part) == LINES_AT_ONCE:
            yield Pause()
