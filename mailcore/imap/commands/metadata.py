"""Annotations of mailboxes and of the server: GETMETADATA, SETMETADATA (RFC 5464)."""

import re

from mailcore.imap import responses
from mailcore.imap.grammar import Parser, SyntaxRefusedError
from mailcore.imap.questions import FoundMetadata, GetMetadata, SetMetadata
from mailcore.imap.talk import AFTER_LOGIN, Command, Exchange, Talk

# Entries named in one command.
ENTRIES_LIMIT = 100
_ENTRY_LENGTH_LIMIT = 255
# RFC 5464 section 3.2: printable ASCII but "*" and "%", levels begin with "/" and are not empty.
_ENTRY = re.compile(rb"(?:/[!-$&-)+-.0-~ ]+)+")
_SCOPES = ("/private", "/shared")

# The names of entries begin with "/".
_OPTIONS = re.compile(rb"\([A-Za-z]")
_DEPTHS = {b"0": 0, b"1": 1, b"INFINITY": -1}


_BRINGS = re.compile(rb"[^ ]+ SETMETADATA [^(]+\(", re.IGNORECASE)


def brings_value(text: bytes) -> bool:
    """Say whether the literal that this ends with may be a value: too long for a literal is too long for a value."""
    return _BRINGS.match(text) is not None


def _getmetadata(talk: Talk, arguments: Parser) -> Exchange:
    """Tell annotations: ``getmetadata = "GETMETADATA" [SP getmetadata-options] SP mailbox SP entries``.

    The options may also stand after the mailbox, as they do in the examples of RFC 5464 sections 4.2.1 and 4.2.2 and in
    what clients send. An empty mailbox name is the server. What is asked for by its own name and is not there is NIL.
    """
    arguments.space()
    options: dict[bytes, int] = {}
    if arguments.at(b"("):
        options = _options(arguments)
        arguments.space()
    name = arguments.mailbox()
    arguments.space()
    if not options and _OPTIONS.match(arguments.rest):
        options = _options(arguments)
        arguments.space()
    depth, most = options.get(b"DEPTH", 0), options.get(b"MAXSIZE")
    entries = take_entries(arguments, scopes=True)
    arguments.end()
    found: FoundMetadata = yield GetMetadata(talk.account, name, entries, depth, most)
    values: dict[str, bytes | None] = dict(found.values)
    if depth == 0 and not found.longest:
        values = {entry: values.get(entry) for entry in entries}
    if values:
        yield metadata_line(talk, name, values)
    code = b"METADATA LONGENTRIES %d" % found.longest if found.longest else b""
    return responses.completed(b"GETMETADATA", code)


def _setmetadata(talk: Talk, arguments: Parser) -> Exchange:
    """Write annotations: ``setmetadata = "SETMETADATA" SP mailbox SP entry-values``; NIL removes."""
    arguments.space()
    name = arguments.mailbox()
    arguments.space()
    values = arguments.parenthesized(lambda: _entry_value(arguments))
    arguments.end()
    if len(values) > ENTRIES_LIMIT:
        raise SyntaxRefusedError("Too many entries")
    yield SetMetadata(talk.account, name, tuple(dict(values).items()))
    talk.has_annotated(name, dict(values))
    return responses.completed(b"SETMETADATA")


def _options(arguments: Parser) -> dict[bytes, int]:
    """Take ``getmetadata-options = "(" getmetadata-option *(SP getmetadata-option) ")"``."""
    options: dict[bytes, int] = {}

    def option() -> None:
        name = arguments.word()
        arguments.space()
        if name == b"MAXSIZE":
            options[name] = arguments.number()
        elif name == b"DEPTH":
            depth = _DEPTHS.get(arguments.word())
            if depth is None:
                raise SyntaxRefusedError("DEPTH is 0, 1 or infinity")
            options[name] = depth
        else:
            raise SyntaxRefusedError("Unknown option")

    arguments.parenthesized(option)
    return options


def take_entries(arguments: Parser, *, scopes: bool = False) -> tuple[str, ...]:
    """Take ``entries = entry / "(" entry *(SP entry) ")"``, in lower case: letter case says nothing.

    ``scopes``: also ``/private`` and ``/shared`` themselves, which stand for what is below them.
    """

    def entry() -> str:
        return _entry(arguments, scopes=scopes)

    entries = arguments.parenthesized(entry) if arguments.at(b"(") else [entry()]
    if len(entries) > ENTRIES_LIMIT:
        raise SyntaxRefusedError("Too many entries")
    return tuple(dict.fromkeys(entries))


def _entry(arguments: Parser, *, scopes: bool) -> str:
    octets = arguments.astring()
    if len(octets) > _ENTRY_LENGTH_LIMIT or not _ENTRY.fullmatch(octets):
        raise SyntaxRefusedError("Not the name of an entry")
    entry = octets.decode("ascii").lower()
    if not (entry.startswith(tuple(scope + "/" for scope in _SCOPES)) or (scopes and entry in _SCOPES)):
        raise SyntaxRefusedError("An entry is below /private or /shared")
    return entry


def _entry_value(arguments: Parser) -> tuple[str, bytes | None]:
    """Take ``entry-value = entry SP value``, ``value = nstring / literal8``."""
    entry = _entry(arguments, scopes=False)
    arguments.space()
    if not arguments.at_literal8:
        return entry, arguments.nstring()
    octets = arguments.literal8()
    if not isinstance(octets, bytes):
        raise SyntaxRefusedError("Expected a value")
    return entry, octets


def metadata_line(talk: Talk, name: str, values: dict[str, bytes | None]) -> bytes:
    """Write a METADATA response with values; an empty name is the server."""
    pairs = b" ".join([b"%b %b" % (responses.astring(entry.encode()), _value(it)) for entry, it in values.items()])
    return b"* METADATA %b (%b)\r\n" % (talk.mailbox_name(name) if name else b'""', pairs)


def _value(value: bytes | None) -> bytes:
    if value is not None and b"\0" in value:
        return b"~" + responses.literal(value)  # literal8 (RFC 4466 section 6)
    return responses.nstring(value)


COMMANDS = {
    b"GETMETADATA": Command(_getmetadata, AFTER_LOGIN),
    b"SETMETADATA": Command(_setmetadata, AFTER_LOGIN),
}
