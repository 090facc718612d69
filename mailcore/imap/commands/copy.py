"""COPY and MOVE, by message number and by UID (RFC 3501 section 6.4.7, RFC 6851)."""

from collections.abc import Generator
from functools import partial

from mailcore.imap import responses, sequences
from mailcore.imap.changes import expunged
from mailcore.imap.grammar import Parser
from mailcore.imap.questions import Copied, CopyMessages
from mailcore.imap.talk import Command, Exchange, Talk


def _copy(talk: Talk, arguments: Parser, *, uid: bool) -> Exchange:
    """Copy messages: ``copy = "COPY" SP sequence-set SP mailbox``."""
    copied = yield from _transfer(talk, arguments, uid=uid, move=False)
    return responses.completed(b"UID COPY" if uid else b"COPY", _copyuid(copied))


def _move(talk: Talk, arguments: Parser, *, uid: bool) -> Exchange:
    """Move messages: COPYUID comes untagged, before the EXPUNGEs that come with the changes (RFC 6851 section 4.3)."""
    command = b"UID MOVE" if uid else b"MOVE"
    copied = yield from _transfer(talk, arguments, uid=uid, move=True)
    if not copied.source_uids:
        talk.news = True
        return responses.completed(command)
    if code := _copyuid(copied):
        yield responses.untagged(responses.ok(b"Moved", code))
    return (yield from expunged(talk, command))


def _transfer(talk: Talk, arguments: Parser, *, uid: bool, move: bool) -> Generator[CopyMessages, Copied, Copied]:
    arguments.space()
    ranges = arguments.sequence_set()
    arguments.space()
    target = arguments.mailbox()
    arguments.end()
    selected = talk.demand("te") if move else talk.mailbox
    uids = selected.uids_of(selected.places(ranges, uid=uid))
    if not uids:
        return Copied(0, (), ())
    copied = yield CopyMessages(selected.key, uids, target, move, talk.account, talk.device)
    if target == selected.name:
        talk.news = True
        talk.has_made(target, copied.target_uids)
    return copied


def _copyuid(copied: Copied) -> bytes:
    """Write the response code of RFC 4315 section 3.

    Nothing when nothing was copied, or where it would tell of a mailbox that is not to be read.
    """
    if not (copied.source_uids and copied.uidvalidity):
        return b""
    sets = sequences.write(copied.source_uids), sequences.write(copied.target_uids)
    return b"COPYUID %d %b %b" % (copied.uidvalidity, *sets)


COMMANDS = {
    b"COPY": Command(partial(_copy, uid=False)),
    b"UID COPY": Command(partial(_copy, uid=True)),
    b"MOVE": Command(partial(_move, uid=False)),
    b"UID MOVE": Command(partial(_move, uid=True)),
}
