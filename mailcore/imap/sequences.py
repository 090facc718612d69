"""Sequence sets: ranges of message numbers or UIDs, kept as ranges (RFC 3501 section 9, ``sequence-set``).

``1:4294967295`` is one pair of numbers here and never becomes a loop over four thousand million.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from typing import TypeAlias

from a3mailer_site import number_sets

# Stands for "*", the largest number in use.
STAR = 0

Ranges: TypeAlias = tuple[tuple[int, int], ...]

# Stands for "$", the messages that were found and saved last (RFC 5182): a set that names none by itself.
SAVED: Ranges = ()


def resolve(ranges: Ranges, largest: int) -> list[tuple[int, int]]:
    """Put ``largest`` for ``*``, turn ranges the right way, sort and join them. Both ends are included.

    "*:4", "4:*" are the same range (RFC 3501 section 9, ``seq-range``).
    """
    pairs = []
    for first, last in ranges:
        low, high = first or largest, last or largest
        pairs.append((min(low, high), max(low, high)))
    pairs.sort()
    joined: list[tuple[int, int]] = []
    for low, high in pairs:
        if joined and low <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(high, joined[-1][1]))
        else:
            joined.append((low, high))
    return joined


def highest(ranges: Ranges) -> int:
    """Return the largest number that is written in the set; 0 when there is only ``*``."""
    return max(max(first, last) for first, last in ranges)


def slices_of_uids(ranges: Ranges, uids: Sequence[int]) -> list[range]:
    """Return the positions in ``uids`` (ascending) that a UID set names. ``*`` is the last UID, if there is one."""
    found = []
    for low, high in resolve(ranges, uids[-1] if uids else 0):
        start, stop = bisect_left(uids, low), bisect_right(uids, high)
        if start < stop:
            found.append(range(start, stop))
    return found


def slices_of_numbers(ranges: Ranges, count: int) -> list[range]:
    """Return the places (message number less one) that a set names; what is beyond the last message is passed over."""
    return [range(low - 1, min(high, count)) for low, high in resolve(ranges, count) if 0 < low <= count]


def write(numbers: Iterable[int]) -> bytes:
    """Write numbers in their order as a sequence set: ``1:3,7``. Nothing gives an empty text."""
    return number_sets.write(numbers).encode("ascii")


def write_runs(pairs: Iterable[tuple[int, int]]) -> bytes:
    """Write ranges, both ends included, as a sequence set."""
    return number_sets.write_runs(pairs).encode("ascii")
