"""Content-transfer-encodings undone: base64 and quoted-printable as they are met, not as they should be (RFC 2045)."""

import binascii
from typing import Final, NamedTuple

_NOT_BASE64: Final = bytes(set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"))


def decode_base64(data: bytes) -> bytes:
    """Decode base64, ignoring every byte outside its alphabet, missing padding included. Never raises."""
    letters = data.translate(None, _NOT_BASE64)
    if len(letters) % 4 == 1:  # six bits make no byte
        letters = letters[:-1]
    return binascii.a2b_base64(letters + b"=" * (-len(letters) % 4))


def decode_quoted_printable(data: bytes) -> bytes:
    """Decode quoted-printable; what is no escape stays as it is. Never raises."""
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
    but for soft line breaks that are broken (a CR alone after ``=``). Every call gets on by at least a third of the
    window if that has 8 octets or more.
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
    taken = len(window) if last else _safe_cut(window)
    return decode_quoted_printable(window[:taken]), Place(place.offset + taken)


def _safe_cut(window: bytes) -> int:
    """Find where quoted-printable can be divided: after a line, else where no escape begins."""
    line = window.rfind(b"\n") + 1
    if line >= len(window) // 2:
        return line
    escape = window.rfind(b"=", max(len(window) - 3, 1))
    return escape if escape > 0 else len(window)
