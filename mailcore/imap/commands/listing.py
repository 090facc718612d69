r"""LIST in all its forms, and LSUB.

RFC 3501 sections 6.3.8 and 6.3.9, LIST-EXTENDED (RFC 5258), LIST-STATUS (RFC 5819), SPECIAL-USE (RFC 6154), CHILDREN
(RFC 3348). An account's mailboxes come in one answer; what is above a mailbox without being one is ``\NonExistent``.
"""

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field

from mailcore.conversation import CommandRefusedError
from mailcore.imap import names, responses
from mailcore.imap.commands.mailboxes import status_items, status_line
from mailcore.imap.grammar import Parser, SyntaxRefusedError
from mailcore.imap.questions import ListMailboxes, Mailboxes, MailboxRow, Pause
from mailcore.imap.talk import AFTER_LOGIN, Command, Exchange, Talk

# Patterns in one LIST, and characters in all of them. Each is looked at for each name.
_PATTERNS_LIMIT = 50
_CHARACTERS_LIMIT = 5000
# Characters of names that are looked at, once a pattern, before others have their turn.
_WORK_LIMIT = 20_000

_SELECTION_OPTIONS = frozenset({b"SUBSCRIBED", b"REMOTE", b"RECURSIVEMATCH", b"SPECIAL-USE"})
_RETURN_OPTIONS = frozenset({b"SUBSCRIBED", b"CHILDREN", b"SPECIAL-USE", b"STATUS"})


@dataclass(frozen=True, slots=True)
class _Wish:
    """What a LIST asks for."""

    patterns: tuple[names.Pattern, ...]
    selection: frozenset[bytes] = frozenset()
    returns: frozenset[bytes] = frozenset()
    status: tuple[bytes, ...] = ()
    extended: bool = False  # the client knows RFC 5258


@dataclass(slots=True)
class _Entry:
    """A name that may be listed."""

    name: str
    row: MailboxRow | None = None
    subscribed: bool = False
    has_children: bool = False
    subscribed_below: list[str] = field(default_factory=list)


def _list(talk: Talk, arguments: Parser) -> Exchange:
    """Say which mailboxes there are.

    ``list = "LIST" [SP list-select-opts] SP mailbox SP mbox-or-pat [SP list-return-opts]`` (RFC 5258 section 6)
    """
    arguments.space()
    selection = _selection_options(arguments)
    reference = arguments.mailbox()
    arguments.space()
    extended = bool(selection) or arguments.at(b"(")
    texts = arguments.parenthesized(arguments.list_mailbox) if arguments.at(b"(") else [arguments.list_mailbox()]
    returns, status = _return_options(arguments)
    arguments.end()
    if b"HIGHESTMODSEQ" in status:
        yield talk.learn_condstore()
    if texts == [""] and not extended:
        # RFC 3501 section 6.3.8: a way to ask for the hierarchy separator.
        yield b'* LIST (\\Noselect) "/" ""\r\n'
        return responses.completed(b"LIST")
    wish = _Wish(_patterns(reference, texts), selection, returns, tuple(status), extended or bool(returns))
    mailboxes: Mailboxes = yield ListMailboxes(talk.account)
    entries = _entries(mailboxes)
    matching = yield from _matching(wish.patterns, entries)
    yield b"".join(_answers(wish, entries, matching))
    return responses.completed(b"LIST")


def _selection_options(arguments: Parser) -> frozenset[bytes]:
    if not arguments.at(b"("):
        return frozenset()
    options = frozenset(arguments.parenthesized(lambda: _option(arguments, _SELECTION_OPTIONS), empty=True))
    arguments.space()
    # RFC 5258 section 3.1: it modifies other options and cannot be alone.
    if b"RECURSIVEMATCH" in options and not options & {b"SUBSCRIBED", b"SPECIAL-USE"}:
        raise SyntaxRefusedError("RECURSIVEMATCH needs another option")
    return options


def _return_options(arguments: Parser) -> tuple[frozenset[bytes], list[bytes]]:
    """Take ``[SP "RETURN" SP "(" [return-option *(SP return-option)] ")"]``."""
    status: list[bytes] = []
    if not arguments.accept(b" "):
        return frozenset(), status

    def option() -> bytes:
        name = _option(arguments, _RETURN_OPTIONS)
        if name == b"STATUS":
            arguments.space()
            status.extend(status_items(arguments))
        return name

    if arguments.word() != b"RETURN":
        raise SyntaxRefusedError("Expected RETURN")
    arguments.space()
    return frozenset(arguments.parenthesized(option, empty=True)), status


def _option(arguments: Parser, allowed: frozenset[bytes]) -> bytes:
    option = arguments.word()
    if option not in allowed:
        raise SyntaxRefusedError("Unknown LIST option")
    return option


def _patterns(reference: str, texts: Sequence[str]) -> tuple[names.Pattern, ...]:
    if len(texts) > _PATTERNS_LIMIT or sum(len(reference) + len(text) for text in texts) > _CHARACTERS_LIMIT:
        raise CommandRefusedError(responses.TOO_MANY_PATTERNS)
    return tuple(names.Pattern(reference + text) for text in texts)


def _entries(mailboxes: Mailboxes) -> list[_Entry]:
    """Return every mailbox, subscribed name and name above one, INBOX first and then by name."""
    entries = {row.name: _Entry(row.name, row, row.subscribed) for row in mailboxes.rows}
    for name in mailboxes.orphaned_subscriptions:
        entries.setdefault(name, _Entry(name)).subscribed = True
    for entry in list(entries.values()):
        for above in names.parents(entry.name):
            parent = entries.setdefault(above, _Entry(above))
            parent.has_children = parent.has_children or entry.row is not None
            if entry.subscribed:
                parent.subscribed_below.append(entry.name)
    return sorted(entries.values(), key=lambda entry: (entry.name != names.INBOX, entry.name))


def _matching(patterns: Sequence[names.Pattern], entries: Iterable[_Entry]) -> Generator[Pause, None, set[str]]:
    """Return the names that fit a pattern; others have their turn in between."""
    matching: set[str] = set()
    work = 0
    for entry in entries:
        work += len(entry.name) * len(patterns)
        if work > _WORK_LIMIT:
            work = 0
            yield Pause()
        if any(pattern.matches(entry.name) for pattern in patterns):
            matching.add(entry.name)
    return matching


def _answers(wish: _Wish, entries: Iterable[_Entry], matching: set[str]) -> Iterable[bytes]:
    recursive = {b"RECURSIVEMATCH", b"SUBSCRIBED"} <= wish.selection
    for entry in entries:
        if entry.name not in matching:
            continue
        # RFC 5258 section 3.5: shown for the sake of what is below it and is not shown itself.
        below = recursive and not matching.issuperset(entry.subscribed_below)
        if not (below or _is_chosen(entry, wish.selection)):
            continue
        extra = b' ("CHILDINFO" ("SUBSCRIBED"))' if below else b""
        attributes = b" ".join(_attributes(entry, wish))
        yield b'* LIST (%b) "/" %b%b\r\n' % (attributes, responses.mailbox(entry.name), extra)
        if wish.status and entry.row is not None:
            yield status_line(entry.row, list(wish.status))


def _is_chosen(entry: _Entry, selection: frozenset[bytes]) -> bool:
    if b"SUBSCRIBED" in selection and not entry.subscribed:
        return False
    if b"SPECIAL-USE" in selection and not (entry.row and entry.row.special_use):
        return False
    # Without a selection only mailboxes are listed, and what stands above them.
    return b"SUBSCRIBED" in selection or entry.row is not None or entry.has_children


def _attributes(entry: _Entry, wish: _Wish) -> list[bytes]:
    attributes = []
    if entry.row is None:
        # RFC 5258 section 3: \NonExistent implies \Noselect, which alone is known to older clients.
        attributes.append(b"\\NonExistent" if wish.extended else b"\\Noselect")
    if b"SUBSCRIBED" in wish.selection | wish.returns and entry.subscribed:
        attributes.append(b"\\Subscribed")
    attributes.append(b"\\HasChildren" if entry.has_children else b"\\HasNoChildren")
    if entry.row is not None and entry.row.special_use:
        attributes.append(entry.row.special_use.encode("ascii"))
    return attributes


def _lsub(talk: Talk, arguments: Parser) -> Exchange:
    r"""Say which names are subscribed.

    A name that is not, but has subscribed ones below where ``%`` cannot reach, is shown as ``\Noselect`` (RFC 3501
    section 6.3.9).
    """
    arguments.space()
    reference = arguments.mailbox()
    arguments.space()
    pattern_text = arguments.list_mailbox()
    arguments.end()
    (pattern,) = _patterns(reference, [pattern_text])
    mailboxes: Mailboxes = yield ListMailboxes(talk.account)
    reaches_below = not pattern.text.endswith("%")
    lines = []
    entries = _entries(mailboxes)
    matching = yield from _matching([pattern], entries)
    for entry in entries:
        if entry.name not in matching:
            continue
        if entry.subscribed:
            lines.append(b'* LSUB () "/" %b\r\n' % responses.mailbox(entry.name))
        elif entry.subscribed_below and not reaches_below:
            lines.append(b'* LSUB (\\Noselect) "/" %b\r\n' % responses.mailbox(entry.name))
    yield b"".join(lines)
    return responses.completed(b"LSUB")


COMMANDS = {
    b"LIST": Command(_list, AFTER_LOGIN),
    b"LSUB": Command(_lsub, AFTER_LOGIN),
}
