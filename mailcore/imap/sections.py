"""Cuts the sections that FETCH asks for out of a message (RFC 3501 section 6.4.5). Not for the reactor's thread."""

from mailcore.imap.questions import Content, Encoded, Refused, Section, SectionText, Span
from mailcore.message.headers import Octets, header_end, select_fields
from mailcore.message.structure import IDENTITIES, Part, find_part, scan, section_span
from mailcore.message.transfer import Place, decode_body, decode_piece, is_known
from mailcore.store.refusals import LimitError

# A section above this is not held in memory but read piece by piece, in octets.
LARGE = 256 * 1024
# Octets of one message's sections that are held. Only many sections, or chosen fields of a monstrous header, need more.
HELD_LIMIT = 16 * 1024 * 1024


def window_length(place: Place, end: int) -> int:
    """Say how many encoded octets of a large section are decoded at once: the same when measured and when sent."""
    return min(LARGE, end - place.offset)


def decode_window(window: bytes, encoding: bytes, place: Place, end: int) -> tuple[bytes, Place]:
    """Decode the next piece of a large section that ends before ``end``, and say where to go on."""
    return decode_piece(window, encoding, place, last=place.offset + len(window) == end)


class Cutter:
    """One message, taken apart only as far as it is asked for."""

    def __init__(self, message: Octets) -> None:
        self._message = message
        self._root: Part | None = None
        self._held = 0
        self.effort = 0  # octets that were decoded, whatever came of it

    @property
    def root(self) -> Part:
        """The whole structure."""
        if self._root is None:
            self._root = scan(self._message)
        return self._root

    def cut(self, section: Section) -> Content:
        """Return the octets of a section, where they lie if they are many, or ``None`` if there is no such part.

        Raises ``LimitError`` when too much would be held for one message.
        """
        content = self._cut(section)
        if isinstance(content, bytes):
            self._held += len(content)
            if self._held > HELD_LIMIT:
                raise LimitError(f"more than {HELD_LIMIT} octets of one message")
        return content

    def _cut(self, section: Section) -> Content:
        text = section.text
        if text is SectionText.ALL and not section.part:
            size = len(self._message)
            return Span(0, size) if size > LARGE else self._message[:]
        if text is SectionText.BINARY or text is SectionText.BINARY_SIZE:
            return self._decoded(section)
        span = self._span(section)
        if span is None:
            return None
        start, end = span
        if text is SectionText.HEADER_FIELDS or text is SectionText.HEADER_FIELDS_NOT:
            names = frozenset(name.lower() for name in section.fields)
            inverted = text is SectionText.HEADER_FIELDS_NOT
            return select_fields(self._message[start:end], names, inverted=inverted)
        if end - start > LARGE:
            return Span(start, end - start)
        return self._message[start:end]

    def _decoded(self, section: Section) -> Content:
        """Undo a part's encoding, or say how many octets that gives (RFC 3516 section 4.2).

        The message itself, a multipart and what is inside a message have no encoding of their own (RFC 2045 section
        6.4).
        """
        sized = section.text is SectionText.BINARY_SIZE
        part = find_part(self.root, section.part)
        if part is None:
            return 0 if sized else None
        start, end = (part.body_start, part.end) if section.part else (0, len(self._message))
        encoding = part.encoding.lower() if section.part and not part.is_multipart else b"binary"
        if not is_known(encoding):
            return Refused.UNKNOWN_CTE
        if encoding in IDENTITIES:
            if sized:
                return end - start
            return Span(start, end - start) if end - start > LARGE else self._message[start:end]
        self.effort += end - start
        if end - start > LARGE:
            size, has_nul = self._measured(start, end, encoding)
            return size if sized else Encoded(start, end - start, encoding, size, has_nul)
        content = decode_body(self._message[start:end], encoding)
        return len(content) if sized else content

    def _measured(self, start: int, end: int, encoding: bytes) -> tuple[int, bool]:
        """Decode a large part piece by piece, as it will be sent; say how many octets come out, and whether NUL."""
        size, has_nul, place = 0, False, Place(start)
        while place.offset < end:
            window = self._message[place.offset : place.offset + window_length(place, end)]
            octets, place = decode_window(window, encoding, place, end)
            size += len(octets)
            has_nul = has_nul or b"\0" in octets
        return size, has_nul

    def _span(self, section: Section) -> tuple[int, int] | None:
        text = section.text
        if not section.part:
            _, body_start = header_end(self._message)
            return (body_start, len(self._message)) if text is SectionText.TEXT else (0, body_start)
        fields = {SectionText.HEADER_FIELDS, SectionText.HEADER_FIELDS_NOT}
        return section_span(self.root, section.part, "HEADER" if text in fields else text.value)
