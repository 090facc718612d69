"""The bytes of a queued message, piece by piece, read in database threads as a connection asks for them."""

import re
from io import BytesIO
from typing import Any, BinaryIO

from mailqueue.bodies import open_body

PIECE = 64 * 1024
# The field that intake puts on top for recipients here, with its folded lines. RFC 5321 section 4.4: it is the final
# delivery's to add, so it does not leave us.
_RETURN_PATH = re.compile(rb"Return-Path:[^\r\n]*\r\n(?:[ \t][^\r\n]*\r\n)*", re.IGNORECASE)


class Content:
    """One reading of a message: ``await content()`` gives the next piece, ``None`` after the last."""

    def __init__(self, doors: Any, body_id: int) -> None:
        self._doors = doors
        self._body_id = body_id
        self._file: BinaryIO | None = None

    async def __call__(self) -> bytes | None:
        """Return the next piece. Raises ``Body.DoesNotExist``, ``FileNotFoundError``, ``UnavailableError``."""
        first = self._file is None
        if self._file is None:
            self._file = await self._doors.database(open_body, self._body_id)
        if isinstance(self._file, BytesIO):  # a row: all of it is here already
            piece: bytes = self._file.read()
        else:
            piece = await self._doors.database(self._file.read, PIECE)
        if first and (field := _RETURN_PATH.match(piece)):
            piece = piece[field.end() :]
        return piece or None

    def close(self) -> None:
        """Close the file, if there is one."""
        if self._file is not None:
            self._file.close()
