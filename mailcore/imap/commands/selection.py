"""Commands that select a mailbox and leave it: SELECT, EXAMINE, CLOSE, UNSELECT, CHECK."""

from functools import partial

from mailcore.imap import names, responses
from mailcore.imap.grammar import Parser, SyntaxRefusedError, UnfitNameError
from mailcore.imap.questions import CloseMailbox, Expunge, Opened, OpenMailbox
from mailcore.imap.resync import Resync, read_resync, resynchronise
from mailcore.imap.selected import Selected
from mailcore.imap.talk import AFTER_LOGIN, Command, Exchange, Piece, Talk
from mailcore.store.flags import SEEN
from mailcore.store.rights import WRITING


def _select(talk: Talk, arguments: Parser, *, read_only: bool) -> Exchange:
    """Open a mailbox (RFC 3501 sections 6.3.1 and 6.3.2).

    ``select = "SELECT" SP mailbox [select-params]``, ``select-params = SP "(" select-param *(SP select-param) ")"``
    (RFC 4466 section 2.1). If it cannot be opened, none is selected afterwards.
    """
    arguments.space()
    try:
        given = arguments.mailbox_as_given()
    except UnfitNameError:
        yield from _leave_for_another(talk)
        raise
    parameters: list[Resync | None] = []
    if arguments.accept(b" "):
        parameters = arguments.parenthesized(lambda: _parameter(talk, arguments))
    arguments.end()
    resync = next((parameter for parameter in parameters if parameter), None)
    talk.condstore = talk.condstore or bool(parameters)  # each of them shows it
    yield from _leave_for_another(talk)
    name = names.canonical(given)
    opened: Opened = yield OpenMailbox(talk.account, name, read_only)
    selected = talk.selected = Selected(name, opened, read_only=read_only, rev2=talk.rev2)
    yield _description(talk, selected)
    if talk.rev2:
        # RFC 9051 sections 6.3.2 and 8: if the client has written the name in another form, that is told too.
        old = b"" if name == given else talk.mailbox_name(given)
        yield responses.listed(opened.special_use.encode("ascii"), talk.mailbox_name(name), old)
    if resync is not None:
        yield from resynchronise(talk, selected, resync)
    if read_only:
        return responses.completed(b"EXAMINE", b"READ-ONLY")
    return responses.completed(b"SELECT", b"READ-WRITE" if set(WRITING) & set(selected.rights) else b"READ-ONLY")


def _leave_for_another(talk: Talk) -> Piece:
    """Leave the mailbox that is selected, if one is, and say so (RFC 7162 section 3.2.11)."""
    if talk.selected:
        yield from leave(talk)
        yield responses.untagged(responses.ok(b"Previous mailbox closed", b"CLOSED"))


def _parameter(talk: Talk, arguments: Parser) -> Resync | None:
    """Take ``select-param =/ condstore-param / "QRESYNC" SP "(" … ")"`` (RFC 7162 section 7)."""
    parameter = arguments.word()
    if parameter == b"QRESYNC":
        return read_resync(talk, arguments)
    if parameter != b"CONDSTORE":
        raise SyntaxRefusedError("Unknown parameter")
    return None


def _description(talk: Talk, selected: Selected) -> bytes:
    """Describe the mailbox. RECENT and UNSEEN are of IMAP4rev1 alone (RFC 9051 appendix E, items 11 and 12)."""
    snapshot = selected.snapshot
    flags = responses.flag_list(responses.ALL_FLAGS, selected.keywords)
    lines = [
        b"FLAGS " + flags,
        responses.permanent_flags("" if selected.read_only else selected.rights, selected.keywords),
        b"%d EXISTS" % selected.exists,
        responses.ok(b"UIDs are valid", b"UIDVALIDITY %d" % snapshot.uidvalidity),
        responses.ok(b"Next UID", b"UIDNEXT %d" % snapshot.uidnext),
        responses.ok(b"Highest", b"HIGHESTMODSEQ %d" % snapshot.modseq),
        responses.ok(b"Identifier", responses.mailbox_id(selected.key.mailbox)),  # RFC 8474 section 4.2
    ]
    if not talk.rev2:
        lines.insert(3, b"%d RECENT" % selected.recent)
        unseen = next((number for number, flags in enumerate(snapshot.flags, 1) if not flags & SEEN), 0)
        if unseen and not talk.uidonly:  # it is a message number
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
    if not selected.read_only and "e" in selected.rights:
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
