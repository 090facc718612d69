"""Commands that make, remove and describe mailboxes by name: CREATE, DELETE, RENAME, SUBSCRIBE, STATUS, NAMESPACE."""

from collections.abc import Callable
from functools import partial
from operator import attrgetter

from mailcore.imap import names, responses
from mailcore.imap.commands.selection import leave
from mailcore.imap.grammar import Parser, SyntaxRefusedError
from mailcore.imap.questions import (
    CreateMailbox,
    DeleteMailbox,
    MailboxRow,
    RenameMailbox,
    Status,
    Subscribe,
)
from mailcore.imap.talk import AFTER_LOGIN, Command, Exchange, Talk

# status-att (RFC 3501 section 9), HIGHESTMODSEQ (RFC 7162 section 7), SIZE (RFC 8438 section 3)
_STATUS_ITEMS: dict[bytes, Callable[[MailboxRow], int]] = {
    b"MESSAGES": attrgetter("messages"),
    b"RECENT": attrgetter("recent"),
    b"UIDNEXT": attrgetter("uidnext"),
    b"UIDVALIDITY": attrgetter("uidvalidity"),
    b"UNSEEN": attrgetter("unseen"),
    b"HIGHESTMODSEQ": attrgetter("highestmodseq"),
    b"SIZE": attrgetter("size"),
}


def _create(talk: Talk, arguments: Parser) -> Exchange:
    """Make a mailbox (RFC 3501 section 6.3.3). A separator at the end only announces children, and is passed over."""
    arguments.space()
    name = arguments.mailbox()
    arguments.end()
    yield CreateMailbox(talk.account, name.removesuffix(names.SEPARATOR))
    return responses.completed(b"CREATE")


def _delete(talk: Talk, arguments: Parser) -> Exchange:
    """Remove a mailbox (RFC 3501 section 6.3.4); if it is the selected one, none is selected afterwards."""
    arguments.space()
    name = arguments.mailbox()
    arguments.end()
    if name == names.INBOX:
        return responses.INBOX_STAYS
    removed: int = yield DeleteMailbox(talk.account, name)
    if talk.selected and talk.selected.key.mailbox == removed:
        yield from leave(talk)
    return responses.completed(b"DELETE")


def _rename(talk: Talk, arguments: Parser) -> Exchange:
    """Give a mailbox and all below it another name (RFC 3501 section 6.3.5)."""
    arguments.space()
    old_name = arguments.mailbox()
    arguments.space()
    new_name = arguments.mailbox()
    arguments.end()
    yield RenameMailbox(talk.account, old_name, new_name)
    if talk.selected:
        talk.news = True  # INBOX may have been emptied by it
    return responses.completed(b"RENAME")


def _subscribe(talk: Talk, arguments: Parser, *, subscribed: bool) -> Exchange:
    """Add a name to the list of LSUB, or take it away (RFC 3501 sections 6.3.6 and 6.3.7)."""
    arguments.space()
    name = arguments.mailbox()
    arguments.end()
    yield Subscribe(talk.account, name, subscribed)
    return responses.completed(b"SUBSCRIBE" if subscribed else b"UNSUBSCRIBE")


def _status(talk: Talk, arguments: Parser) -> Exchange:
    """Tell numbers of a mailbox that need not be selected (RFC 3501 section 6.3.10)."""
    arguments.space()
    name = arguments.mailbox()
    arguments.space()
    items = status_items(arguments)
    arguments.end()
    if b"HIGHESTMODSEQ" in items:
        yield talk.learn_condstore()
    row: MailboxRow = yield Status(talk.account, name)
    yield status_line(row, items)
    return responses.completed(b"STATUS")


def status_items(arguments: Parser) -> list[bytes]:
    """Take ``"(" status-att *(SP status-att) ")"``."""
    return list(dict.fromkeys(arguments.parenthesized(lambda: _status_item(arguments))))


def _status_item(arguments: Parser) -> bytes:
    item = arguments.word()
    if item not in _STATUS_ITEMS:
        raise SyntaxRefusedError("Unknown STATUS item")
    return item


def status_line(row: MailboxRow, items: list[bytes]) -> bytes:
    """Write the STATUS response of a mailbox."""
    numbers = b" ".join([b"%b %d" % (item, _STATUS_ITEMS[item](row)) for item in items])
    return b"* STATUS %b (%b)\r\n" % (responses.mailbox(row.name), numbers)


def _namespace(_talk: Talk, arguments: Parser) -> Exchange:
    """Say that there are personal mailboxes, and nothing else (RFC 2342)."""
    arguments.end()
    yield b'* NAMESPACE (("" "/")) NIL NIL\r\n'
    return responses.completed(b"NAMESPACE")


COMMANDS = {
    b"CREATE": Command(_create, AFTER_LOGIN),
    b"DELETE": Command(_delete, AFTER_LOGIN),
    b"RENAME": Command(_rename, AFTER_LOGIN),
    b"SUBSCRIBE": Command(partial(_subscribe, subscribed=True), AFTER_LOGIN),
    b"UNSUBSCRIBE": Command(partial(_subscribe, subscribed=False), AFTER_LOGIN),
    b"STATUS": Command(_status, AFTER_LOGIN),
    b"NAMESPACE": Command(_namespace, AFTER_LOGIN),
}
