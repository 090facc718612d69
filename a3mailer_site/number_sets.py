"""Sets of whole numbers as text, as IMAP writes them: ``1:3,7`` (RFC 3501 section 9, ``sequence-set``).

>>> write([1, 2, 3, 7])
'1:3,7'
>>> place_of("1:3,7", 7), number_at("1:3,7", 3)
(3, 7)
"""

from collections.abc import Iterable, Iterator


def write(numbers: Iterable[int]) -> str:
    """Write ascending numbers that are not negative. Nothing gives an empty text."""
    pieces: list[str] = []
    start = previous = -1
    for number in numbers:
        if number == previous + 1 and previous >= 0:
            previous = number
            continue
        if previous >= 0:
            pieces.append(_range(start, previous))
        start = previous = number
    if previous >= 0:
        pieces.append(_range(start, previous))
    return ",".join(pieces)


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


def _range(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}:{last}"


def _ranges(text: str) -> Iterator[tuple[int, int]]:
    for piece in text.split(",") if text else ():
        first, _, last = piece.partition(":")
        yield int(first), int(last or first)
