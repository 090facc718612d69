"""Mailbox names: modified UTF-7 on the wire, text inside (RFC 3501 section 5.1), and the patterns of LIST.

A name is data, never a path: the store keeps it in a column, and says which names a mailbox may be given. Refused here
is what no database should be asked about: control characters, lone surrogates, and encodings that have another form.
"""

import base64
import binascii
import re
import unicodedata

from mailcore.store.namespaces import INBOX, SEPARATOR, fold_inbox

__all__ = ["INBOX", "SEPARATOR", "fold_inbox"]

# RFC 3501 section 5.1.3: "&", then BASE64 with "," for "/" and without padding, then "-".
_SHIFTED = re.compile(rb"&([A-Za-z0-9+,]*)-")
_DIRECT = re.compile(rb"[\x20-\x25\x27-\x7e]*")
_NOT_DIRECT = re.compile(r"[^\x20-\x25\x27-\x7e]+")


class NameRefusedError(ValueError):
    """Not a mailbox name. The message says why, in ASCII."""


def decode(wire: bytes) -> str:
    """Read modified UTF-7, strictly: each text has exactly one encoding. Raises ``NameRefusedError``."""
    text: list[str] = []
    at = 0
    after_shift = False
    while at < len(wire):
        direct = _DIRECT.match(wire, at)
        if direct and direct.end() > at:
            text.append(direct[0].decode("ascii"))
            at = direct.end()
            after_shift = False
            continue
        shifted = _SHIFTED.match(wire, at)
        if not shifted:
            raise NameRefusedError("Mailbox name is not modified UTF-7")
        if not shifted[1]:
            text.append("&")
            after_shift = False
        elif after_shift:
            # "&-" may follow; a second shift right after the first should have been part of it.
            raise NameRefusedError("Mailbox name is not modified UTF-7: superfluous shift")
        else:
            text.append(_decode_shifted(shifted[1]))
            after_shift = True
        at = shifted.end()
    return _without_controls("".join(text))


def decode_utf8(wire: bytes) -> str:
    """Read a name in UTF-8 (RFC 9051 section 5.1). Raises ``NameRefusedError``."""
    try:
        return _without_controls(wire.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise NameRefusedError("Mailbox name is not UTF-8") from error


def _without_controls(name: str) -> str:
    if any(ord(character) < 0x20 or 0x7F <= ord(character) <= 0x9F for character in name):
        raise NameRefusedError("Mailbox name has control characters")
    return name


def _decode_shifted(encoded: bytes) -> str:
    try:
        octets = base64.b64decode(encoded.replace(b",", b"/") + b"=" * (-len(encoded) % 4), validate=True)
        text = octets.decode("utf-16-be")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise NameRefusedError("Mailbox name is not modified UTF-7") from error
    # Printable ASCII stands for itself, and unused bits are zero: otherwise one name had several encodings.
    if _encode_shifted(text) != encoded or any("\x20" <= character <= "\x7e" for character in text):
        raise NameRefusedError("Mailbox name is not modified UTF-7: not its shortest form")
    return text


def _encode_shifted(text: str) -> bytes:
    return base64.b64encode(text.encode("utf-16-be")).rstrip(b"=").replace(b"/", b",")


def encode(name: str) -> bytes:
    """Write a name, which has no lone surrogates, as modified UTF-7."""
    return _NOT_DIRECT.sub(_shift, name).encode("ascii")


def _shift(match: re.Match[str]) -> str:
    # "&" is the one printable character that is not direct; runs of it stand as "&-" each.
    runs = re.findall("&|[^&]+", match[0])
    return "".join("&-" if run == "&" else f"&{_encode_shifted(run).decode('ascii')}-" for run in runs)


def composed(name: str) -> str:
    """Return the one form of a name among those that look the same because their accents are written differently.

    Net-Unicode (RFC 9051 section 5.1, RFC 5198 section 2) is normalised to form C.
    """
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def canonical(name: str) -> str:
    """Return the one form of a name: composed, and ``INBOX`` in whatever letter case in capitals."""
    return fold_inbox(composed(name))


def parents(name: str) -> list[str]:
    """Return the names above this one, outermost first: ``a/b/c`` gives ``a`` and ``a/b``."""
    levels = name.split(SEPARATOR)
    return [SEPARATOR.join(levels[:count]) for count in range(1, len(levels))]


class Pattern:
    """A LIST pattern: ``*`` stands for anything, ``%`` for anything within one level (RFC 3501 section 6.3.8).

    Matching walks the name once. Which places in the pattern could be next is kept as the bits of one number, so that
    a long pattern of many wildcards costs hardly more than a short one.
    """

    def __init__(self, text: str) -> None:
        self.text = fold_inbox(text)
        # A run of wildcards is as good as its strongest.
        signs = re.sub(r"[*%]*\*[*%]*", "*", re.sub("%+", "%", self.text))
        self._end = 1 << len(signs)
        self._at: dict[str, int] = {}  # where each sign stands
        for place, sign in enumerate(signs):
            self._at[sign] = self._at.get(sign, 0) | 1 << place
        self._anything = self._at.pop("*", 0)
        self._within_level = self._at.pop("%", 0)
        self._plain = None if self._anything | self._within_level else signs

    def matches(self, name: str) -> bool:
        """Say whether the whole name fits."""
        if self._plain is not None:
            return self._plain == name
        wild = self._anything | self._within_level
        # A wildcard may also stand for nothing: where one is next, what follows it may be next too.
        places = 1 | (1 & wild) << 1
        for character in name:
            stays = places & (self._anything if character == SEPARATOR else wild)
            places = stays | (places & self._at.get(character, 0)) << 1
            if not places:
                return False
            places |= (places & wild) << 1
        return bool(places & self._end)
