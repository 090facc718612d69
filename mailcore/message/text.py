"""The text of a message as people read it: decoded headers, decoded text parts, HTML without its tags.

For searching (IMAP SEARCH BODY and TEXT) and previews. Bounded, never raises, and renders nothing: the result is
text to look into, not to show as HTML.
"""

import html
import re
from collections.abc import Iterator
from typing import Final

from mailcore.message import charsets
from mailcore.message.addresses import Address, parse_addresses
from mailcore.message.headers import Headers, Octets, decode_text, unfold
from mailcore.message.parameters import parameter_text, parse_disposition
from mailcore.message.structure import Part, scan, walk
from mailcore.message.transfer import decode_body

# The most bytes of encoded text parts that are read of one message.
TEXT_LIMIT: Final = 16 * 1024 * 1024
# Characters in a preview (RFC 8970 section 4: at most 256), and the most octets that are looked at for one: of one
# part, and of the message, where a picture may come before the text.
PREVIEW_LENGTH: Final = 200
_PREVIEW_BYTES: Final = 16 * 1024
PREVIEW_SCAN: Final = 128 * 1024
_ENCRYPTED: Final = (b"multipart", b"encrypted")  # RFC 1847 section 2.2
_MULTILINGUAL: Final = (b"multipart", b"multilingual")
_ARMOR: Final = "-----BEGIN PGP MESSAGE-----"  # RFC 4880 section 6.2

# Fields whose parameters may be encoded or divided.
_WITH_PARAMETERS: Final = frozenset({b"content-type", b"content-disposition"})

# A tag, a comment, or a declaration. Possessive, and what has no end goes to the end: one look at each character.
_TAG: Final = re.compile(r"<(?:(!--)|/?([A-Za-z][A-Za-z0-9]{0,20})[^<>]*+>?|[!?][^<>]*+>?)")
_HIDDEN: Final = {name: re.compile(f"</{name}", re.IGNORECASE) for name in ("script", "style")}
# Tags that do not part words; every other one stands for white space.
_INLINE: Final = frozenset(
    {
        "a",
        "abbr",
        "b",
        "big",
        "code",
        "em",
        "font",
        "i",
        "ins",
        "mark",
        "s",
        "small",
        "span",
        "strong",
        "sub",
        "sup",
        "u",
    }
)
# Character references; bounded, as the standard library's conversion of long numbers is not.
_REFERENCE: Final = re.compile(r"&(?:#\d{1,7}(?!\d)|#[xX][0-9A-Fa-f]{1,6}(?![0-9A-Fa-f])|[A-Za-z][A-Za-z0-9]{1,31});?")
_SPACES: Final = re.compile(r"\s+")


def header_texts(headers: Headers) -> Iterator[str]:
    """Give each field of a header, decoded: its name (lower case), a colon, a space and the value."""
    for field in headers:
        for text in field_texts(field.name, field.value):
            yield f"{field.name.decode('latin-1')}: {text}"


def field_texts(name: bytes, value: bytes) -> list[str]:
    """Give the text of one field (``name`` in lower case), and of parameters that are not written as plain text."""
    text = decode_text(value)
    if name not in _WITH_PARAMETERS or b"*" not in value:
        return [text]
    # RFC 2231: what the value says, divided and percent-encoded, nobody would look for.
    parameters = parse_disposition(unfold(value))[1]
    names = dict.fromkeys(own.lower().removesuffix(b"*") for own, _ in parameters)
    return [text, *(f"{own.decode('latin-1')}={parameter_text(parameters, own)}" for own in names)]


def address_texts(value: bytes) -> list[str]:
    """Give the texts of a field with addresses: as it is written, and each address as it is meant.

    Meant is ``name <mailbox@host>`` without quotes, comments and white space, as ENVELOPE has it (RFC 3501 section
    6.4.4); of a group it is the name.
    """
    text = decode_text(value)
    meant = (_meant(address) for address in parse_addresses(unfold(value)) if address.mailbox is not None)
    return [text, *(other for other in dict.fromkeys(meant) if other not in text)]


def _meant(address: Address) -> str:
    if address.host is None:
        return decode_text(address.mailbox or b"")
    plain = b"%b@%b" % (address.mailbox or b"", address.host)
    place = plain.decode("utf-8", "replace")
    return f"{decode_text(address.name)} <{place}>" if address.name else place


def body_texts(message: Octets, root: Part, limit: int = TEXT_LIMIT) -> Iterator[str]:
    """Give the decoded text of the body, piece by piece: text parts, headers of messages inside, names of files.

    What describes a part is part of the body (Content-Description); reports to mail programs are text, too
    (message/delivery-status). After ``limit`` bytes of encoded parts it ends.
    """
    inside = {id(part.children[0]) for part in walk(root) if part.is_message}
    for part in walk(root):
        if id(part) in inside:
            yield from header_texts(part.headers)
        elif part is not root and (description := part.headers.text(b"content-description")):
            yield description
        if name := file_name(part):
            yield name
        if not part.children and (part.is_text or part.media_type.lower() == b"message"):
            yield part_text(message, part, limit)
            limit -= part.size
            if limit <= 0:
                return


def part_text(message: Octets, part: Part, limit: int = TEXT_LIMIT) -> str:
    """Decode one text part, HTML without its tags; at most ``limit`` encoded bytes of it."""
    data = decode_body(message[part.body_start : min(part.end, part.body_start + limit)], part.encoding)
    text = charsets.decode(data, parameter_text(part.parameters, b"charset"))
    return strip_html(text) if part.subtype.lower() == b"html" else text


def file_name(part: Part) -> str:
    """Give the file name that an attachment suggests, as text for people; ``""`` when there is none. It is no path."""
    disposition = part.headers.get(b"content-disposition")
    name = parameter_text(parse_disposition(disposition)[1], b"filename") if disposition else ""
    return name or parameter_text(part.parameters, b"name")


def strip_html(text: str) -> str:
    """Take tags, comments, scripts and styles out of HTML, and resolve character references. Linear; never raises."""
    pieces: list[str] = []
    position, end = 0, len(text)
    while position < end:
        tag = _TAG.search(text, position)
        if tag is None:
            break
        pieces.append(text[position : tag.start()])
        position = tag.end()
        name = (tag[2] or "").lower()
        if tag[1]:
            close = text.find("-->", position)
            position = close + 3 if close >= 0 else end
        elif name in _HIDDEN and text[tag.start() + 1] != "/":
            closing = _HIDDEN[name].search(text, position)
            position = closing.start() if closing else end
        if name not in _INLINE:
            pieces.append(" ")
    pieces.append(text[position:])
    return _REFERENCE.sub(lambda found: html.unescape(found[0]), "".join(pieces))


def preview(message: Octets, length: int = PREVIEW_LENGTH) -> str:
    """Give the first ``length`` characters of the first text that has any, on one line (RFC 8970 section 4).

    Only the beginning of a message is looked at. What is encrypted gives no text, attachments are passed over, and of
    a message in several languages (RFC 8255) the first translation speaks, not the note that there are several.
    """
    message = message[:PREVIEW_SCAN]
    root = scan(message)
    passed_over: set[int] = set()
    for part in walk(root):
        kind = part.media_type.lower(), part.subtype.lower()
        if kind == _ENCRYPTED:
            return ""
        if kind == _MULTILINGUAL and part.children:
            passed_over.add(id(part.children[0]))
        if not part.is_text or part.children or id(part) in passed_over or _is_attached(part):
            continue
        text = _SPACES.sub(" ", part_text(message, part, _PREVIEW_BYTES).replace("\0", "")).strip()
        if text.startswith(_ARMOR):
            return ""
        if text:
            return text[:length]
    return ""


def _is_attached(part: Part) -> bool:
    disposition = part.headers.get(b"content-disposition")
    return disposition is not None and parse_disposition(disposition)[0].lower() == b"attachment"
