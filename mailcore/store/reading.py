"""What FETCH, POP3 and searches read of messages: columns in slices, and bodies.

Every statement names the owner, and is fetched to its end before anything waits. Sizes are in bytes.
"""

import mmap
import os
from array import array
from collections.abc import Iterator, Sequence
from contextlib import suppress
from io import UnsupportedOperation
from typing import Any, NamedTuple

from django.core.files.storage import FileSystemStorage, storages
from django.db import connection

from mailcore.message.headers import Octets
from mailcore.store.models import Mailbox, Message, Preview, Structure
from mailcore.store.remembered import Remembered
from mailcore.store.uidsets import among
from mailqueue.bodies import ROW_LIMIT, file_name
from mailqueue.models import Body

# An answer stops growing at about this size: it is sent before the next piece is read.
ANSWER_LIMIT = 1024 * 1024
# Rows read at first; a message may have a header of a megabyte, and the next rows are as many as fit by what was seen.
_FIRST_ROWS = 100

# A large body up to here is read at once: mapping costs a system call more and a fault for every few pages.
_MAPPED_FROM = 256 * 1024

_FROM = (
    f'FROM "{Message._meta.db_table}" m JOIN "{Mailbox._meta.db_table}" b ON b.id = m.mailbox_id AND b.owner_id = %s '
)
_WITH_PREVIEW = f'LEFT JOIN "{Preview._meta.db_table}" p ON p.body_id = m.body_id'
_WITH_STRUCTURE = f'JOIN "{Structure._meta.db_table}" s ON s.body_id = m.body_id '


class MessageRow(NamedTuple):
    """The columns of one message, in the order in which ``overview`` gives plain tuples."""

    uid: int
    size: int
    internal_date: int  # seconds since 1970
    envelope: bytes | None  # as IMAP sends it; None where it was not asked for, like the following
    structure: bytes | None
    plain_structure: None  # BODY without extension data is not kept: it comes from the bytes
    headers: bytes | None  # the lines of the fields in ``summary.CACHED_FIELDS``
    sections: None  # they come from the bytes too


def overview(
    owner: int,
    mailbox: int,
    uids: Sequence[int],
    *,
    envelope: bool = False,
    structure: bool = False,
    headers: bool = False,
) -> tuple[list[tuple[Any, ...]], int]:
    """Return rows (``MessageRow`` as plain tuples) of the messages that are there, and how many UIDs are dealt with.

    ``uids`` ascend. The answer stops at about ``ANSWER_LIMIT``, but deals with at least one UID if there is one.
    """
    columns = ", ".join(
        [
            "m.uid, m.size, m.internal_date",
            "s.envelope" if envelope else "NULL",
            "s.bodystructure" if structure else "NULL",
            "NULL",
            "s.fields" if headers else "NULL",
            "NULL",
        ]
    )
    source = _FROM + (_WITH_STRUCTURE if envelope or structure or headers else "")
    rows: list[tuple[Any, ...]] = []
    done = taken = 0
    step = _FIRST_ROWS
    while done < len(uids) and taken < ANSWER_LIMIT:
        part = uids[done : done + step]
        new = _select(f"SELECT {columns} {source}", owner, mailbox, part)
        if source is not _FROM:
            taken += sum(len(row[3] or b"") + len(row[4] or b"") + len(row[6] or b"") for row in new)
        rows += new
        done += len(part)
        step = max(1, (ANSWER_LIMIT - taken) * done // max(taken, 1))
    return rows, done


def _select(select: str, owner: int, mailbox: int, uids: Sequence[int]) -> list[tuple[Any, ...]]:
    where = among(uids, "m.uid")
    with connection.cursor() as cursor:
        cursor.execute(
            f"{select} WHERE m.mailbox_id = %s AND {where.sql} ORDER BY m.uid", [owner, mailbox, *where.parameters]
        )
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows


def sizes(owner: int, mailbox: int, after: int = 0) -> tuple["array[int]", "array[int]"]:
    """Return UIDs and sizes of the messages above the UID ``after``, ascending by UID: a POP3 maildrop."""
    select = f"SELECT m.uid, m.size {_FROM} WHERE m.mailbox_id = %s AND m.uid > %s ORDER BY m.uid"
    if connection.vendor == "sqlite":
        # SQLite lets go of the interpreter for each row, and two threads that take turns so cost more than the rows.
        select = f"SELECT group_concat(uid), group_concat(size) FROM ({select})"  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(select, [owner, mailbox, after])
        rows = cursor.fetchall()
    if connection.vendor == "sqlite":
        uids, octets = (map(int, text.split(",")) if text else () for text in rows[0])
    else:
        uids, octets = zip(*rows, strict=True) if rows else ((), ())
    return array("I", uids), array("Q", octets)


def bodies(owner: int, mailbox: int, uids: Sequence[int]) -> Iterator[tuple[MessageRow, Octets]]:
    """Give each message that is there with all its bytes, ascending; large ones are mapped, not read.

    Not more than about ``ANSWER_LIMIT`` is held at a time. ``uids`` ascend.
    """
    if len(uids) == 1:
        yield from _one_body(owner, mailbox, uids)
        return
    found = _select(f"SELECT m.uid, m.size, m.internal_date, m.body_id {_FROM}", owner, mailbox, uids)
    begin = 0
    while begin < len(found):
        end, taken = begin, 0
        while end < len(found) and (end == begin or taken < ANSWER_LIMIT):
            taken += min(found[end][1], ROW_LIMIT)
            end += 1
        part = found[begin:end]
        small = small_bodies([row[3] for row in part if row[1] <= ROW_LIMIT])
        for uid, size, internal_date, body in part:
            data = small.get(body)
            yield (
                MessageRow(uid, size, internal_date, None, None, None, None, None),
                (data if data is not None else map_body(body)),
            )
        begin = end


def _one_body(owner: int, mailbox: int, uids: Sequence[int]) -> Iterator[tuple[MessageRow, Octets]]:
    """Do the same for one message, as programs fetch what somebody opens: with one statement."""
    columns = "m.uid, m.size, m.internal_date, m.body_id, d.data"
    source = f'{_FROM} JOIN "{Body._meta.db_table}" d ON d.id = m.body_id'
    for uid, size, internal_date, body, data in _select(f"SELECT {columns} {source}", owner, mailbox, uids):
        row = MessageRow(uid, size, internal_date, None, None, None, None, None)
        yield row, data if data is not None else map_body(body)


def following(owner: int, mailbox: int, uid: int, count: int) -> tuple[list[tuple[MessageRow, bytes]], int | None]:
    """Return the next ``count`` messages from this UID on, fewer where they are large, with their bytes.

    Very large ones are left out. Then the UID from which to go on, ``None`` at the end of the mailbox.
    """
    columns = "m.uid, m.size, m.internal_date, m.body_id, d.data"
    source = f'{_FROM} JOIN "{Body._meta.db_table}" d ON d.id = m.body_id'
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {columns} {source} WHERE m.mailbox_id = %s AND m.uid >= %s ORDER BY m.uid LIMIT {count}",
            [owner, mailbox, uid],
        )
        rows = cursor.fetchall()
    found: list[tuple[MessageRow, bytes]] = []
    taken = 0
    for number, size, internal_date, body, data in rows:
        if size > _MAPPED_FROM:
            continue
        if found and taken + size > ANSWER_LIMIT:
            return found, number
        taken += size
        octets = bytes(data if data is not None else map_body(body))
        found.append((MessageRow(number, size, internal_date, None, None, None, None, None), octets))
    return found, (rows[-1][0] + 1 if len(rows) == count else None)


def small_bodies(ids: Sequence[int]) -> dict[int, bytes]:
    """Return the bytes of those of these bodies that are rows, by id."""
    where = among(sorted(set(ids)), "id")
    with connection.cursor() as cursor:
        cursor.execute(
            f'SELECT id, data FROM "{Body._meta.db_table}" WHERE {where.sql} AND data IS NOT NULL',  # noqa: S608
            where.parameters,
        )
        return dict(cursor.fetchall())


def with_previews(owner: int, mailbox: int, uids: Sequence[int]) -> list[tuple[int, int, int, str | None]]:
    """Return UID, body, size and preview, if one has been kept, of the messages that are there (UIDs ascending)."""
    return _select(f"SELECT m.uid, m.body_id, m.size, p.text {_FROM} {_WITH_PREVIEW}", owner, mailbox, uids)


def beginnings(wanted: Sequence[tuple[int, int]], limit: int) -> dict[int, bytes]:
    """Return how bodies begin, by id, given ids and sizes: up to ``limit`` bytes, or all of those kept in rows."""
    found = small_bodies([body for body, size in wanted if size <= ROW_LIMIT])
    for body, size in wanted:
        if size > ROW_LIMIT:
            with storages["bodies"].open(file_name(body)) as file:
                found[body] = file.read(limit)
    return found


def map_body(body: int) -> Octets:
    """Return the bytes of a large body; without reading a very large one, where the storage is a file system."""
    storage = storages["bodies"]
    if isinstance(storage, FileSystemStorage):
        # Past Django's file objects, which cost as much as the reading; the name is our own.
        descriptor = os.open(f"{storage.location}/{file_name(body)}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            size = os.fstat(descriptor).st_size
            if size > _MAPPED_FROM:
                return mmap.mmap(descriptor, size, access=mmap.ACCESS_READ)
            return os.read(descriptor, size)
        finally:
            os.close(descriptor)
    with storage.open(file_name(body)) as file:
        try:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (UnsupportedOperation, AttributeError, ValueError):  # no file of this machine, or an empty one
            data: bytes = file.read()
            return data


def whole(owner: int, mailbox: int, uids: Sequence[int]) -> dict[int, bytes]:
    """Return the bytes of each of these messages that is there, by UID. For messages that fit in memory together."""
    columns = "m.uid, m.body_id, d.data"
    source = f'{_FROM} JOIN "{Body._meta.db_table}" d ON d.id = m.body_id'
    found: dict[int, bytes] = {}
    for uid, body, data in _select(f"SELECT {columns} {source}", owner, mailbox, uids):
        if data is None:
            with storages["bodies"].open(file_name(body)) as file:
                found[uid] = file.read()
        else:
            found[uid] = bytes(data)
    return found


# Large bodies that are being read piece by piece, by owner, mailbox and UID, and about what one of them takes.
being_read: Remembered[tuple[int, int, int], int] = Remembered(256 * 1024)
_ENTRY_SIZE = 256


def read_piece(owner: int, mailbox: int, uid: int, offset: int, length: int) -> bytes | None:
    """Return ``length`` bytes of a message from ``offset`` on, fewer at its end; ``None`` if the message is gone.

    Of a message that is expunged while a client reads it the rest can still be had, until its file is removed: half a
    message would be of no use to it (RFC 2180 section 4.1).
    """
    body = being_read.get((owner, mailbox, uid)) if offset else None
    if body is not None:
        with suppress(FileNotFoundError):
            return _piece_of_file(body, offset, length)
        return None
    with connection.cursor() as cursor:
        # A row holds a small body; of a large one only the name of its file is needed.
        cursor.execute(
            f"SELECT m.body_id, d.data {_FROM} "
            f'JOIN "{Body._meta.db_table}" d ON d.id = m.body_id WHERE m.mailbox_id = %s AND m.uid = %s',
            [owner, mailbox, uid],
        )
        row = cursor.fetchone()
    if row is None:
        return None
    body, data = row
    if data is not None:
        return bytes(data[offset : offset + length])
    being_read.put((owner, mailbox, uid), body, _ENTRY_SIZE)
    return _piece_of_file(body, offset, length)


def _piece_of_file(body: int, offset: int, length: int) -> bytes:
    with storages["bodies"].open(file_name(body)) as file:
        file.seek(offset)
        piece: bytes = file.read(length)
        return piece
