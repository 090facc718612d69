"""Commands that select a mailbox and leave it: SELECT, EXAMINE, CLOSE, UNSELECT, CHECK."""

from functools import partial

from mailcore.imap import responses
from mailcore.imap.grammar import Parser, SyntaxRefusedError
from mailcore.imap.questions import CloseMailbox, Expunge, Opened, OpenMailbox
from mailcore.imap.selected import Selected
from mailcore.imap.talk import AFTER_LOGIN, Command, Exchange, Piece, Talk
from mailcore.store.flags import SEEN


def _select(talk: Talk, arguments: Parser, *, read_only: bool) -> Exchange:
    """Open a mailbox (RFC 3501 sections 6.3.1 and 6.3.2).

    ``select = "SELECT" SP mailbox [select-params]``, ``select-params = SP "(" select-param *(SP select-param) ")"``
    (RFC 4466 section 2.1). If it cannot be opened, none is selected afterwards.
    """
    arguments.space()
    name = arguments.mailbox()
    condstore = False
    if arguments.accept(b" "):
        condstore = b"CONDSTORE" in arguments.parenthesized(lambda: _parameter(arguments))
    arguments.end()
    talk.condstore = talk.condstore or condstore
    if talk.selected:
        yield from leave(talk)
        # RFC 7162 section 3.2.11.
        yield responses.untagged(responses.ok(b"Previous mailbox closed", b"CLOSED"))
    opened: Opened = yield OpenMailbox(talk.account, name, read_only)
    selected = talk.selected = Selected(name, opened, read_only=read_only)
    yield _description(selected)
    if read_only:
        return responses.completed(b"EXAMINE", b"READ-ONLY")
    return responses.completed(b"SELECT", b"READ-WRITE")


def _parameter(arguments: Parser) -> bytes:
    # select-param =/ condstore-param (RFC 7162 section 7)
    parameter = arguments.word()
    if parameter != b"CONDSTORE":
        raise SyntaxRefusedError("Unknown parameter")
    return parameter


def _description(selected: Selected) -> bytes:
    snapshot = selected.snapshot
    flags = responses.flag_list(responses.ALL_FLAGS, selected.keywords)
    permanent = b"()" if selected.read_only else flags[:-1] + b" \\*)"
    lines = [
        b"FLAGS " + flags,
        responses.ok(b"Flags that are kept", b"PERMANENTFLAGS " + permanent),
        b"%d EXISTS" % selected.exists,
        b"%d RECENT" % selected.recent,
        responses.ok(b"UIDs are valid", b"UIDVALIDITY %d" % snapshot.uidvalidity),
        responses.ok(b"Next UID", b"UIDNEXT %d" % snapshot.uidnext),
        responses.ok(b"Highest", b"HIGHESTMODSEQ %d" % snapshot.modseq),
    ]
    unseen = next((number for number, flags in enumerate(snapshot.flags, 1) if not flags & SEEN), 0)
    if unseen:
        lines.append(responses.ok(b"First unseen", b"UNSEEN %d" % unseen))
    return b"".join([responses.untagged(line) for line in lines])


def leave(talk: Talk) -> Piece:
    """Be in no mailbox any more."""
    selected = talk.mailbox
    talk.selected = None
    talk.news = False
    talk.known = {}
    yield CloseMailbox(selected.key)


def _close(talk: Talk, arguments: Parser) -> Exchange:
    r"""Remove what is ``\Deleted`` without a word, and leave (RFC 3501 section 6.4.2)."""
    arguments.end()
    selected = talk.mailbox
    if not selected.read_only:
        yield Expunge(selected.key, device=talk.device)
    yield from leave(talk)
    return responses.completed(b"CLOSE")


def _unselect(talk: Talk, arguments: Parser) -> Exchange:
    """Leave, and remove nothing (RFC 3691)."""
    arguments.end()
    yield from leave(talk)
    return responses.completed(b"UNSELECT")


def _check(_talk: Talk, arguments: Parser) -> bytes:
    """Do what NOOP does: everything that was answered is on disk already (RFC 3501 section 6.4.1)."""
    arguments.end()
    return responses.completed(b"CHECK")


COMMANDS = {
    b"SELECT": Command(partial(_select, read_only=False), AFTER_LOGIN),
    b"EXAMINE": Command(partial(_select, read_only=True), AFTER_LOGIN),
    b"CLOSE": Command(_close),
    b"UNSELECT": Command(_unselect),
    b"CHECK": Command(_check, refreshes=True),
}
