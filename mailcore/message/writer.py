"""Writes header fields that are safe by construction: folded, encoded, and never broken out of.

Every header that this server adds goes through here. A value with CR, LF or NUL in it is refused (``ValueError``):
whoever got it from outside has to decide what to do with it (``printable`` replaces such characters), and nobody can
forget to.
"""

import base64
import re
from typing import Final

# Lines should have at most 78 characters and must have at most 998, CRLF not counted (RFC 5322 section 2.1.1).
_LINE: Final = 78
_LINE_LIMIT: Final = 998
# field-name = 1*ftext (RFC 5322 section 3.6.8)
_NAME: Final = re.compile(r"[!-9;-~]{1,76}")
_BREAKERS: Final = re.compile(r"[\r\n\0]")
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_NEEDS_ENCODING: Final = re.compile(r"[^\t -~]|=\?")
# atext of RFC 5322 section 3.2.3, and the space between words
_PHRASE: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]*")
# addr-spec = local-part "@" domain (RFC 5322 section 3.4.1), of any characters that cannot end it
_ADDRESS: Final = re.compile(
    r"(?:\"(?:[^\"\\]|\\.)*+\"|[^\s<>()\[\]:;@\\,\"]++)@(?:\[[0-9A-Za-z.:-]++\]|[^\s<>()\[\]:;@\\,\"]++)"
)
# Bytes of text in one encoded word: 45 become 60 letters of base64, and 75 are allowed (RFC 2047 section 2).
_WORD_BYTES: Final = 45
# Printable ASCII that an encoded word in a phrase may show as it is (RFC 2047 section 5, rule 3).
_Q_SAFE: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!*+-/")


def checked(value: str) -> str:
    """Return ``value``; raises ``ValueError`` when it holds CR, LF, NUL or what UTF-8 cannot write."""
    if _BREAKERS.search(value):
        raise ValueError("a header value must not hold CR, LF or NUL")
    value.encode()  # UnicodeEncodeError, which is a ValueError, for lone surrogates
    return value


def printable(value: str, limit: int = 400) -> str:
    """Make a value from outside fit to be shown in a header: control characters become ``?``, the end is cut off."""
    return _CONTROLS.sub("?", value[:limit])


class HeaderWriter:
    r"""Collects fields.

    >>> HeaderWriter().text("Subject", "hello").to_bytes()
    b'Subject: hello\r\n'

    With ``utf8`` fields are written in UTF-8 (RFC 6532), without in ASCII.
    """

    __slots__ = ("_fields", "utf8")

    def __init__(self, *, utf8: bool = False) -> None:
        self.utf8 = utf8
        self._fields: list[bytes] = []

    def text(self, name: str, value: str) -> "HeaderWriter":
        """Add an unstructured field (Subject); other than ASCII is encoded by RFC 2047."""
        value = checked(value).strip()
        encode = bool(_CONTROLS.search(value)) if self.utf8 else bool(_NEEDS_ENCODING.search(value))
        if encode or any(len(word) > _LINE_LIMIT - _LINE for word in value.encode().split(b" ")):
            value = encoded_words(value)
        return self._add(name, value)

    def structured(self, name: str, value: str) -> "HeaderWriter":
        """Add a field that already has its syntax. Raises ``ValueError`` if it would need encoding."""
        checked(value)
        if not self.utf8 and not value.isascii():
            raise ValueError(f"{name} must be ASCII")
        if _CONTROLS.search(value.replace("\t", " ")):
            raise ValueError(f"{name} must not hold control characters")
        return self._add(name, value.strip())

    def mailbox(self, name: str, address: str, display: str = "") -> "HeaderWriter":
        """Add a field with one address, and the name to show with it."""
        checked(address)
        if not _ADDRESS.fullmatch(address):
            raise ValueError(f"{name} must hold one address")
        return self.structured(name, f"{self._phrase(checked(display))} <{address}>" if display else address)

    def to_bytes(self) -> bytes:
        """Give all fields, each with its CRLF, without a blank line."""
        return b"".join(self._fields)

    def _phrase(self, display: str) -> str:
        if _PHRASE.fullmatch(display) and "=?" not in display:
            return display
        if (self.utf8 or display.isascii()) and not _CONTROLS.search(display) and "=?" not in display:
            escaped = display.replace("\\", "\\\\").replace('"', '\\"')
            return f'"{escaped}"'
        return encoded_words(display)

    def _add(self, name: str, value: str) -> "HeaderWriter":
        if not _NAME.fullmatch(name):
            raise ValueError("this is no name of a header field")
        self._fields.append(_fold(name, value))
        return self


def encoded_words(value: str) -> str:
    """Write text as encoded words in UTF-8, none longer than 75 characters (RFC 2047)."""
    words: list[str] = []
    piece = b""
    for character in value:
        octets = character.encode("utf-8", "replace")
        if len(piece) + len(octets) > _WORD_BYTES:
            words.append(_word(piece))
            piece = b""
        piece += octets
    words.append(_word(piece))
    return " ".join(words)


def _word(piece: bytes) -> str:
    # Q where it is no longer than base64, because people can read it.
    if sum(1 if octet in _Q_SAFE or octet == 32 else 3 for octet in piece) <= (len(piece) + 2) // 3 * 4:
        written = "".join(
            "_" if octet == 32 else chr(octet) if octet in _Q_SAFE else f"={octet:02X}" for octet in piece
        )
        return f"=?utf-8?q?{written}?="
    return f"=?utf-8?b?{base64.b64encode(piece).decode()}?="


def _fold(name: str, value: str) -> bytes:
    """Break a field at its spaces, where lines would get longer than ``_LINE`` (RFC 5322 section 2.2.3)."""
    line = f"{name}:"
    lines: list[str] = []
    for word in value.split(" "):
        # A line of nothing but white space would be taken for the blank line by some.
        if word and len(line) + 1 + len(word) > _LINE and line.strip() and line != f"{name}:":
            lines.append(line)
            line = ""
        line = f"{line} {word}"
    lines.append(line)
    folded = [text.encode() for text in lines]
    if any(len(text) > _LINE_LIMIT for text in folded):
        raise ValueError(f"{name} has a word too long for a line")
    return b"\r\n".join(folded) + b"\r\n"
