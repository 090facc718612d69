"""Content-transfer-encodings undone: base64 and quoted-printable as they are met, not as they should be (RFC 2045)."""

import binascii
from typing import Final

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
