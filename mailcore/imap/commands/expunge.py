r"""EXPUNGE and UID EXPUNGE: remove what is ``\Deleted`` (RFC 3501 section 6.4.3, RFC 4315 section 2.1)."""

from mailcore.imap import responses
from mailcore.imap.grammar import Parser
from mailcore.imap.questions import Expunge
from mailcore.imap.talk import Command, Exchange, Talk


def _expunge(talk: Talk, arguments: Parser) -> Exchange:
    r"""Remove all messages with ``\Deleted``; the EXPUNGE responses come with the changes."""
    arguments.end()
    selected = talk.writable_mailbox
    yield Expunge(selected.key)
    talk.news = True
    return responses.completed(b"EXPUNGE")


def _uid_expunge(talk: Talk, arguments: Parser) -> Exchange:
    r"""Remove those with ``\Deleted`` among some: ``uid-expunge = "UID" SP "EXPUNGE" SP sequence-set``."""
    arguments.space()
    ranges = arguments.sequence_set()
    arguments.end()
    selected = talk.writable_mailbox
    uids = selected.uids_of(selected.places(ranges, uid=True))
    if uids:
        yield Expunge(selected.key, uids)
        talk.news = True
    return responses.completed(b"UID EXPUNGE")


COMMANDS = {
    b"EXPUNGE": Command(_expunge),
    b"UID EXPUNGE": Command(_uid_expunge),
}
