"""Cuts the sections that FETCH asks for out of a message (RFC 3501 section 6.4.5). Not for the reactor's thread."""

from mailcore.imap.questions import Section, SectionText, Span
from mailcore.message.headers import Octets, header_end, select_fields
from mailcore.message.structure import Part, scan, section_span
from mailcore.store.refusals import LimitError

# A section above this is not held in memory but read piece by piece, in octets.
LARGE = 256 * 1024
# Octets of one message's sections that are held. Only many sections, or chosen fields of a monstrous header, need more.
HELD_LIMIT = 16 * 1024 * 1024


class Cutter:
    """One message, taken apart only as far as it is asked for."""

    def __init__(self, message: Octets) -> None:
        self._message = message
        self._root: Part | None = None
        self._held = 0

    @property
    def root(self) -> Part:
        """The whole structure."""
        if self._root is None:
            self._root = scan(self._message)
        return self._root

    def cut(self, section: Section) -> bytes | Span | None:
        """Return the octets of a section, where they lie if they are many, or ``None`` if there is no such part.

        Raises ``LimitError`` when too much would be held for one message.
        """
        content = self._cut(section)
        if isinstance(content, bytes):
            self._held += len(content)
            if self._held > HELD_LIMIT:
                raise LimitError(f"more than {HELD_LIMIT} octets of one message")
        return content

    def _cut(self, section: Section) -> bytes | Span | None:
        span = self._span(section)
        if span is None:
            return None
        start, end = span
        if section.text in {SectionText.HEADER_FIELDS, SectionText.HEADER_FIELDS_NOT}:
            names = frozenset(name.lower() for name in section.fields)
            inverted = section.text is SectionText.HEADER_FIELDS_NOT
            return select_fields(self._message[start:end], names, inverted=inverted)
        if end - start > LARGE:
            return Span(start, end - start)
        return self._message[start:end]

    def _span(self, section: Section) -> tuple[int, int] | None:
        text = section.text
        if not section.part:
            if text is SectionText.ALL:
                return 0, len(self._message)
            _, body_start = header_end(self._message)
            return (body_start, len(self._message)) if text is SectionText.TEXT else (0, body_start)
        fields = {SectionText.HEADER_FIELDS, SectionText.HEADER_FIELDS_NOT}
        return section_span(self.root, section.part, "HEADER" if text in fields else text.value)
