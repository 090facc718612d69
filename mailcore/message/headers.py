"""Header fields: found in one linear scan, unfolded, and decoded to text.

Reads only; ``writer.py`` writes. A line ends at LF, with or without a CR before it. Nothing here raises on any input,
and no more than ``FIELD_LIMIT`` fields in the first ``BLOCK_LIMIT`` bytes are looked at.
"""

import binascii
import mmap
import re
from collections.abc import Iterator
from itertools import islice
from typing import Final, NamedTuple, TypeAlias

from mailcore.message import charsets
from mailcore.message.transfer import decode_base64

# What a message may be given as.
Octets: TypeAlias = bytes | mmap.mmap

FIELD_LIMIT: Final = 1000
BLOCK_LIMIT: Final = 1024 * 1024

# A field is a name, a colon and a value that goes on over lines beginning with white space (RFC 5322 section 2.2). A
# line without a colon is taken as a name without a value. Possessive: there is nothing to try twice.
_FIELD: Final = re.compile(rb"(([^:\n]*+)(:?+)([^\n]*+(?:\n[ \t][^\n]*+)*+)\n?+)")
_FOLD: Final = re.compile(rb"\r*\n[ \t]?")
# RFC 2047 section 2, with the language of RFC 2231 section 5; spaces in the text, which it forbids, are common.
_ENCODED_WORD: Final = re.compile(rb"=\?([A-Za-z0-9_.:+-]{1,40})(?:\*[A-Za-z0-9-]{0,20})?\?([BbQq])\?([^?\r\n]*+)\?=")
_UNWANTED: Final = {0: None, 10: " ", 13: " "}


class Field(NamedTuple):
    """One header field."""

    name: bytes  # in lower case, without white space before the colon
    value: bytes  # everything behind the colon, folding included, without the last LF
    raw: bytes  # the lines as they stand, line ends included


def header_end(data: Octets, start: int = 0, end: int | None = None) -> tuple[int, int]:
    """Find where the header that begins at ``start`` ends and where its body begins (after the blank line).

    Without a blank line both are ``end``.
    """
    limit = len(data) if end is None else end
    first = data[start : min(start + 2, limit)]
    if first[:1] == b"\n":
        return start, start + 1
    if first == b"\r\n":
        return start, start + 2
    crlf = data.find(b"\n\r\n", start, limit)
    bare = data.find(b"\n\n", start, limit if crlf < 0 else crlf)
    if bare >= 0:
        return bare + 1, bare + 2
    return (limit, limit) if crlf < 0 else (crlf + 1, crlf + 3)


def _split(block: bytes) -> list[tuple[bytes, bytes, bytes, bytes]]:
    """Split a block into raw field, name, colon and value, within the limits; may end with an empty one."""
    if len(block) > BLOCK_LIMIT:
        block = block[:BLOCK_LIMIT]
    if block.count(b"\n") < FIELD_LIMIT:
        return _FIELD.findall(block)
    return [(match[1], match[2], match[3], match[4]) for match in islice(_FIELD.finditer(block), FIELD_LIMIT)]


def _is_blank(raw: bytes, name: bytes) -> bool:
    """Say whether what was split off without a colon is the blank line (a body may follow it), or the end."""
    return not name or raw[:2] == b"\r\n"


class Headers:
    r"""The fields of one header block, in order.

    >>> Headers(b"Subject: hello\r\n there\r\n").get(b"subject")
    b'hello there'
    """

    __slots__ = ("_found", "_values")

    def __init__(self, block: bytes) -> None:
        """Scan a header block (with or without the blank line at its end)."""
        self._found = _split(block)
        self._values: dict[bytes, list[bytes]] = {}
        values = self._values
        for raw, name, colon, value in self._found:
            if colon:
                name = name.rstrip().lower()  # noqa: PLW2901
                if name in values:
                    values[name].append(value)
                else:
                    values[name] = [value]
            elif _is_blank(raw, name):
                break

    @property
    def held(self) -> int:
        """How many fields are held in memory, the empty one at the end included."""
        return len(self._found)

    def __iter__(self) -> Iterator[Field]:
        """Give every field, lines without a colon included (their value is empty)."""
        for raw, name, colon, value in self._found:
            if not colon and _is_blank(raw, name):
                break
            yield Field(name.rstrip().lower(), value, raw)

    def get(self, name: bytes) -> bytes | None:
        """Give the first value of the field called ``name`` (in lower case), unfolded; ``None`` when there is none."""
        values = self._values.get(name)
        return unfold(values[0]) if values else None

    def get_all(self, name: bytes) -> list[bytes]:
        """Give all values of the fields called ``name`` (in lower case), unfolded."""
        return [unfold(value) for value in self._values.get(name, ())]

    def count(self, name: bytes) -> int:
        """Say how many fields are called ``name`` (in lower case)."""
        return len(self._values.get(name, ()))

    def lines(self, names: frozenset[bytes]) -> bytes:
        """Give the lines of all fields with one of these names (in lower case), as they stand."""
        return b"".join([found[0] for found in self._found if found[1].rstrip().lower() in names])

    def text(self, name: bytes) -> str:
        """Give the first value of ``name`` as text: unfolded, encoded words decoded; ``""`` when there is none."""
        values = self._values.get(name)
        return decode_text(values[0]) if values else ""


def select_fields(block: bytes, names: frozenset[bytes], *, inverted: bool = False) -> bytes:
    """Give the lines of the named fields (lower case), or with ``inverted`` of all others, and a blank line.

    This is what HEADER.FIELDS and HEADER.FIELDS.NOT of IMAP ask for (RFC 3501 section 6.4.5). A line without a colon is
    no field of any name.
    """
    chosen: list[bytes] = []
    position = 0
    for raw, name, colon, _ in _split(block):
        if not colon and _is_blank(raw, name):
            position = len(block)
            break
        position += len(raw)
        if (bool(colon) and name.rstrip().lower() in names) is not inverted:
            chosen.append(raw)
    if inverted and position < len(block):  # beyond the limits nothing is looked at, and nothing lost
        chosen.append(block[position : header_end(block, position)[0]])
    if chosen and not chosen[-1].endswith(b"\n"):
        chosen.append(b"\r\n")
    chosen.append(b"\r\n")
    return b"".join(chosen)


def unfold(value: bytes) -> bytes:
    """Take the line breaks out of a value, and white space off its ends; NUL goes too (IMAP cannot carry it)."""
    if b"\n" in value:
        value = _FOLD.sub(b" ", value)
    if b"\0" in value:
        value = value.replace(b"\0", b"")
    return value.strip(b" \t\r\n")


def decode_text(value: bytes) -> str:
    """Decode an unstructured value, encoded words included (RFC 2047). Never raises.

    The result has no NUL, CR, LF or lone surrogate, whatever the encoded words held.
    """
    value = unfold(value)
    text = charsets.guess(value) if b"=?" not in value else _decode_words(value)
    return text.translate(_UNWANTED) if "\n" in text or "\r" in text or "\0" in text else text


def _decode_words(value: bytes) -> str:
    pieces: list[str] = []
    pending = bytearray()  # neighbours in one charset are decoded together: senders cut characters in half
    charset = ""
    position = 0
    for word in _ENCODED_WORD.finditer(value):
        between = value[position : word.start()]
        own = word[1].decode("ascii").lower()
        # White space between two encoded words is not shown (RFC 2047 section 6.2).
        apart = bool(between.strip(b" \t")) or position == 0
        if apart or own != charset:
            pieces.append(charsets.decode(bytes(pending), charset))
            pending.clear()
        if apart:
            pieces.append(charsets.guess(between))
        pending += decode_base64(word[3]) if word[2] in b"Bb" else binascii.a2b_qp(word[3], header=True)
        charset = own
        position = word.end()
    pieces.append(charsets.decode(bytes(pending), charset))
    pieces.append(charsets.guess(value[position:]))
    return "".join(pieces)
