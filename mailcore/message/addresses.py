"""Address lists in header fields (RFC 5322 section 3.4, the obsolete forms of section 4.4, UTF-8 by RFC 6532).

Reads what is met, not only what is allowed: garbage gives an address with an empty host, never an exception. Every
byte is looked at a fixed number of times, and reading stops after ``ADDRESS_LIMIT`` addresses. Envelope addresses of
SMTP have a grammar of their own elsewhere.
"""

import re
from collections.abc import Collection, Iterable
from typing import Final, NamedTuple

ADDRESS_LIMIT: Final = 1000
# Bytes of one list that are read; ``is_whole`` says whether that was all.
VALUE_LIMIT: Final = 256 * 1024


class Address(NamedTuple):
    """One address, or the beginning or the end of a group, in the form that ENVELOPE has (RFC 3501 section 7.4.2).

    A group begins with its name as ``mailbox`` and ``None`` as ``host``, and ends with ``None`` for both.
    """

    name: bytes | None  # as written, quotes taken off, encoded words left encoded
    route: bytes | None  # "@a,@b", the obsolete source route
    mailbox: bytes | None  # local part, quotes taken off
    host: bytes | None  # b"" when it is missing


_GROUP_END: Final = Address(None, None, None, None)

# The common forms, whole up to the comma: `"name" <local@host>`, `name <local@host>`, `local@host`.
_ATEXT: Final = rb"A-Za-z0-9!#$%&'*+/=?^_`{|}~\x80-\xff-"
_DOT_ATOM: Final = rb"([." + _ATEXT + rb"]++)@([A-Za-z0-9.\x80-\xff_-]++)"
_ORDINARY: Final = re.compile(
    rb"[ \t]*+(?:(?:\"([^\"\\\r\n\0]*+)\"[ \t]*+|([ \t." + _ATEXT + rb"]++))?+"
    rb"<" + _DOT_ATOM + rb">|" + _DOT_ATOM + rb")[ \t]*+(?:,|\Z)"
)
_TOKEN: Final = re.compile(
    rb"(?P<space>[\s\0]++)"
    rb"|\"(?P<quoted>(?:[^\"\\]++|\\.)*+)\"?"
    rb"|(?P<comment>\()"
    rb"|(?P<literal>\[(?:[^\]\\]++|\\.)*+\]?)"
    rb"|(?P<special>[<>:;,@])"
    rb"|(?P<atom>(?:[^\s\0\"()\[<>:;,@\\]++|\\.)++)"
    rb"|(?P<stray>.)",
    re.DOTALL,
)
_PARENTHESIS: Final = re.compile(rb"[()]|\\.", re.DOTALL)
_ESCAPE: Final = re.compile(rb"\\(.)", re.DOTALL)

# For a list without its comments: what stands up to the next comma, colon or semicolon, and the forms of it that leave
# nothing open: a name without an unquoted "@" before angle brackets, the address itself for a name, no brackets at all.
_QUOTED: Final = rb"\"(?:[^\"\\]++|\\.)*+\""
_ANGLE: Final = rb"<(?:[^<>\",:;\\]++|" + _QUOTED + rb")*+>"
_ENTRY: Final = re.compile(rb"((?:[^\",:;<>\\]++|" + _QUOTED + rb"|" + _ANGLE + rb")*+)(?:[,:;]|\Z)", re.DOTALL)
_CLEAR: Final = re.compile(
    rb"(?:[^@<>\"]++|" + _QUOTED + rb")*+" + _ANGLE + rb"\s*+"
    rb"|\s*+([^\s<>\"]++)\s*+<(?i:\1)>\s*+"
    rb"|(?:[^<>\"]++|" + _QUOTED + rb")*+",
    re.DOTALL,
)
_OUTSIDE_COMMENT: Final = re.compile(_QUOTED + rb"|[()\"\\]", re.DOTALL)


def parse_addresses(value: bytes, limit: int = ADDRESS_LIMIT) -> list[Address]:
    """Read an unfolded address list; at most ``limit`` entries (groups count their beginning and end)."""
    value = value[:VALUE_LIMIT]
    found: list[Address] = []
    position, end = 0, len(value)
    reader = None
    while position < end and len(found) < limit:
        ordinary = _ORDINARY.match(value, position)
        if ordinary:
            quoted, phrase, local, host, bare, bare_host = ordinary.groups()
            name = quoted.strip() if quoted else b" ".join(phrase.split()) if phrase else None
            found.append(Address(name or None, None, local or bare, host or bare_host))
            position = ordinary.end()
            continue
        if reader is None:
            reader = _Reader(value)
        position = reader.read(position, found)
    if reader is not None and reader.in_group and len(found) < limit:
        found.append(_GROUP_END)
    return found


def is_whole(value: bytes, addresses: Collection[Address]) -> bool:
    """Say whether ``addresses`` are all that ``value`` holds, or where the limits cut it off."""
    return len(value) <= VALUE_LIMIT and len(addresses) < ADDRESS_LIMIT


def is_unambiguous(value: bytes) -> bool:
    """Say whether every reader finds the same addresses in an unfolded list.

    Readers differ about what follows the angle brackets, about quotes and comments that do not end, about source
    routes, and about one address as the name of another. ``parse_addresses`` takes one of several meanings there.
    """
    plain = _without_comments(value)
    position = 0
    while plain is not None and position < len(plain):
        entry = _ENTRY.match(plain, position)
        if entry is None or not _CLEAR.fullmatch(entry[1]):
            return False
        position = entry.end()
    return plain is not None


def _without_comments(value: bytes) -> bytes | None:
    """Put a space for each comment; ``None`` when a quote or a comment does not end, or ends without a beginning."""
    pieces: list[bytes] = []
    kept = position = depth = 0
    while mark := (_PARENTHESIS if depth else _OUTSIDE_COMMENT).search(value, position):
        position = mark.end()
        if mark[0] == b"(":
            if depth == 0:
                pieces.append(value[kept : mark.start()])
            depth += 1
        elif mark[0] == b")" and depth:
            depth -= 1
            kept = position
        elif not depth and len(mark[0]) == 1:
            return None
    return None if depth else b" ".join([*pieces, value[kept:]])


class _Reader:
    """Reads one address of any form, up to and including the comma, colon or semicolon that ends it."""

    __slots__ = ("comment", "in_group", "value")

    def __init__(self, value: bytes) -> None:
        self.value = value
        self.in_group = False
        self.comment: bytes | None = None

    def read(self, position: int, found: list[Address]) -> int:  # noqa: C901
        value, end = self.value, len(self.value)
        words: list[bytes] = []  # with b" " where white space stood between two of them
        specification: list[bytes] | None = None  # what stands between < and >
        target = words
        self.comment = None
        while position < end:
            token = _TOKEN.match(value, position)
            if token is None:  # cannot be: the last alternative takes anything
                break
            kind, text, position = token.lastgroup, token[token.lastgroup or 0], token.end()
            if kind == "comment":
                position = self._skip_comment(position)
                kind, text = "space", b" "
            if kind == "space":
                if target and target[-1] != b" ":
                    target.append(b" ")
            elif kind == "quoted":
                target.append(b'"' + text)  # marked, so that specials in it stay data
            elif kind != "special":
                target.append(text)
            elif text == b"<" and specification is None:
                specification = target = []
            elif text == b">" and target is specification:
                target = []  # what follows up to the comma means nothing
            elif text == b"@" or (target is specification and text in b":,"):
                target.append(text)
            elif text == b":" and not self.in_group and specification is None:
                found.append(Address(None, None, _phrase(words) or b"", None))
                self.in_group = True
                return position
            elif text == b"," or text == b";":
                break
        else:
            text = b""
        address = self._address(words, specification)
        if address is not None:
            found.append(address)
        if text == b";" and self.in_group:
            self.in_group = False
            found.append(_GROUP_END)
        return position

    def _skip_comment(self, position: int) -> int:
        start, depth = position, 1
        for mark in _PARENTHESIS.finditer(self.value, position):
            if mark[0] == b"(":
                depth += 1
            elif mark[0] == b")":
                depth -= 1
                if depth == 0:
                    self.comment = _ESCAPE.sub(rb"\1", self.value[start : mark.start()]).strip()
                    return mark.end()
        return len(self.value)

    def _address(self, words: list[bytes], specification: list[bytes] | None) -> Address | None:
        """Put together what was read; ``None`` where nothing stood between two commas."""
        if specification is None:
            phrase = _phrase(words)
            if phrase is None:
                return None
            mailbox, host = _split(words)
            return Address(self.comment if mailbox or host else phrase, None, mailbox, host)
        route = None
        colon = specification.index(b":") if b":" in specification else 0
        if b"".join(specification[:2]).lstrip()[:1] == b"@" and colon:
            route = b"".join([word for word in specification[:colon] if word != b" "])
            specification = specification[colon + 1 :]
        mailbox, host = _split(specification)
        return Address(_phrase(words) or self.comment, route, mailbox, host)


def _plain(word: bytes) -> bytes:
    if word[:1] == b'"':
        word = word[1:]
    return _ESCAPE.sub(rb"\1", word) if b"\\" in word else word


def _phrase(words: list[bytes]) -> bytes | None:
    return b"".join(map(_plain, words)).strip() or None


def _split(words: list[bytes]) -> tuple[bytes, bytes]:
    """Split an addr-spec at its last ``@``; without one the host is missing.

    White space is allowed around dots and the ``@`` (RFC 5322 section 4.4). Elsewhere it makes this no address, and
    both halves are missing: putting them together would make an address that nobody wrote.
    """
    solid: list[bytes] = []
    at = -1
    apart = False
    for word in words:
        if word == b" ":
            apart = bool(solid)
            continue
        if apart and not (solid[-1].endswith((b".", b"@")) or word.startswith((b".", b"@"))):
            return b"", b""
        if word == b"@":
            at = len(solid)
        solid.append(word)
        apart = False
    plain = [_plain(word) for word in solid]
    return (b"".join(plain[:at]), b"".join(plain[at + 1 :])) if at >= 0 else (b"".join(plain), b"")


def mailboxes(addresses: Iterable[Address]) -> list[Address]:
    """Leave out where groups begin and end."""
    return [address for address in addresses if address.host is not None]


def addr_spec(address: Address) -> str:
    """Write ``local@host`` as text; ``""`` when either is missing. Bytes that are no UTF-8 become U+FFFD."""
    if not address.mailbox or not address.host:
        return ""
    return f"{address.mailbox.decode('utf-8', 'replace')}@{address.host.decode('utf-8', 'replace')}"
