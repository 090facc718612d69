"""Sets of UIDs as SQL conditions, in the shortest form that the database understands."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Any, NamedTuple

from django.db import connection


class Condition(NamedTuple):
    """A piece of SQL about the column ``uid``, and its parameters."""

    sql: str
    parameters: list[Any]


NOTHING = Condition("0 = 1", [])


def among(uids: Sequence[int], column: str = "uid") -> Condition:
    """Match these UIDs (ascending, none twice): a range when they are one, else one parameter that lists them.

    One parameter however many they are: databases limit how many a statement has.
    """
    if not uids:
        return NOTHING
    if uids[-1] - uids[0] == len(uids) - 1:
        return Condition(f"{column} BETWEEN %s AND %s", [uids[0], uids[-1]])
    if connection.vendor == "postgresql":
        return Condition(f"{column} = ANY(%s)", [list(uids)])
    listed = f"[{','.join(map(str, uids))}]"
    return Condition(f"{column} IN (SELECT value FROM json_each(%s))", [listed])  # noqa: S608 - our own column name


def among_present(uids: Sequence[int], present: Sequence[int]) -> Condition:
    """Match these UIDs, given all that the mailbox has from the first to the last: then holes make no difference."""
    if uids and bisect_right(present, uids[-1]) - bisect_left(present, uids[0]) == len(uids):
        return Condition("uid BETWEEN %s AND %s", [uids[0], uids[-1]])
    return among(uids)


def around(uids: Sequence[int], column: str = "uid") -> Condition | None:
    """Match the whole span of these UIDs if that is not much more than the UIDs themselves; ``None`` if it is."""
    if uids and uids[-1] - uids[0] < 4 * len(uids):
        return Condition(f"{column} BETWEEN %s AND %s", [uids[0], uids[-1]])
    return None
