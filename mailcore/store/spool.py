"""Where the bytes of a message wait while they come in: in memory first, in a file once they are many.

All spools of a process share one budget, so that many large messages at once are refused for the moment
(452 4.3.1) instead of filling memory or disk. Spool files have no name: whatever happens to the process, the kernel
removes them. What is spooled is not durable; that is the commit's part.
"""

import io
import tempfile
from pathlib import Path
from typing import BinaryIO, cast

from a3mailer_site.env import current
from a3mailer_site.keys import private_directory
from mailcore.message.envelope import BodyRefusedError, Reply

# Above this a message moves to a file.
MEMORY_LIMIT = 256 * 1024

NO_ROOM = Reply(452, "4.3.1", "Insufficient system storage, try again later")


class Budget:
    """Bytes that the spools of this process may hold together. Used from the reactor's thread only."""

    def __init__(self) -> None:
        self.used = 0

    def take(self, count: int) -> None:
        """Take ``count`` bytes; raises ``BodyRefusedError`` when there are not so many left."""
        if self.used + count > current().spool_budget:
            raise BodyRefusedError(NO_ROOM)
        self.used += count

    def give_back(self, count: int) -> None:
        """Give bytes back that were taken."""
        self.used -= count


budget = Budget()


class Spool:
    """The bytes of one message, as ``BodySink`` (SMTP) and APPEND (IMAP) want them."""

    __slots__ = ("_file", "_parts", "size")

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._file: BinaryIO | None = None
        self.size = 0

    def write(self, data: bytes) -> None:
        """Take the next bytes. Raises ``BodyRefusedError`` when there is no room for them."""
        budget.take(len(data))
        self.size += len(data)
        try:
            if self._file is None and self.size > MEMORY_LIMIT:
                self._move_to_file()
            if self._file is None:
                self._parts.append(data)
            else:
                self._file.write(data)
        except OSError as error:
            raise BodyRefusedError(NO_ROOM) from error

    def abandon(self) -> None:
        """Forget everything and give the room back. Calling it twice is harmless."""
        budget.give_back(self.size)
        self.size = 0
        self._parts.clear()
        if self._file is not None:
            self._file.close()
            self._file = None

    discard = abandon

    @property
    def in_memory(self) -> bool:
        """Whether reading it needs no disk."""
        return self._file is None

    def read(self) -> bytes:
        """Return everything."""
        with self.open() as file:
            return file.read()

    def open(self) -> BinaryIO:
        """Open for reading from the start; the reader has a position of its own."""
        if self._file is None:
            return io.BytesIO(b"".join(self._parts))
        self._file.flush()
        return cast("BinaryIO", io.open(f"/proc/self/fd/{self._file.fileno()}", "rb"))  # noqa: UP020

    def _move_to_file(self) -> None:
        directory = private_directory(Path(current().data_dir) / "spool")
        self._file = cast("BinaryIO", tempfile.TemporaryFile(dir=directory))  # noqa: SIM115 - closed by abandon()
        for part in self._parts:
            self._file.write(part)
        self._parts.clear()
