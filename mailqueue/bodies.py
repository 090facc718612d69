"""Where the bytes of messages are kept: ``put``, ``open``, ``delete``.

Small bodies are a row, in the same transaction and backup as everything else. Larger ones are a file each in Django's
storage ``bodies``: as rows they would blow SQLite's log up and hold up everybody else's small writes. A file is on
disk, with its directory, before the transaction that refers to it commits; a file whose transaction failed is an
orphan that ``prunebodies`` removes.
"""

import os
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Protocol, cast

from django.core.files.base import File
from django.core.files.storage import FileSystemStorage, storages

from a3mailer_site.ids import to_text
from mailqueue.models import Body

# Measured: rows are faster up to about here, and harmful to the other processes above.
ROW_LIMIT = 16 * 1024


class Source(Protocol):
    """Bytes that are not in the database yet; a spool."""

    size: int

    def open(self) -> BinaryIO:
        """Open for reading from the start."""


class BodyFileStorage(FileSystemStorage):
    """Files that are on disk when ``save`` returns: the file and its directory are synced."""

    def _save(self, name: str, content: "File[bytes]") -> str:
        target = Path(self.path(name))
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                for chunk in content.chunks(1 << 20):
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            target.unlink(missing_ok=True)
            raise
        _sync_directory(target.parent)
        return name


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def file_name(body_id: int) -> str:
    """Return the name of a body's file within the storage: spread over 1,024 directories."""
    text = to_text(body_id)
    # The middle letters change every second or so: files of one moment share a directory and its sync.
    return f"{text[5:7]}/{text}"


def write_file(body_id: int, source: Source) -> None:
    """Put a large body on disk. Call it before the transaction that will refer to it, never inside."""
    with source.open() as content:
        storages["bodies"].save(file_name(body_id), File(content))


def open_body(body_id: int) -> BinaryIO:
    """Open a body for reading; raises ``Body.DoesNotExist`` or ``FileNotFoundError``."""
    data = Body.objects.values_list("data", flat=True).get(pk=body_id)
    if data is not None:
        return BytesIO(bytes(data))
    return cast("BinaryIO", storages["bodies"].open(file_name(body_id)))


def read_body(body_id: int) -> bytes:
    """Return a whole body."""
    with open_body(body_id) as file:
        return file.read()


def chunks(body_id: int, size: int = 64 * 1024) -> Iterator[bytes]:
    """Give a body in pieces of ``size`` bytes."""
    with open_body(body_id) as file:
        while piece := file.read(size):
            yield piece


def delete_file(body_id: int) -> None:
    """Remove a large body's file, after the transaction that deleted its row; a missing file is no error."""
    storages["bodies"].delete(file_name(body_id))
