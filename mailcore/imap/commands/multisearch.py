"""ESEARCH: look into several mailboxes with one command (RFC 7377)."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

from mailcore.conversation import CommandRefusedError
from mailcore.dialogue import Question
from mailcore.imap import names, responses
from mailcore.imap.commands.search import (
    Program,
    check_update,
    emptying,
    read_charset,
    read_options,
    read_program,
    report,
)
from mailcore.imap.events import is_foreign
from mailcore.imap.grammar import Parser, SyntaxRefusedError
from mailcore.imap.questions import ListMailboxes, Mailboxes, MailboxRow, Opened, Pause, ReadMailbox, Refused
from mailcore.imap.search_results import PLAIN_ALL, Returns, correlator, extended
from mailcore.imap.selected import Selected
from mailcore.imap.talk import AFTER_LOGIN, Command, Exchange, Piece, QuestionRefusedError, Talk

# Mailbox names in one command, and comparisons of names before others have their turn.
NAMES_LIMIT = 200
WORK_LIMIT = 50_000

_ALONE = frozenset({b"SELECTED", b"INBOXES", b"PERSONAL", b"SUBSCRIBED"})
_WITH_NAMES = frozenset({b"MAILBOXES", b"SUBTREE", b"SUBTREE-ONE"})


@dataclass(frozen=True, slots=True)
class _Filter:
    """One ``filter-mailboxes`` with the names that it is given (RFC 5465 section 8, RFC 7377 section 4)."""

    kind: bytes
    names: tuple[str, ...] = ()

    def admits(self, row: MailboxRow, selected: str) -> bool:
        """Say whether a mailbox is meant; ``selected`` is the name of the selected one."""
        match self.kind:
            case b"SELECTED":
                return row.name == selected
            case b"INBOXES":
                return row.name == names.INBOX  # new mail comes nowhere else
            case b"SUBSCRIBED":
                return row.subscribed
            case b"MAILBOXES":
                return row.name in self.names
            case b"SUBTREE":
                return any(_below(row.name, name) is not None for name in self.names)
            case b"SUBTREE-ONE":
                below = [_below(row.name, name) for name in self.names]
                return any(rest is not None and names.SEPARATOR not in rest for rest in below)
        return not is_foreign(row.name)  # PERSONAL


def _below(name: str, top: str) -> str | None:
    """Return what a name has below ``top``: nothing where it is that itself, ``None`` where it is elsewhere."""
    if name == top:
        return ""
    prefix = top + names.SEPARATOR if top else ""
    return name.removeprefix(prefix) if name.startswith(prefix) else None


def _esearch(talk: Talk, arguments: Parser) -> Exchange:
    """Search mailboxes; each in which something is found has a response of its own.

    ``esearch = "ESEARCH" [SP esearch-source-opts] [SP search-return-opts] SP search-program`` (RFC 7377 section 4)
    """
    arguments.space()
    filters = _read_filters(arguments)
    returns = read_options(talk, arguments) or PLAIN_ALL
    if any(each.kind == b"SELECTED" for each in filters):
        selected = talk.mailbox  # raises where there is none
        if all(each.kind == b"SELECTED" for each in filters):
            yield from _search_selected(talk, arguments, returns, selected)
            return responses.completed(b"ESEARCH")
    program = _read_program(talk, arguments)
    # Message numbers, "$" and contexts are of the selected mailbox and of no other.
    if program.names_selected or returns.options & {b"SAVE", b"UPDATE"}:
        raise SyntaxRefusedError("Only for the selected mailbox alone")
    mailboxes: Mailboxes = yield ListMailboxes(talk.account)
    wanted = yield from _wanted(mailboxes.rows, filters, talk.selected.name if talk.selected else "")
    for row in wanted:
        yield from _search_one(talk, program, returns, row)
    return responses.completed(b"ESEARCH")


def _read_filters(arguments: Parser) -> list[_Filter]:
    """Take ``["IN" SP "(" source-mbox [SP "(" scope-options ")"] ")" SP]``; no scope option is defined."""
    if not arguments.accept_word(b"IN"):
        return [_Filter(b"SELECTED")]  # RFC 7377 section 2.1
    arguments.space()
    filters = arguments.parenthesized(lambda: _read_filter(arguments))
    arguments.space()
    if sum(len(each.names) for each in filters) > NAMES_LIMIT or len(filters) > NAMES_LIMIT:
        raise CommandRefusedError(responses.TOO_MANY_MAILBOXES)
    return filters


def _read_filter(arguments: Parser) -> _Filter:
    kind = arguments.word()
    if kind in _ALONE:
        return _Filter(kind)
    if kind not in _WITH_NAMES:
        raise SyntaxRefusedError("Unknown source of mailboxes")
    arguments.space()
    if arguments.at(b"("):
        return _Filter(kind, tuple(arguments.parenthesized(arguments.mailbox)))
    return _Filter(kind, (arguments.mailbox(),))


def _read_program(talk: Talk, arguments: Parser) -> Program:
    charset = b"UTF-8"
    if arguments.accept_word(b"CHARSET"):
        arguments.space()
        charset = read_charset(arguments)
        arguments.space()
    return read_program(talk, arguments, charset)


def _search_selected(talk: Talk, arguments: Parser, returns: Returns, selected: Selected) -> Piece:
    with emptying(selected, returns):
        program = _read_program(talk, arguments)
        check_update(talk, returns)
        places = yield from program.find(talk, selected)
        yield from report(talk, program, returns, places, uid=True, belongs_to=_belongs_to(talk, selected))


def _wanted(
    rows: Sequence[MailboxRow], filters: Sequence[_Filter], selected: str
) -> Generator[Question | bytes, Any, list[MailboxRow]]:
    """Return the mailboxes that are meant, each once, INBOX first and then by name."""
    wanted = []
    work = 0
    each_costs = sum(len(each.names) + 1 for each in filters)
    for row in rows:
        work += each_costs
        if work > WORK_LIMIT:
            work = 0
            yield Pause()
        if any(each.admits(row, selected) for each in filters):
            wanted.append(row)
    return sorted(wanted, key=lambda row: (row.name != names.INBOX, row.name))


def _search_one(talk: Talk, program: Program, returns: Returns, row: MailboxRow) -> Piece:
    """Search one mailbox. What is gone meanwhile, or may not be read, is passed over (RFC 7377 section 2.1)."""
    if talk.selected is not None and talk.selected.name == row.name:
        mailbox = talk.selected
    else:
        try:
            opened: Opened = yield ReadMailbox(talk.account, row.name)
        except QuestionRefusedError as error:
            if error.reason in {Refused.NO_SUCH_MAILBOX, Refused.NO_PERMISSION}:
                return
            raise
        mailbox = Selected(row.name, opened, read_only=True)
    if "r" not in mailbox.rights:
        return
    places = yield from program.find(talk, mailbox)
    if places:
        numbers = [mailbox.uids[place] for place in places]
        modseq = program.highest(mailbox, returns.reported(places))
        yield extended(_belongs_to(talk, mailbox), returns, numbers, modseq, uid=True)


def _belongs_to(talk: Talk, mailbox: Selected) -> bytes:
    return correlator(talk.tag, talk.mailbox_name(mailbox.name), mailbox.snapshot.uidvalidity)


COMMANDS = {b"ESEARCH": Command(_esearch, AFTER_LOGIN)}
