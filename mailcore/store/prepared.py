"""A message made ready for the transaction that will hold it.

Everything slow happens here, before: parsing, and for a large body its file with the sync. A body whose transaction
then fails leaves at most a file that ``prunebodies`` removes.
"""

from dataclasses import dataclass
from io import BytesIO
from typing import BinaryIO

from a3mailer_site.ids import new_id
from mailcore.message.summary import Summary, summarize
from mailqueue.bodies import ROW_LIMIT, write_file

# Parsing this much takes about a millisecond, and 26 of them where somebody means harm (nothing but boundaries): the
# reactor can bear it. More goes to a thread.
INLINE_LIMIT = ROW_LIMIT // 2


@dataclass(frozen=True, slots=True)
class Prepared:
    """A body with an id, on disk if it is large, and what was found in it."""

    body_id: int
    size: int
    data: bytes | None  # None: in a file
    summary: Summary

    @property
    def weight(self) -> int:
        """Bytes that go through the transaction."""
        return len(self.data) if self.data is not None else 0


class _Bytes:
    """Bytes in memory as a source for ``write_file``."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.size = len(content)

    def open(self) -> BinaryIO:
        """Open for reading."""
        return BytesIO(self._content)


def prepare(content: bytes) -> Prepared:
    """Parse a message and put it on disk if it is large. Not on the reactor above ``INLINE_LIMIT`` bytes."""
    body_id = new_id()
    summary = summarize(content)
    if len(content) <= ROW_LIMIT:
        return Prepared(body_id, len(content), content, summary)
    write_file(body_id, _Bytes(content))
    return Prepared(body_id, len(content), None, summary)
