"""The MIME structure of a message, found in one linear pass over its bytes (RFC 2045, 2046).

Gives offsets and header facts; decodes no body and copies none. The pass is a loop with a stack of open parts: every
search goes forward from where the last one ended, so nesting costs nothing extra. Parts nested deeper than
``DEPTH_LIMIT``, and whatever follows after ``PART_LIMIT`` parts or ``FIELD_TOTAL`` header fields in them, are not taken
apart any further.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from mailcore.message.headers import Headers, Octets
from mailcore.message.parameters import (
    Parameters,
    first_token,
    get_parameter,
    parse_content_type,
)

DEPTH_LIMIT: Final = 100
PART_LIMIT: Final = 10_000
# Header fields in all parts together. Each takes some 150 bytes of memory, and was perhaps three bytes of the message.
FIELD_TOTAL: Final = 100_000
# Longest boundary looked for; RFC 2046 section 5.1.1 allows 70.
_BOUNDARY_LIMIT: Final = 1000
_HEADER_LIMIT: Final = 1024 * 1024
_CHUNK: Final = 1024 * 1024
# Encodings that say only which octets there may be (RFC 2045 section 6.2).
IDENTITIES: Final = frozenset({b"7bit", b"8bit", b"binary"})
_PATH: Final = re.compile(r"[1-9]\d{0,8}(?:\.[1-9]\d{0,8}){0,199}")
_NO_HEADERS: Final = Headers(b"")


@dataclass(slots=True, eq=False)
class Part:
    """One entity: the message itself, a body part, or the message inside a message/rfc822 or message/global part.

    Offsets count bytes from the beginning of the whole message. The line end before a boundary belongs to the boundary.
    """

    start: int
    body_start: int = 0
    end: int = 0
    headers: Headers = _NO_HEADERS
    media_type: bytes = b"text"  # as written in the message
    subtype: bytes = b"plain"
    parameters: Parameters = ()
    boundary: bytes = b""  # of a multipart
    lines: int = 0  # line ends in the body
    children: list["Part"] = field(default_factory=list)  # of a multipart; the one message of one that is a message
    is_multipart: bool = False
    is_message: bool = False

    @property
    def size(self) -> int:
        """Size of the body in bytes, as it stands (encoded)."""
        return self.end - self.body_start

    @property
    def is_text(self) -> bool:
        """Whether this is a leaf with a text type."""
        return self.media_type.lower() == b"text"

    @property
    def is_global(self) -> bool:
        """Whether this is a message with headers in UTF-8 (RFC 6532 section 3.7), taken apart or not."""
        return self.media_type.lower() == b"message" and self.subtype.lower() == b"global"

    @property
    def encoding(self) -> bytes:
        """The Content-Transfer-Encoding as written; ``7bit`` when there is none."""
        value = self.headers.get(b"content-transfer-encoding")
        return (first_token(value) if value else b"") or b"7bit"


def scan(message: Octets) -> Part:
    """Find the structure of a message. Never raises; time is linear in the size of the message."""
    return _Scanner(message).run()


def walk(root: Part) -> Iterator[Part]:
    """Give every part, parents before their children, in the order of the message."""
    stack = [root]
    while stack:
        part = stack.pop()
        yield part
        stack.extend(reversed(part.children))


class _Delimiter(NamedTuple):
    """A line that begins or ends parts of a multipart."""

    cut: int  # where the part before it ends
    following: int  # where what comes after the line begins
    owner: Part
    closes: bool


class _Scanner:
    """The state of one pass."""

    def __init__(self, message: Octets) -> None:
        self.message = message
        self.end = len(message)
        self.position = 0
        self.count = self.fields = 0
        self.is_full = False  # by the limits: nothing more is taken apart
        # Open parts from the outside in, and the boundary of each multipart that still waits for its delimiters.
        self.open: list[Part] = []
        self.boundaries: dict[bytes, list[Part]] = {}
        self.needle = b""
        # Where the next blank line of either kind was found: looked up again only when the scan has passed it.
        self.blank_crlf = self.blank_lf = -1

    def run(self) -> Part:
        root = Part(0)
        entity: Part | None = root
        digest = False
        while entity is not None:
            self.count += 1
            self.is_full = self.count >= PART_LIMIT or self.fields >= FIELD_TOTAL
            delimiter = self._read_header(entity, digest=digest)
            if delimiter is None:
                if entity.is_message:
                    entity, digest = self._begin(entity, entity.body_start), False
                    continue
                delimiter = self._next_delimiter(self.end)
            entity, digest = self._after(delimiter)
        return root

    def _begin(self, parent: Part, start: int) -> Part:
        part = Part(start)
        parent.children.append(part)
        return part

    def _read_header(self, part: Part, *, digest: bool) -> _Delimiter | None:
        """Read the header of a part, and open it. Gives a delimiter if one cuts the header off."""
        start = self.position = part.start
        blank_start, body_start = self._blank_line(start)
        delimiter = None
        if self.boundaries:
            delimiter = self._next_delimiter(blank_start, at=start)
            if delimiter is not None:
                blank_start = body_start = delimiter.cut
        part.headers = Headers(self.message[start : min(blank_start, start + _HEADER_LIMIT)])
        self.fields += part.headers.held
        part.body_start = body_start
        self.open.append(part)
        if delimiter is None:
            self.position = body_start
        self._classify(part, digest=digest)
        if delimiter is not None and part.is_message:
            part.children.append(Part(body_start, body_start, body_start))
        return delimiter

    def _blank_line(self, start: int) -> tuple[int, int]:
        """Find the next blank line at or after ``start``: where it begins and ends."""
        if self.message[start : start + 1] == b"\n":
            return start, start + 1
        if self.message[start : start + 2] == b"\r\n":
            return start, start + 2
        if self.blank_crlf < start:
            found = self.message.find(b"\n\r\n", start)
            self.blank_crlf = found if found >= 0 else self.end
        if self.blank_lf < start:
            found = self.message.find(b"\n\n", start, self.blank_crlf)
            self.blank_lf = found if found >= 0 else self.blank_crlf
        if self.blank_lf < self.blank_crlf:
            return self.blank_lf + 1, self.blank_lf + 2
        return (self.end, self.end) if self.blank_crlf == self.end else (self.blank_crlf + 1, self.blank_crlf + 3)

    def _classify(self, part: Part, *, digest: bool) -> None:
        value = part.headers.get(b"content-type")
        if value:
            media_type, subtype, parameters = parse_content_type(value)
            if media_type and subtype:  # a broken one is as good as none (RFC 2045 section 5.2)
                part.media_type, part.subtype, part.parameters = media_type, subtype, parameters
        elif digest:  # RFC 2046 section 5.1.5
            part.media_type, part.subtype = b"message", b"rfc822"
        media_type = part.media_type.lower()
        if media_type == b"message" and part.subtype.lower() == b"rfc822":
            part.is_message = self._may_nest(part)
        elif part.is_global:
            # It may be encoded, and stays whole then: only who decodes it could look into it.
            part.is_message = self._may_nest(part) and part.encoding.lower() in IDENTITIES
        elif media_type == b"multipart":
            boundary = (get_parameter(part.parameters, b"boundary") or b"").rstrip(b" \t")
            if not 0 < len(boundary) <= _BOUNDARY_LIMIT:  # broken, so it is text (RFC 2045 section 5.2)
                part.media_type, part.subtype, part.parameters = b"text", b"plain", ()
            elif self._may_nest(part):
                part.is_multipart, part.boundary = True, boundary
                self.boundaries.setdefault(boundary, []).append(part)
                self._boundaries_changed()

    def _may_nest(self, part: Part) -> bool:
        if len(self.open) <= DEPTH_LIMIT and not self.is_full:
            return True
        # BODYSTRUCTURE has no form for a multipart or a message that is not taken apart.
        part.media_type, part.subtype, part.parameters = b"application", b"octet-stream", ()
        return False

    def _boundaries_changed(self) -> None:
        # With one multipart open this is its whole delimiter, and nearly every hit is one.
        if self.boundaries:
            self.needle = b"\n--" + _shared_prefix(min(self.boundaries), max(self.boundaries))

    def _next_delimiter(self, limit: int, at: int = -1) -> _Delimiter | None:
        """Find the next delimiter line that begins before ``limit``, from where the scan stands.

        ``at`` is given where a delimiter may begin without a line end that is its own.
        """
        if not self.boundaries or self.is_full:
            return None
        message, position = self.message, self.position
        if at >= 0 and message[at : at + 2] == b"--":
            found = self._delimiter_at(at, at)
            if found is not None:
                return found
        # The line end before a body that is empty is the one that ended its header.
        search = max(position - 1, 0)
        while True:
            hit = message.find(self.needle, search, limit)
            if hit < 0:
                return None
            cut = hit - 1 if hit > position and message[hit - 1 : hit] == b"\r" else hit
            found = self._delimiter_at(hit + 1, max(cut, position))
            if found is not None:
                return found
            search = hit + 3

    def _delimiter_at(self, line: int, cut: int) -> _Delimiter | None:
        longest = _BOUNDARY_LIMIT + 1000  # with the white space that transports add
        line_end = self.message.find(b"\n", line, line + longest)
        following = line_end + 1
        if line_end < 0:
            if self.end - line > longest:
                return None
            line_end = following = self.end
        text = self.message[line + 2 : line_end].rstrip(b" \t\r")
        owners = self.boundaries.get(text)
        if owners:
            return _Delimiter(cut, following, owners[-1], closes=False)
        if text.endswith(b"--"):
            owners = self.boundaries.get(text[:-2])
            if owners:
                return _Delimiter(cut, following, owners[-1], closes=True)
        return None

    def _after(self, delimiter: _Delimiter | None) -> tuple[Part | None, bool]:
        """Close what a delimiter ends, and begin the part that follows it, if one does."""
        while delimiter is not None:
            cut, following, owner, closes = delimiter
            while self.open[-1] is not owner:
                self._close(self.open.pop(), cut)
            self.position = min(following, self.end)
            if not closes:
                return self._begin(owner, self.position), owner.subtype.lower() == b"digest"
            self._forget(owner)
            delimiter = self._next_delimiter(self.end)
        while self.open:
            self._close(self.open.pop(), self.end)
        return None, False

    def _forget(self, part: Part) -> None:
        """Look for the boundary of this multipart no longer. A nested one with the same boundary had hidden it."""
        owners = self.boundaries.get(part.boundary)
        if owners and owners[-1] is part:
            owners.pop()
            if not owners:
                del self.boundaries[part.boundary]
                self._boundaries_changed()

    def _close(self, part: Part, end: int) -> None:
        part.end = max(end, part.body_start)
        if part.is_multipart:
            self._forget(part)
            if not part.children:  # BODYSTRUCTURE has no form for it, so it has an empty part
                part.children.append(Part(part.end, part.end, part.end))
        elif part.is_message or part.is_text or part.is_global:
            part.lines = _count_lines(self.message, part.body_start, part.end)


def _shared_prefix(one: bytes, other: bytes) -> bytes:
    if one == other:
        return one
    length = 0
    while one[length : length + 1] == other[length : length + 1]:
        length += 1
    return one[:length]


def _count_lines(message: Octets, start: int, end: int) -> int:
    if isinstance(message, bytes):
        return message.count(b"\n", start, end)
    return sum(message[at : min(at + _CHUNK, end)].count(b"\n") for at in range(start, end, _CHUNK))


def find_part(root: Part, path: str | Sequence[int]) -> Part | None:
    """Find a part by its IMAP number (``"1.2.3"`` or its numbers); ``None`` if there is none (RFC 3501 section 6.4.5).

    An empty path is the message itself. Part 1 of what is no multipart is that part's own body.
    """
    if isinstance(path, str):
        if path and not _PATH.fullmatch(path):
            return None
        path = [int(number) for number in path.split(".")] if path else []
    part, is_whole = root, True
    for number in path:
        if not is_whole:
            if part.is_message:
                part = part.children[0]
            elif not part.is_multipart:
                return None
        if part.is_multipart:
            if not 0 < number <= len(part.children):
                return None
            part = part.children[number - 1]
        elif number != 1:
            return None
        is_whole = False
    return part


def section_span(root: Part, path: str | Sequence[int] = "", item: str = "") -> tuple[int, int] | None:
    """Give the byte range of an IMAP section, or ``None`` if the message has no such section.

    ``item`` is ``""`` (the body; of the message itself: everything), ``HEADER``, ``TEXT`` or ``MIME``. HEADER.FIELDS is
    ``select_fields`` over the range of HEADER.
    """
    part = find_part(root, path)
    if part is None:
        return None
    if path:
        if item == "MIME":
            return part.start, part.body_start
        if not item:
            return part.body_start, part.end
        if not part.is_message:  # HEADER and TEXT are those of a message
            return None
        part = part.children[0]
    if item == "HEADER":
        return part.start, part.body_start
    if item == "TEXT":
        return part.body_start, part.end
    return None if item else (part.start, part.end)
