"""Structured MIME fields: Content-Type, Content-Disposition and their parameters (RFC 2045 section 5.1, RFC 2231).

Parameters are kept the way BODYSTRUCTURE shows them: continuations are joined, while a value with a charset keeps its
``*`` and its percent encoding (RFC 2231 section 6). ``parameter_text`` gives the text for people.
"""

import re
from itertools import islice
from typing import Final, TypeAlias
from urllib.parse import unquote_to_bytes

from mailcore.message import charsets
from mailcore.message.headers import decode_text

PARAMETER_LIMIT: Final = 100

Parameters: TypeAlias = tuple[tuple[bytes, bytes], ...]

# content := type "/" subtype *(";" parameter)
_TYPE: Final = re.compile(rb"\s*+([^\s\"(),/:;<=>?@\[\\\]]++)\s*+(?:/\s*+([^\s\"(),/:;<=>?@\[\\\]]*+))?")
# parameter := attribute "=" (token / quoted-string); tokens are taken up to white space or the next semicolon
_PARAMETER: Final = re.compile(rb";\s*+([^\s\"();=]++)\s*+=\s*+(?:\"((?:[^\"\\]++|\\.)*+)\"?|([^\s\";]*+))", re.DOTALL)
_ESCAPE: Final = re.compile(rb"\\(.)", re.DOTALL)
# attribute "*" section ["*"], section without leading zeros: there are never more than PARAMETER_LIMIT
_SECTION: Final = re.compile(rb"([^*]++)\*(0|[1-9]\d?)(\*?)")
# Where a comment may begin, with the quoted strings that it cannot begin in; and what counts within one.
_OUTSIDE_COMMENT: Final = re.compile(rb"\"(?:[^\"\\]++|\\.)*+\"?|\(", re.DOTALL)
_INSIDE_COMMENT: Final = re.compile(rb"[()]|\\.", re.DOTALL)
_IN_A_WORD: Final = re.compile(rb"[^\s\",/:;=]")


def parse_content_type(value: bytes) -> tuple[bytes, bytes, Parameters]:
    """Split an unfolded Content-Type into type, subtype (``b""`` when broken) and parameters."""
    value = without_comments(value)
    found = _TYPE.match(value)
    if not found:
        return b"", b"", ()
    return found[1], found[2] or b"", parse_parameters(value, found.end())


def parse_disposition(value: bytes) -> tuple[bytes, Parameters]:
    """Split an unfolded Content-Disposition into its type (``b""`` when broken) and parameters."""
    value = without_comments(value)
    found = _TYPE.match(value)
    return (found[1], parse_parameters(value, found.end())) if found else (b"", parse_parameters(value))


def without_comments(value: bytes) -> bytes:
    """Put a space for each comment of a structured value (RFC 2045 section 5.1, RFC 5322 section 3.2.2).

    What does not end is no comment. Nor is what stands within a word: senders forget the quotes of
    ``name=report(1).pdf``.
    """
    if b"(" not in value:
        return value
    pieces: list[bytes] = []
    kept = position = 0
    while found := _OUTSIDE_COMMENT.search(value, position):
        start, position = found.span()
        if found[0] != b"(":
            continue
        end = _comment_end(value, position)
        if end < 0:
            break
        position = end
        if not (_IN_A_WORD.match(value[start - 1 : start]) and _IN_A_WORD.match(value, end)):
            pieces.append(value[kept:start])
            kept = end
    return b" ".join([*pieces, value[kept:]])


def _comment_end(value: bytes, position: int) -> int:
    """Find where the comment ends that was opened just before ``position``, and what follows it without a gap.

    -1 when one of them does not end.
    """
    depth = 1
    for mark in _INSIDE_COMMENT.finditer(value, position):
        if mark[0] == b"(":
            depth += 1
        elif mark[0] == b")":
            depth -= 1
            if depth == 0 and value[mark.end() : mark.end() + 1] != b"(":
                return mark.end()
    return -1


def parse_parameters(value: bytes, start: int = 0) -> Parameters:
    """Read ``;name=value`` pairs from ``start`` on, at most ``PARAMETER_LIMIT``; anything else is passed over."""
    found: list[tuple[bytes, bytes]] = []
    starred = False
    for match in islice(_PARAMETER.finditer(value, start), PARAMETER_LIMIT):
        name, quoted, token = match.groups()
        if quoted is None:
            quoted = token
        elif b"\\" in quoted:
            quoted = _ESCAPE.sub(rb"\1", quoted)
        starred = starred or b"*" in name
        found.append((name, quoted))
    return _joined(found) if starred else tuple(found)


def _joined(found: list[tuple[bytes, bytes]]) -> Parameters:
    """Join continuations (RFC 2231 section 3), each where its first piece stood."""
    pieces: dict[bytes, dict[int, tuple[bytes, bool]]] = {}
    order: list[tuple[bytes, bytes | None]] = []
    for name, value in found:
        section = _SECTION.fullmatch(name)
        if not section:
            order.append((name, value))
            continue
        base = section[1].lower()
        if base not in pieces:
            pieces[base] = {}
            order.append((section[1], None))
        pieces[base].setdefault(int(section[2]), (value, bool(section[3])))
    joined: list[tuple[bytes, bytes]] = []
    for name, whole in order:
        if whole is not None:
            joined.append((name, whole))
        elif 0 in pieces[name.lower()]:
            joined.append(_one(name, pieces[name.lower()]))
    return tuple(joined)


def _one(name: bytes, pieces: dict[int, tuple[bytes, bool]]) -> tuple[bytes, bytes]:
    run: list[tuple[bytes, bool]] = []
    while len(run) in pieces:
        run.append(pieces[len(run)])
    if not any(extended for _, extended in run):
        return name, b"".join(value for value, _ in run)
    # A piece without a star is literal, so a percent sign in it has to be kept from being read as an escape.
    joined = b"".join(value if extended else value.replace(b"%", b"%25") for value, extended in run)
    return name + b"*", joined if run[0][1] else b"''" + joined


def get_parameter(parameters: Parameters, name: bytes) -> bytes | None:
    """Give the raw value of the parameter ``name`` (in lower case), or ``None``."""
    for own, value in parameters:
        if own.lower() == name:
            return value
    return None


def parameter_text(parameters: Parameters, name: bytes) -> str:
    """Give a parameter as text: RFC 2231 if it has that form, RFC 2047 where senders misuse it; ``""`` if missing."""
    extended = get_parameter(parameters, name + b"*")
    if extended is not None:
        parts = extended.split(b"'", 2)
        charset, text = (parts[0], parts[2]) if len(parts) == 3 else (b"", extended)
        decoded = charsets.decode(unquote_to_bytes(text), charset.decode("latin-1"))
        return decoded.replace("\0", "").replace("\r", " ").replace("\n", " ")
    plain = get_parameter(parameters, name)
    return decode_text(plain) if plain is not None else ""


def first_token(value: bytes) -> bytes:
    """Give the first word of a structured value, comments left out (Content-Transfer-Encoding, Content-Language)."""
    words = without_comments(value).replace(b";", b" ").split(None, 1)
    return words[0] if words else b""
