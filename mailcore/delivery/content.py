"""The bytes of a queued message, piece by piece, read in database threads as a connection asks for them."""

from io import BytesIO
from typing import Any, BinaryIO

from mailqueue.bodies import open_body

PIECE = 64 * 1024


class Content:
    """One reading of a message: ``await content()`` gives the next piece, ``None`` after the last."""

    def __init__(self, doors: Any, body_id: int) -> None:
        self._doors = doors
        self._body_id = body_id
        self._file: BinaryIO | None = None

    async def __call__(self) -> bytes | None:
        """Return the next piece. Raises ``Body.DoesNotExist``, ``FileNotFoundError``, ``UnavailableError``."""
        if self._file is None:
            self._file = await self._doors.database(open_body, self._body_id)
        if isinstance(self._file, BytesIO):  # a row: all of it is here already
            return self._file.read() or None
        piece: bytes = await self._doors.database(self._file.read, PIECE)
        return piece or None

    def close(self) -> None:
        """Close the file, if there is one."""
        if self._file is not None:
            self._file.close()
