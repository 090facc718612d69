"""Content-transfer-encodings undone: base64 and quoted-printable as they are met, not as they should be (RFC 2045)."""

import binascii
import re
from typing import Final, NamedTuple

_NOT_BASE64: Final = bytes(set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"))


def decode_base64(data: bytes) -> bytes:
    """Decode base64, ignoring every byte outside its alphabet, missing padding included. Never raises."""
    letters = data.translate(None, _NOT_BASE64)
    if len(letters) % 4 == 1:  # six bits make no byte
        letters = letters[:-1]
    return binascii.a2b_base64(letters + b"=" * (-len(letters) % 4))


# RFC 2045 section 6.7 rule 3: white space at the end of a line was added on the way, also behind the "=" of a soft line
# break. The look behind keeps a long run from being looked at again from each of its places.
_PADDING: Final = re.compile(rb"(?<![ \t])[ \t]++(?=\r?\n)")

_PADDED: Final = (b" \n", b" \r\n", b"\t\n", b"\t\r\n")


def decode_quoted_printable(data: bytes) -> bytes:
    """Decode quoted-printable; what is no escape stays as it is. Never raises."""
    return _decode_lines(data.rstrip(b" \t"))


def _decode_lines(data: bytes) -> bytes:
    # Looking for padding from space to space takes longer than everything else; looking for its end does not.
    if any(end in data for end in _PADDED):
        data = _PADDING.sub(b"", data)
    return binascii.a2b_qp(data)


def decode_body(data: bytes, encoding: bytes) -> bytes:
    """Undo the encoding that a Content-Transfer-Encoding field names; an unknown one leaves the bytes as they are."""
    name = encoding.lower()
    if name == b"base64":
        return decode_base64(data)
    if name == b"quoted-printable":
        return decode_quoted_printable(data)
    return data


def is_known(encoding: bytes) -> bool:
    """Say whether this is an encoding that ``decode_body`` undoes, or that needs no undoing (RFC 2045 section 6.1)."""
    return encoding.lower() in _KNOWN


_KNOWN: Final = frozenset({b"7bit", b"8bit", b"binary", b"base64", b"quoted-printable"})


class Place(NamedTuple):
    """How far a large body has been decoded: the next encoded octet, and letters of base64 that made no byte yet."""

    offset: int
    carry: bytes = b""


def decode_piece(window: bytes, encoding: bytes, place: Place, *, last: bool) -> tuple[bytes, Place]:
    """Decode a piece of a body whose encoded octets from ``place.offset`` on begin with ``window``; say where to go on.

    ``last``: nothing follows the window. The pieces together are the decoded body, whatever the sizes of the windows,
    but for soft line breaks that are broken (a CR alone after ``=``), and for white space that fills two thirds of a
    window. Every call gets on by at least a third of the window if that has 8 octets or more.
    """
    name = encoding.lower()
    end = place.offset + len(window)
    if name == b"base64":
        letters = place.carry + window.translate(None, _NOT_BASE64)
        if last:
            return decode_base64(letters), Place(end)
        whole = len(letters) - len(letters) % 4
        return binascii.a2b_base64(letters[:whole]), Place(end, letters[whole:])
    if name != b"quoted-printable":
        return window, Place(end)
    if last:
        return decode_quoted_printable(window), Place(end)
    taken = _safe_cut(window)
    return _decode_lines(window[:taken]), Place(place.offset + taken)


def _safe_cut(window: bytes) -> int:
    """Find where quoted-printable can be divided: after a line, else where no escape begins and no white space ends."""
    line = window.rfind(b"\n") + 1
    if line >= len(window) // 2:
        return line
    text = len(window.removesuffix(b"\r").rstrip(b" \t"))
    if text <= len(window) // 3:
        return len(window)
    escape = window.rfind(b"=", max(text - 2, 1), text)
    if escape > 0 and (escape - len(window[:escape].rstrip(b"="))) % 2:
        escape -= 1  # two "=" in a row are decoded as one
    return escape if escape > 0 else text
