"""What a message shares with its copies and its thread, and when it came into its mailbox (RFC 8474, RFC 8514).

A copy shares the body, so the body's id names the content; a thread is named by a hash of its root. Nothing of this
is kept beside what is there anyway, and none of it ever changes. Times are in seconds since 1970.
"""

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from django.db import connection

from mailcore.message.thread_root import thread_root
from mailcore.store.models import Mailbox, Message, Structure
from mailcore.store.uidsets import Condition, among

_FROM = (
    f'FROM "{Message._meta.db_table}" m JOIN "{Mailbox._meta.db_table}" b ON b.id = m.mailbox_id AND b.owner_id = %s '
)
_WITH_STRUCTURE = f'JOIN "{Structure._meta.db_table}" s ON s.body_id = m.body_id '


class Origin(NamedTuple):
    """Where a message comes from."""

    uid: int
    body: int
    saved_at: int
    thread: str  # hexadecimal; "" where it was not asked for


def origins(owner: int, mailbox: int, uids: Sequence[int], *, threads: bool) -> list[Origin]:
    """Return the origins of the messages that are there, ascending; ``uids`` ascend."""
    fields, join = ("s.fields", _WITH_STRUCTURE) if threads else ("NULL", "")
    rows = _select(f"m.uid, m.body_id, m.saved_at, {fields}", join, owner, mailbox, among(uids, "m.uid"))
    return [Origin(uid, body, saved, _thread(body, lines)) for uid, body, saved, lines in rows]


def with_body(owner: int, mailbox: int, body: int) -> list[int]:
    """Return the UIDs of messages with this body, ascending."""
    return _uids(owner, mailbox, Condition("m.body_id = %s", [body]))


def saved_between(owner: int, mailbox: int, begin: int, end: int) -> list[int]:
    """Return the UIDs of messages that came into the mailbox from ``begin`` until before ``end``, ascending."""
    return _uids(owner, mailbox, Condition("m.saved_at >= %s AND m.saved_at < %s", [begin, end]))


def _uids(owner: int, mailbox: int, where: Condition) -> list[int]:
    return [row[0] for row in _select("m.uid", "", owner, mailbox, where)]


def _select(columns: str, join: str, owner: int, mailbox: int, where: Condition) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {columns} {_FROM} {join} WHERE m.mailbox_id = %s AND {where.sql} ORDER BY m.uid",
            [owner, mailbox, *where.parameters],
        )
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows


def _thread(body: int, lines: bytes | None) -> str:
    if lines is None:
        return ""
    root = thread_root(bytes(lines))
    # A message that names nothing is a thread of its own, with its copies.
    return hashlib.sha256(root or b"%d" % body).hexdigest()[:24]
