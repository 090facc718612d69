"""Commands that make, remove and describe mailboxes by name: CREATE, DELETE, RENAME, SUBSCRIBE, STATUS, NAMESPACE."""

from collections.abc import Callable, Generator, Sequence
from functools import partial
from operator import attrgetter
from typing import Any

from mailcore.imap import names, responses
from mailcore.imap.commands.selection import leave
from mailcore.imap.grammar import Parser, SyntaxRefusedError
from mailcore.imap.questions import (
    CountDeleted,
    CreateMailbox,
    DeleteMailbox,
    MailboxRow,
    RenameMailbox,
    Status,
    Subscribe,
)
from mailcore.imap.talk import AFTER_LOGIN, Command, Exchange, Talk
from mailcore.store.namespaces import OTHERS_PREFIX

# status-att (RFC 3501 section 9), HIGHESTMODSEQ (RFC 7162 section 7), SIZE (RFC 8438 section 3), DELETED and
# DELETED-STORAGE (RFC 9208 section 4.1.4; octets)
_STATUS_ITEMS: dict[bytes, Callable[[MailboxRow], int | bytes]] = {
    b"MESSAGES": attrgetter("messages"),
    b"RECENT": attrgetter("recent"),
    b"UIDNEXT": attrgetter("uidnext"),
    b"UIDVALIDITY": attrgetter("uidvalidity"),
    b"UNSEEN": attrgetter("unseen"),
    b"HIGHESTMODSEQ": attrgetter("highestmodseq"),
    b"SIZE": attrgetter("size"),
    b"MAILBOXID": attrgetter("mailbox"),  # RFC 8474 section 4.3
    b"DELETED": attrgetter("deleted"),
    b"DELETED-STORAGE": attrgetter("deleted_size"),
}
# Has to be counted, which takes a look at every message.
COUNTED_ITEMS = frozenset({b"DELETED", b"DELETED-STORAGE"})
# Is the same for all mailboxes (RFC 7889 section 3.2).
_LIMIT_ITEM = b"APPENDLIMIT"


def _create(talk: Talk, arguments: Parser) -> Exchange:
    """Make a mailbox (RFC 3501 section 6.3.3). A separator at the end only announces children, and is passed over.

    ``create = "CREATE" SP mailbox [SP "(" create-param *(SP create-param) ")"]`` (RFC 4466 section 2.2)
    """
    arguments.space()
    given = arguments.mailbox_as_given().removesuffix(names.SEPARATOR)
    uses = _create_parameters(arguments) if arguments.accept(b" ") else ()
    arguments.end()
    name = names.canonical(given)
    made: int = yield CreateMailbox(talk.account, name, " ".join(uses))
    talk.has_named(name)
    if talk.rev2 and name != given:
        # RFC 9051 section 6.3.4: a name that was changed is told.
        yield responses.listed(b"", talk.mailbox_name(name), talk.mailbox_name(given))
    return responses.completed(b"CREATE", responses.mailbox_id(made))  # RFC 8474 section 4.1


def _create_parameters(arguments: Parser) -> tuple[str, ...]:
    """Take ``"(" "USE" SP "(" [use-attr *(SP use-attr)] ")" ")"`` (RFC 6154 section 6)."""
    uses: list[str] = []

    def parameter() -> None:
        if arguments.word() != b"USE":
            raise SyntaxRefusedError("Unknown parameter")
        arguments.space()
        uses.extend(arguments.parenthesized(attribute, empty=True))

    def attribute() -> str:
        arguments.expect(b"\\")
        return "\\" + arguments.atom().decode("ascii")

    arguments.parenthesized(parameter)
    return tuple(uses)


def _delete(talk: Talk, arguments: Parser) -> Exchange:
    """Remove a mailbox (RFC 3501 section 6.3.4); if it is the selected one, none is selected afterwards."""
    arguments.space()
    given = arguments.mailbox_as_given()
    arguments.end()
    name = names.canonical(given)
    if name == names.INBOX:
        return responses.INBOX_STAYS
    removed: int = yield DeleteMailbox(talk.account, name)
    talk.has_named(name)
    if talk.selected and talk.selected.key.mailbox == removed:
        yield from leave(talk)
    if talk.rev2 and name != given:
        yield responses.listed(b"\\NonExistent", talk.mailbox_name(name), talk.mailbox_name(given))
    return responses.completed(b"DELETE")


def _rename(talk: Talk, arguments: Parser) -> Exchange:
    """Give a mailbox and all below it another name (RFC 3501 section 6.3.5)."""
    arguments.space()
    given = arguments.mailbox_as_given()
    old_name = names.canonical(given)
    arguments.space()
    new_name = arguments.mailbox()
    arguments.end()
    yield RenameMailbox(talk.account, old_name, new_name)
    talk.has_named(old_name, new_name)
    if talk.selected:
        talk.news = True  # INBOX may have been emptied by it
        talk.selected.name = _name_after(talk.selected.name, old_name, new_name)
    if talk.rev2 and old_name != names.INBOX:
        # RFC 9051 section 6.3.6: OLDNAME is as the client wrote it.
        yield responses.listed(b"", talk.mailbox_name(new_name), talk.mailbox_name(given))
    return responses.completed(b"RENAME")


def _name_after(name: str, old: str, new: str) -> str:
    """Return what a mailbox is called after this RENAME."""
    if old == names.INBOX or not (name == old or name.startswith(old + names.SEPARATOR)):
        return name
    return new + name[len(old) :]


def _subscribe(talk: Talk, arguments: Parser, *, subscribed: bool) -> Exchange:
    """Add a name to the list of LSUB, or take it away (RFC 3501 sections 6.3.6 and 6.3.7)."""
    arguments.space()
    name = arguments.mailbox()
    arguments.end()
    yield Subscribe(talk.account, name, subscribed)
    talk.has_named(name)
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
    if not COUNTED_ITEMS.isdisjoint(items):
        (row,) = yield from with_deleted([row])
    yield status_line(talk, row, items)
    return responses.completed(b"STATUS")


def status_items(arguments: Parser) -> list[bytes]:
    """Take ``"(" status-att *(SP status-att) ")"``."""
    return list(dict.fromkeys(arguments.parenthesized(lambda: _status_item(arguments))))


def _status_item(arguments: Parser) -> bytes:
    item = arguments.word()
    if item not in _STATUS_ITEMS and item != _LIMIT_ITEM:
        raise SyntaxRefusedError("Unknown STATUS item")
    return item


def with_deleted(rows: Sequence[MailboxRow]) -> Generator[CountDeleted, Any, list[MailboxRow]]:
    """Return these rows with what is flagged as deleted counted."""
    counts: dict[int, tuple[int, int]] = yield CountDeleted([row.mailbox for row in rows])
    counted = [counts.get(row.mailbox, (0, 0)) for row in rows]
    return [row._replace(deleted=count, deleted_size=size) for row, (count, size) in zip(rows, counted, strict=True)]


def status_line(talk: Talk, row: MailboxRow, items: Sequence[bytes]) -> bytes:
    """Write the STATUS response of a mailbox."""
    told = b" ".join([_status_value(talk, item, row) for item in items])
    return b"* STATUS %b (%b)\r\n" % (talk.mailbox_name(row.name), told)


def _status_value(talk: Talk, item: bytes, row: MailboxRow) -> bytes:
    if item == b"MAILBOXID":
        return responses.mailbox_id(row.mailbox)  # RFC 8474 section 4.3
    value = _STATUS_ITEMS[item](row) if item != _LIMIT_ITEM else talk.policy.message_limit
    return b"%b %b" % (item, value if isinstance(value, bytes) else b"%d" % value)


def _namespace(_talk: Talk, arguments: Parser) -> Exchange:
    """Say where the account's own mailboxes are, and those of others (RFC 2342)."""
    arguments.end()
    yield b'* NAMESPACE (("" "/")) (("%b" "/")) NIL\r\n' % OTHERS_PREFIX.encode("ascii")
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
