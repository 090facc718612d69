"""Messages in order: SORT (RFC 5256 section 3, RFC 5957).

Values come from ``columns.py``. A thread that sorts holds up all others for as long as one call of Python's sort takes:
many messages are sorted in runs, and the runs put together, which is quick.
"""

from array import array
from collections.abc import Mapping, Sequence
from typing import Any, Final

from mailcore.store.columns import Kind
from mailcore.store.sort_keys import SortCriterion, SortKey

# Messages sorted in one call.
RUN = 8192

KINDS: Final[Mapping[SortKey, Kind]] = {
    SortKey.ARRIVAL: Kind.ARRIVAL,
    SortKey.CC: Kind.CC,
    SortKey.DATE: Kind.SENT,
    SortKey.DISPLAYFROM: Kind.DISPLAYFROM,
    SortKey.DISPLAYTO: Kind.DISPLAYTO,
    SortKey.FROM: Kind.FROM,
    SortKey.SIZE: Kind.SIZE,
    SortKey.SUBJECT: Kind.SUBJECT,
    SortKey.TO: Kind.TO,
}


def sort(
    uids: Sequence[int],
    criteria: Sequence[SortCriterion],
    values: Mapping[SortKey, tuple[Sequence[int], Sequence[Any]]],
) -> "array[int]":
    """Return the UIDs (given ascending) in order. ``values`` has for each key UIDs, ascending, and their values.

    A message that lacks a value for one of the keys is gone, and left out.
    """
    gathered = [values[criterion.key] for criterion in criteria]
    present: Sequence[int] = uids
    if any(len(own) != len(uids) for own, _ in gathered):
        there = set(uids).intersection(*(own for own, _ in gathered))
        present = [uid for uid in uids if uid in there]
    order = list(range(len(present)))
    # The last key first: each sort leaves equal ones as they stand.
    for criterion, (own, column) in zip(reversed(criteria), reversed(gathered), strict=True):
        if len(own) != len(present):
            known = dict(zip(own, column, strict=True))
            column = [known[uid] for uid in present]  # noqa: PLW2901
        order = _sorted(order, column, reverse=criterion.reverse)
    return array("I", [present[place] for place in order])


def _sorted(order: list[int], column: Sequence[Any], *, reverse: bool) -> list[int]:
    key = column.__getitem__
    if len(order) <= RUN:
        return sorted(order, key=key, reverse=reverse)
    runs: list[int] = []
    for start in range(0, len(order), RUN):
        runs += sorted(order[start : start + RUN], key=key, reverse=reverse)
    return sorted(runs, key=key, reverse=reverse)
