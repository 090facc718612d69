"""Sets of whole numbers as text, as IMAP writes them: ``1:3,7`` (RFC 3501 section 9, ``sequence-set``).

>>> write([1, 2, 3, 7])
'1:3,7'
>>> place_of("1:3,7", 7), number_at("1:3,7", 3)
(3, 7)
"""

from collections.abc import Iterable, Iterator


def runs(numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Join numbers that are not negative to ranges, in their order; both ends are included."""
    start = previous = -1
    for number in numbers:
        if number == previous + 1 and previous >= 0:
            previous = number
            continue
        if previous >= 0:
            yield start, previous
        start = previous = number
    if previous >= 0:
        yield start, previous


def write(numbers: Iterable[int]) -> str:
    """Write numbers in their order. Nothing gives an empty text."""
    return write_runs(runs(numbers))


def write_runs(pairs: Iterable[tuple[int, int]]) -> str:
    """Write ranges, both ends included."""
    return ",".join([str(first) if first == last else f"{first}:{last}" for first, last in pairs])


def place_of(text: str, number: int) -> int | None:
    """Return how many numbers of the set come before this one; ``None`` when it is not in the set."""
    place = 0
    for first, last in _ranges(text):
        if first <= number <= last:
            return place + number - first
        place += last - first + 1
    return None


def number_at(text: str, place: int) -> int:
    """Return the number with so many before it in the set; raises ``IndexError``."""
    for first, last in _ranges(text):
        if first + place <= last:
            return first + place
        place -= last - first + 1
    raise IndexError(place)


def _ranges(text: str) -> Iterator[tuple[int, int]]:
    for piece in text.split(",") if text else ():
        first, _, last = piece.partition(":")
        yield int(first), int(last or first)
