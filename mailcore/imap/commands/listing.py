r"""LIST in all its forms, and LSUB.

RFC 3501 sections 6.3.8 and 6.3.9, LIST-EXTENDED (RFC 5258), LIST-STATUS (RFC 5819), SPECIAL-USE (RFC 6154), CHILDREN
(RFC 3348), LIST-MYRIGHTS (RFC 8440), LIST-METADATA (RFC 9590). An account's mailboxes come in one answer, with those
of others that it may look up; what is above a mailbox without being one is ``\NonExistent``. None are remote.
"""

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from mailcore.conversation import CommandRefusedError
from mailcore.dialogue import Question
from mailcore.imap import names, responses
from mailcore.imap.commands.acl import myrights_line
from mailcore.imap.commands.mailboxes import COUNTED_ITEMS, status_items, status_line, with_deleted
from mailcore.imap.commands.metadata import metadata_line, take_entries
from mailcore.imap.grammar import Parser, SyntaxRefusedError
from mailcore.imap.questions import ListMailboxes, ListMetadata, Mailboxes, MailboxRow, Pause
from mailcore.imap.talk import AFTER_LOGIN, Command, Exchange, Talk

# Patterns in one LIST, and characters in all of them. Each is looked at for each name.
_PATTERNS_LIMIT = 50
_CHARACTERS_LIMIT = 5000
# Characters of names that are looked at, once a pattern, before others have their turn.
_WORK_LIMIT = 20_000
# Names put into the tree, and lines written, before others have their turn.
_ENTRIES_AT_ONCE = 500
_LINES_AT_ONCE = 200
# Mailboxes whose metadata are asked for at once: values may be long.
_METADATA_AT_ONCE = 50

_SELECTION_OPTIONS = frozenset({b"SUBSCRIBED", b"REMOTE", b"RECURSIVEMATCH", b"SPECIAL-USE"})
_RETURN_OPTIONS = frozenset({b"SUBSCRIBED", b"CHILDREN", b"SPECIAL-USE", b"STATUS", b"MYRIGHTS", b"METADATA"})


@dataclass(frozen=True, slots=True)
class _Wish:
    """What a LIST asks for."""

    patterns: tuple[names.Pattern, ...]
    selection: frozenset[bytes] = frozenset()
    returns: frozenset[bytes] = frozenset()
    status: tuple[bytes, ...] = ()
    metadata: tuple[str, ...] = ()
    extended: bool = False  # the client knows RFC 5258

    @property
    def criteria(self) -> list[bytes]:
        """What a name must fulfil to be chosen, in the order in which CHILDINFO tells it."""
        return [option for option in (b"SUBSCRIBED", b"SPECIAL-USE") if option in self.selection]


@dataclass(slots=True)
class _Entry:
    """A name that may be listed."""

    name: str
    row: MailboxRow | None = None
    subscribed: bool = False
    has_children: bool = False
    # Something below it is chosen (LIST) or subscribed (LSUB),
    has_chosen: bool = False
    # and is not shown itself.
    speaks_for_others: bool = False


_Tree: TypeAlias = dict[str, _Entry]


def _list(talk: Talk, arguments: Parser) -> Exchange:
    """Say which mailboxes there are.

    ``list = "LIST" [SP list-select-opts] SP mailbox SP mbox-or-pat [SP list-return-opts]`` (RFC 5258 section 6)
    """
    arguments.space()
    extended = arguments.at(b"(")
    selection = _selection_options(arguments)
    reference = arguments.mailbox()
    arguments.space()
    extended = extended or arguments.at(b"(")
    texts = arguments.parenthesized(arguments.list_mailbox) if arguments.at(b"(") else [arguments.list_mailbox()]
    extended = extended or not arguments.is_done
    returns, status, metadata = _return_options(arguments)
    arguments.end()
    if b"HIGHESTMODSEQ" in status:
        yield talk.learn_condstore()
    if texts == [""] and not extended:
        # RFC 3501 section 6.3.8: a way to ask for the hierarchy separator.
        yield b'* LIST (\\Noselect) "/" ""\r\n'
        return responses.completed(b"LIST")
    # RFC 9051 section 6.3.9: in the extended syntax an empty name has no special meaning, and is passed over.
    texts = [text for text in texts if text]
    extended = extended or talk.rev2
    wish = _Wish(_patterns(reference, texts), selection, returns, tuple(status), tuple(metadata), extended)
    mailboxes: Mailboxes = yield ListMailboxes(talk.account)
    tree = yield from _tree(mailboxes)
    matching = yield from _matching(wish.patterns, tree.values())
    chosen = yield from _chosen(wish, tree, matching)
    yield from _answers(talk, wish, chosen)
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


def _return_options(arguments: Parser) -> tuple[frozenset[bytes], list[bytes], list[str]]:
    """Take ``[SP "RETURN" SP "(" [return-option *(SP return-option)] ")"]``.

    What is given more than once counts once (RFC 9051 section 6.3.9).
    """
    status: list[bytes] = []
    metadata: list[str] = []
    if not arguments.accept(b" "):
        return frozenset(), status, metadata

    def option() -> bytes:
        name = _option(arguments, _RETURN_OPTIONS)
        if name == b"STATUS":
            arguments.space()
            status.extend(status_items(arguments))
        elif name == b"METADATA":
            arguments.space()
            metadata.extend(take_entries(arguments))
        return name

    if arguments.word() != b"RETURN":
        raise SyntaxRefusedError("Expected RETURN")
    arguments.space()
    options = frozenset(arguments.parenthesized(option, empty=True))
    return options, list(dict.fromkeys(status)), list(dict.fromkeys(metadata))


def _option(arguments: Parser, allowed: frozenset[bytes]) -> bytes:
    option = arguments.word()
    if option not in allowed:
        raise SyntaxRefusedError("Unknown LIST option")
    return option


def _patterns(reference: str, texts: Sequence[str]) -> tuple[names.Pattern, ...]:
    if len(texts) > _PATTERNS_LIMIT or sum(len(reference) + len(text) for text in texts) > _CHARACTERS_LIMIT:
        raise CommandRefusedError(responses.TOO_MANY_PATTERNS)
    return tuple(names.Pattern(reference + text) for text in texts)


def _tree(mailboxes: Mailboxes) -> Generator[Pause, None, _Tree]:
    """Return every mailbox, subscribed name and name above one; others have their turn in between."""
    tree: _Tree = {}
    for number, row in enumerate(mailboxes.rows, 1):
        entry = tree.setdefault(row.name, _Entry(row.name))
        entry.row, entry.subscribed = row, row.subscribed
        for parent in _parents(tree, row.name):
            if parent.has_children:
                break  # and so have all above it
            parent.has_children = True
        if not number % _ENTRIES_AT_ONCE:
            yield Pause()
    for number, name in enumerate(mailboxes.orphaned_subscriptions, 1):
        tree.setdefault(name, _Entry(name)).subscribed = True
        for _ in _parents(tree, name):
            pass  # they are made
        if not number % _ENTRIES_AT_ONCE:
            yield Pause()
    return tree


def _parents(tree: _Tree, name: str) -> Iterable[_Entry]:
    """Yield the names above one, the nearest first; those that are missing are made."""
    above, separator, _ = name.rpartition(names.SEPARATOR)
    while separator:
        entry = tree.get(above)
        if entry is None:
            entry = tree[above] = _Entry(above)
        yield entry
        above, separator, _ = above.rpartition(names.SEPARATOR)


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


def _chosen(wish: _Wish, tree: _Tree, matching: set[str]) -> Generator[Pause, None, list[_Entry]]:
    """Return what is shown, INBOX first and then by name."""
    if b"RECURSIVEMATCH" in wish.selection:
        # RFC 5258 section 3.5: a name is shown too for the sake of what is below it and is not shown itself.
        yield from _speak_for(tree, matching, lambda entry: _fulfils(entry, wish))
    chosen = []
    for number, name in enumerate(matching, 1):
        entry = tree[name]
        if entry.speaks_for_others or _fulfils(entry, wish):
            chosen.append(entry)
        if not number % _ENTRIES_AT_ONCE:
            yield Pause()
    return _sorted(chosen)


def _speak_for(tree: _Tree, matching: set[str], is_chosen: Callable[[_Entry], bool]) -> Generator[Pause, None, None]:
    """Mark what is above names that are chosen, shown themselves or not; others have their turn in between."""
    for number, entry in enumerate(list(tree.values()), 1):
        if is_chosen(entry):
            hidden = entry.name not in matching
            for parent in _parents(tree, entry.name):
                if parent.has_chosen and (parent.speaks_for_others or not hidden):
                    break  # and so have all above it
                parent.has_chosen = True
                parent.speaks_for_others |= hidden
        if not number % _ENTRIES_AT_ONCE:
            yield Pause()


def _sorted(entries: Iterable[_Entry]) -> list[_Entry]:
    # "" comes before every name.
    return sorted(entries, key=lambda entry: "" if entry.name == names.INBOX else entry.name)


def _fulfils(entry: _Entry, wish: _Wish) -> bool:
    if b"SUBSCRIBED" in wish.selection and not entry.subscribed:
        return False
    if b"SPECIAL-USE" in wish.selection and not (entry.row and entry.row.special_use):
        return False
    # Without a selection only mailboxes are listed, and what stands above them.
    return b"SUBSCRIBED" in wish.selection or entry.row is not None or entry.has_children


def _answers(talk: Talk, wish: _Wish, chosen: Sequence[_Entry]) -> Generator[Question | bytes, Any, None]:
    """Tell what is chosen, a piece at a time: the client takes each before the next is made."""
    at_once = _METADATA_AT_ONCE if wish.metadata else _LINES_AT_ONCE
    for start in range(0, len(chosen), at_once):
        if start:
            yield Pause()
        part = chosen[start : start + at_once]
        rows = [entry.row for entry in part if entry.row is not None and _fulfils(entry, wish)]
        # What a mailbox is like is for those who may read it (RFC 5819 section 2).
        readable = {row.mailbox: row for row in rows if "r" in row.rights}
        if not COUNTED_ITEMS.isdisjoint(wish.status) and readable:
            readable = {row.mailbox: row for row in (yield from with_deleted(list(readable.values())))}
        values: dict[int, dict[str, bytes]] = {}
        if wish.metadata:
            seen = [row.mailbox for row in rows if set("rswip") & set(row.rights)]
            values = yield ListMetadata(talk.account, seen, wish.metadata)
        yield b"".join([_told(talk, wish, entry, readable, values) for entry in part])


def _told(
    talk: Talk,
    wish: _Wish,
    entry: _Entry,
    readable: dict[int, MailboxRow],
    values: dict[int, dict[str, bytes]],
) -> bytes:
    """Write all that is told of one name."""
    extra = b""
    if entry.has_chosen:  # whether that is shown or not (RFC 9051 section 6.3.9.6)
        extra = b' ("CHILDINFO" (%b))' % b" ".join([b'"%b"' % option for option in wish.criteria])
    written = talk.mailbox_name(entry.name)
    lines = [b'* LIST (%b) "/" %b%b\r\n' % (b" ".join(_attributes(entry, wish)), written, extra)]
    row = entry.row
    if row is None or not _fulfils(entry, wish):
        return lines[0]  # what is shown for the sake of others has nothing else to be told (RFC 9051 section 6.3.9)
    if wish.status and row.mailbox in readable:
        lines.append(status_line(talk, readable[row.mailbox], wish.status))
    if b"MYRIGHTS" in wish.returns:
        lines.append(myrights_line(talk, row.name, row.rights))
    if wish.metadata and set("rswip") & set(row.rights):
        found = values.get(row.mailbox, {})
        lines.append(metadata_line(talk, row.name, {asked: found.get(asked) for asked in wish.metadata}))
    return b"".join(lines)


def _attributes(entry: _Entry, wish: _Wish) -> list[bytes]:
    attributes = []
    if entry.row is None:
        # RFC 5258 section 3: \NonExistent implies \Noselect, which alone is known to older clients.
        attributes.append(b"\\NonExistent" if wish.extended else b"\\Noselect")
    elif wish.status and "r" not in entry.row.rights:
        # RFC 9051 section 6.3.9.2, RFC 5819 section 2: it has no STATUS because it cannot be selected.
        attributes.append(b"\\Noselect")
    if entry.subscribed and (b"SUBSCRIBED" in wish.selection or b"SUBSCRIBED" in wish.returns):
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
    tree = yield from _tree(mailboxes)
    matching = yield from _matching([pattern], tree.values())
    if pattern.text.endswith("%"):
        yield from _speak_for(tree, matching, lambda entry: entry.subscribed)
    shown = _sorted(entry for name in matching if (entry := tree[name]).subscribed or entry.speaks_for_others)
    for start in range(0, len(shown), _LINES_AT_ONCE):
        if start:
            yield Pause()
        yield b"".join([_lsub_line(talk, entry) for entry in shown[start : start + _LINES_AT_ONCE]])
    return responses.completed(b"LSUB")


def _lsub_line(talk: Talk, entry: _Entry) -> bytes:
    attributes = b"" if entry.subscribed else b"\\Noselect"
    return b'* LSUB (%b) "/" %b\r\n' % (attributes, talk.mailbox_name(entry.name))


COMMANDS = {
    b"LIST": Command(_list, AFTER_LOGIN),
    b"LSUB": Command(_lsub, AFTER_LOGIN),
}
