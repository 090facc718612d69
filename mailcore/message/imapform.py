"""ENVELOPE, BODY and BODYSTRUCTURE as IMAP shows them (RFC 3501 section 7.4.2, grammar in section 9).

Writes values only; offsets and header facts come from ``structure.py``. Works through the part tree without recursion.
"""

import re
from typing import Final

from mailcore.message.addresses import Address, parse_addresses
from mailcore.message.headers import Headers
from mailcore.message.parameters import Parameters, first_token, parse_disposition, without_comments
from mailcore.message.structure import Part, walk

# QUOTED-CHAR = <any TEXT-CHAR except quoted-specials>; with those two it can still be quoted, escaped.
_PLAIN: Final = re.compile(rb"[\t -!#-\[\]-~]*+")
_QUOTABLE: Final = re.compile(rb"[\t -~]*+")
_SPECIALS: Final = re.compile(rb"([\"\\])")

# What stands in for the missing half of an address, since NIL would make a group of it. Dovecot's words.
_MISSING_HOST: Final = b'"MISSING_DOMAIN"'
_MISSING_MAILBOX: Final = b'"MISSING_MAILBOX"'

_EMPTY: Final = b'("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 0 0%b)'
_NO_EXTENSION: Final = b" NIL NIL NIL NIL"

# The ENVELOPEs in one BODYSTRUCTURE together may have this many octets, and so many for each octet of the message. One
# alone can be fifty times as long as its header, where that lists a thousand addresses of one letter.
_ENVELOPES_FREE: Final = 64 * 1024
_ENVELOPES_RATIO: Final = 4
_NO_ENVELOPE: Final = b"(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"


def nstring(value: bytes | None) -> bytes:
    """Write ``NIL``, a quoted string, or a literal where only that can hold the bytes (8-bit, CR, LF)."""
    return b"NIL" if value is None else string(value)


def string(value: bytes) -> bytes:
    """Write a quoted string, or a literal where only that can hold the bytes. NUL, which neither can, is left out."""
    if _PLAIN.fullmatch(value):
        return b'"' + value + b'"'
    if _QUOTABLE.fullmatch(value):
        return b'"%b"' % _SPECIALS.sub(rb"\\\1", value)
    value = value.replace(b"\0", b"")
    return b"{%d}\r\n%b" % (len(value), value)


def envelope(headers: Headers) -> bytes:
    """Write the ENVELOPE of a message, parentheses included."""
    sender = _addresses(headers, b"from")
    return b"(%b %b %b %b %b %b %b %b %b %b)" % (
        nstring(headers.get(b"date")),
        nstring(headers.get(b"subject")),
        sender,
        _addresses(headers, b"sender", sender),
        _addresses(headers, b"reply-to", sender),
        _addresses(headers, b"to"),
        _addresses(headers, b"cc"),
        _addresses(headers, b"bcc"),
        nstring(headers.get(b"in-reply-to")),
        nstring(headers.get(b"message-id")),
    )


def _addresses(headers: Headers, name: bytes, default: bytes = b"NIL") -> bytes:
    # A repeated field is read as one list: whoever looks at the first or the last only must not see less than all.
    values = headers.get_all(name)
    if not values:
        return default
    found = parse_addresses(b",".join(values) if len(values) > 1 else values[0])
    return b"(%b)" % b"".join(map(_address, found)) if found else default


def _address(address: Address) -> bytes:
    name, route, mailbox, host = address
    if host is None:  # a group begins or ends
        return b"(NIL NIL %b NIL)" % nstring(mailbox)
    return b"(%b %b %b %b)" % (
        nstring(name),
        nstring(route),
        string(mailbox) if mailbox else _MISSING_MAILBOX,
        string(host) if host else _MISSING_HOST,
    )


def bodystructure(root: Part, *, rev2: bool = False) -> bytes:
    """Write the BODYSTRUCTURE of a message, extension data included.

    ``rev2``: as IMAP4rev2 has it, where message/global is a message as message/rfc822 is (RFC 9051 section 9,
    ``media-message``). In IMAP4rev1 it is like any other part, and a client would stumble over what is inside.
    """
    return _render(root, extended=True, rev2=rev2)


def body(root: Part, *, rev2: bool = False) -> bytes:
    """Write the BODY of a message: its structure without extension data."""
    return _render(root, extended=False, rev2=rev2)


def _render(root: Part, *, extended: bool, rev2: bool) -> bytes:
    if not (root.is_multipart or root.is_message):
        return _leaf(root, extended=extended, rev2=rev2)
    parts = list(walk(root))
    done: dict[int, bytes] = {}  # what its parent has not taken in yet
    envelopes = _envelopes(parts)
    for part in reversed(parts):  # children before their parents
        if part.is_multipart:
            done[id(part)] = _multipart(part, done, extended=extended)
        elif part.is_message:
            message = part.children[0]
            inside = b"%b %b" % (envelopes.get(id(message), _NO_ENVELOPE), done.pop(id(message)))
            done[id(part)] = _leaf(part, inside, extended=extended, rev2=rev2)
        else:
            done[id(part)] = _leaf(part, extended=extended, rev2=rev2)
    return done[id(root)]


def _envelopes(parts: list[Part]) -> dict[int, bytes]:
    """Write the envelopes of the messages inside a message, in their order, until there is no room for more."""
    found: dict[int, bytes] = {}
    room = _ENVELOPES_FREE + _ENVELOPES_RATIO * parts[0].end
    for part in parts:
        if part.is_message and room > 0:
            message = part.children[0]
            found[id(message)] = envelope(message.headers)
            room -= len(found[id(message)])
    return found


def _multipart(part: Part, done: dict[int, bytes], *, extended: bool) -> bytes:
    inner = b"".join([done.pop(id(child)) for child in part.children])
    if not extended:
        return b"(%b %b)" % (inner, string(part.subtype))
    return b"(%b %b %b %b)" % (inner, string(part.subtype), _parameters(part.parameters), _extension(part.headers))


def _leaf(part: Part, inside: bytes = b"", *, extended: bool, rev2: bool) -> bytes:
    """Write what is no multipart; ``inside`` are the envelope and the structure of the message that it holds."""
    headers = part.headers
    written = b"%b %b %b %b %b %b %d" % (
        string(part.media_type),
        string(part.subtype),
        _parameters(part.parameters, with_charset=part.is_text),
        nstring(headers.get(b"content-id")),
        nstring(headers.get(b"content-description")),
        string(part.encoding),
        part.size,
    )
    if part.is_message and (rev2 or not part.is_global):
        written += b" %b %d" % (inside, part.lines)
    elif part.is_global and rev2:
        # It is encoded, and the grammar wants to see a message all the same.
        empty = _EMPTY % (_NO_EXTENSION if extended else b"")
        written += b" %b %b %d" % (_NO_ENVELOPE, empty, part.lines)
    elif part.is_text:
        written += b" %d" % part.lines
    if extended:
        written += b" %b %b" % (nstring(headers.get(b"content-md5")), _extension(headers))
    return b"(%b)" % written


def _extension(headers: Headers) -> bytes:
    """Write disposition, language and location."""
    disposition = headers.get(b"content-disposition")
    language = headers.get(b"content-language")
    location = headers.get(b"content-location")
    if disposition is None and language is None and location is None:
        return b"NIL NIL NIL"
    return b"%b %b %b" % (_disposition(disposition), _language(language), nstring(location))


def _disposition(value: bytes | None) -> bytes:
    """Write a disposition. A type that is missing is like one that nobody knows (RFC 2183 section 2.8)."""
    kind, parameters = parse_disposition(value) if value else (b"", ())
    return b"(%b %b)" % (string(kind), _parameters(parameters)) if kind or parameters else b"NIL"


def _language(value: bytes | None) -> bytes:
    """Write the tags of ``Language-Tag [CFWS] *("," [CFWS] Language-Tag [CFWS])`` (RFC 3282 section 2)."""
    tags = [tag for each in without_comments(value).split(b",") if (tag := first_token(each))] if value else []
    if not tags:
        return b"NIL"
    return string(tags[0]) if len(tags) == 1 else b"(%b)" % b" ".join(map(string, tags))


def _parameters(parameters: Parameters, *, with_charset: bool = False) -> bytes:
    """Write parameters; text without a charset is shown with the default one (RFC 2045 section 5.2)."""
    pairs = [b"%b %b" % (string(name), string(value)) for name, value in parameters]
    if with_charset and not any(name.lower() in {b"charset", b"charset*"} for name, _ in parameters):
        pairs.append(b'"charset" "us-ascii"')
    return b"(%b)" % b" ".join(pairs) if pairs else b"NIL"
