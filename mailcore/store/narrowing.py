"""Let the database say, by the index, which messages can and which do fulfil a criterion, without reading any.

A criterion becomes one SQL expression of three values: true, false, and NULL for what the index does not know (a body
that is not indexed yet, a needle of which there is only a signature). SQL combines them as it should be: false and
NULL is false, true or NULL is true.
"""

from collections.abc import Sequence
from typing import Any, Final

from django.db import connection

from mailcore.message.collation import RULES, folded_needle
from mailcore.message.trigrams import marks
from mailcore.store.criteria import (
    AddressContains,
    And,
    Arrived,
    ArrivedFrom,
    Comparison,
    Contains,
    Criterion,
    HeaderContains,
    Larger,
    Not,
    Or,
    Sent,
    Smaller,
    UidIn,
)
from mailcore.store.entries import COLUMNS, TOO_LONG, WITH_ADDRESSES, days
from mailcore.store.models import Mailbox, Message, SearchEntry
from mailcore.store.uidsets import among

# Of a criterion that is larger or deeper, the rest is unknown to the database: it limits statements in both.
_LEAVES: Final = 60
_DEPTH: Final = 10

_UNKNOWN: Final = "NULL"
_TRUE: Final = "(1 = 1)"
_FALSE: Final = "(1 = 0)"
_COMPARED: Final = {Comparison.BEFORE: "<", Comparison.ON: "=", Comparison.SINCE: ">="}
# SQLite cannot look at a bit of a BLOB, but at a byte: is it one of those that have the bit?
_WITH_BIT: Final = [bytes(byte for byte in range(256) if byte >> bit & 1) for bit in range(8)]


def narrow(owner: int, mailbox: int, uids: Sequence[int], criterion: Criterion) -> tuple[list[int], list[int]]:
    """Return which of the UIDs fulfil the criterion, and of which more must be known; all ascend.

    The others do not fulfil it, or are not there. Of what is not there, more may have to be known.
    """
    translation = _Translation(uids)
    verdict = translation.of(criterion)
    if verdict == _UNKNOWN:
        return [], list(uids)
    where = among(uids, "m.uid")
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT uid, verdict FROM (SELECT m.uid AS uid, {verdict} AS verdict "  # noqa: S608 - our own expression
            f'FROM "{Message._meta.db_table}" m '
            f'JOIN "{Mailbox._meta.db_table}" b ON b.id = m.mailbox_id AND b.owner_id = %s '
            f'LEFT JOIN "{SearchEntry._meta.db_table}" e ON e.body_id = m.body_id AND e.rules = {RULES} '
            f"WHERE m.mailbox_id = %s AND {where.sql}) judged WHERE verdict IS NOT FALSE ORDER BY uid",
            [*translation.parameters, owner, mailbox, *where.parameters],
        )
        rows = cursor.fetchall()
    return [uid for uid, verdict in rows if verdict], [uid for uid, verdict in rows if verdict is None]


class _Translation:
    """A criterion as SQL about the message ``m`` and its entry ``e``, which may be missing."""

    def __init__(self, uids: Sequence[int]) -> None:
        self.parameters: list[Any] = []
        self._uids = uids
        self._postgresql = connection.vendor == "postgresql"
        self._leaves = 0

    def of(self, criterion: Criterion, depth: int = 0) -> str:
        if isinstance(criterion, Not | And | Or):
            return self._compound(criterion, depth) if depth < _DEPTH else _UNKNOWN
        self._leaves += 1
        return self._leaf(criterion) if self._leaves <= _LEAVES else _UNKNOWN

    def _compound(self, criterion: Not | And | Or, depth: int) -> str:
        if isinstance(criterion, Not):
            key = self.of(criterion.key, depth + 1)
            return key if key == _UNKNOWN else f"(NOT {key})"
        keys = [self.of(key, depth + 1) for key in criterion.keys]
        if _UNKNOWN in keys:
            keys = [_UNKNOWN, *(key for key in keys if key != _UNKNOWN)]
        if keys == [_UNKNOWN]:
            return _UNKNOWN
        if isinstance(criterion, And):
            return f"({' AND '.join(keys)})" if keys else _TRUE
        return f"({' OR '.join(keys)})" if keys else _FALSE

    def _leaf(self, criterion: Criterion) -> str:
        match criterion:
            case UidIn(uids):
                named = among(sorted(uids.intersection(self._uids)), "m.uid")
                self.parameters += named.parameters
                return f"({named.sql})"
            case Larger(octets):
                return f"(m.size > {self._parameter(octets)})"
            case Smaller(octets):
                return f"(m.size < {self._parameter(octets)})"
            case Arrived() | ArrivedFrom():
                lowest, end = criterion.span
                return f"(m.internal_date >= {lowest} AND m.internal_date < {end})"
            case Sent(comparison, day):
                # No date fulfils no comparison.
                fulfils = f"e.sent_on IS NOT NULL AND e.sent_on {_COMPARED[comparison]} {days(day)}"
                return f"(CASE WHEN e.signature IS NULL THEN NULL ELSE {fulfils} END)"
            case HeaderContains(name, text) if name in COLUMNS:
                return self._column_contains(name, text, surely=name not in WITH_ADDRESSES)
            case AddressContains(name, text) if name in WITH_ADDRESSES:
                return self._column_contains(name, text, surely=True)
            case Contains(_, text):
                return self._may_contain(text)
        return _UNKNOWN

    def _parameter(self, value: Any) -> str:
        self.parameters.append(value)
        return "%s"

    def _column_contains(self, name: str, text: str, *, surely: bool) -> str:
        """Look into a column. Unless ``surely``, it has more than the field: only what it lacks is certain."""
        needle = folded_needle(text)
        if "\0" in needle:  # no text of PostgreSQL has it
            return _UNKNOWN
        column = f"e.{COLUMNS[name]}"
        too_long = self._parameter(TOO_LONG)
        found = f"{'strpos' if self._postgresql else 'instr'}({column}, {self._parameter(needle)}) > 0"
        return (
            f"(CASE WHEN e.rules IS NULL OR {column} = {too_long} THEN NULL "
            f"WHEN {column} IS NOT NULL AND {found} THEN {_TRUE if surely else _UNKNOWN} ELSE {_FALSE} END)"
        )

    def _may_contain(self, text: str) -> str:
        needle = folded_needle(text)
        if not needle:
            return _TRUE
        bits = " AND ".join(map(self._has_bit, marks(needle)))
        return f"(CASE WHEN e.signature IS NULL OR ({bits}) THEN NULL ELSE {_FALSE} END)" if bits else _UNKNOWN

    def _has_bit(self, mark: int) -> str:
        if self._postgresql:
            return f"get_byte(e.signature, {mark >> 3} %% length(e.signature)) & {1 << (mark & 7)} > 0"
        byte = f"substr(e.signature, 1 + {mark >> 3} %% length(e.signature), 1)"
        return f"instr({self._parameter(_WITH_BIT[mark & 7])}, {byte}) > 0"
