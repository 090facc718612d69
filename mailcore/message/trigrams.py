"""Which texts can contain a needle: a small signature of all sequences of three characters in a text's words.

A signature is a set of bits. Each trigram (three UTF-16 code units) of a word with two spaces around it sets one of
them; a text can contain a needle only if the bits of all the needle's trigrams are set. It may be wrong in saying yes,
never in saying no: a needle of three letters is in every sixth text by mistake, one of five in one of 200. Which word
stands beside which one is not in it: a text says the same words again and again, and so each has to be looked at once.

The bit of a trigram with the hash ``h`` is bit ``h & 7`` of byte ``(h >> 3) % len(signature)``: a database can test it.
"""

import re
from array import array
from collections.abc import Iterable
from itertools import pairwise
from sys import byteorder
from typing import Final

# Size of a signature: so many bits for each different trigram, and at most so many bytes.
BITS_EACH: Final = 5
LIMIT: Final = 8192

# Arithmetic on all units of a text at once: a long integer with a lane of 32 bits for every second unit. A unit has 16
# bits and a factor less than 14, so that a sum of three products stays in its lane.
_UNITS: Final = 4096
_FACTORS: Final = (15_877, 9_973, 12_289)
_LANES: Final = int.from_bytes(b"\xff\xff\0\0" * (_UNITS // 2 + 1), "little")
_ONE: Final = ord("1")
# Of a long needle so many trigrams are more than enough.
_TESTED: Final = 12
# Words of Chinese and Japanese mostly have two characters. Each pair of them counts as a trigram that ends in NUL.
_IDEOGRAPHS: Final = re.compile("[\u3040-\u30ff\u3400-\u9fff]{2,}")


def _hashes(text: str) -> set[int]:
    """Return the hashes (16 bits) of all trigrams of a text."""
    units = text.encode("utf-16-le", "surrogatepass")
    found: set[int] = set()
    for begin in range(0, len(units) - 4, 2 * _UNITS - 4):
        found.update(_some_hashes(units[begin : begin + 2 * _UNITS]))
    if not text.isascii():
        for run in _IDEOGRAPHS.findall(text):
            codes = _numbers(run.encode("utf-16-le"))
            found.update(_FACTORS[0] * a + _FACTORS[1] * b & 0xFFFF for a, b in pairwise(codes))
    return found


def _some_hashes(units: bytes) -> "array[int]":
    first, second, third = _FACTORS
    number = int.from_bytes(units, "little")
    even, odd = number & _LANES, number >> 16 & _LANES
    even_after, odd_after = even >> 32, odd >> 32
    from_even = first * even + second * odd + third * even_after & _LANES
    from_odd = first * odd + second * even_after + third * odd_after & _LANES
    hashes = _numbers((from_even | from_odd << 16).to_bytes(len(units) + 2, "little"))
    return hashes[: len(units) // 2 - 2]  # the last two would reach over the end


def _numbers(units: bytes) -> "array[int]":
    numbers = array("H", units)
    if byteorder == "big":
        numbers.byteswap()
    return numbers


def signature(pieces: Iterable[Iterable[str]]) -> bytes:
    """Make the signature of a text, given the words of the folded text, piece by piece."""
    words: set[str] = set()
    for piece in pieces:
        words.update(piece)
    hashes = _hashes(_spaced(words))
    size = min(max(len(hashes) * BITS_EACH // 8, 1), LIMIT)
    # Bit ``h & 7`` of byte ``(h >> 3) % size`` is bit ``h % (8 * size)`` of a number. It is written down in binary, the
    # last digit first: to set a digit takes less than half as long as to set a bit.
    bits = 8 * size
    digits = bytearray(b"0") * bits
    for value in hashes:
        digits[~(value % bits)] = _ONE
    return int(digits, 2).to_bytes(size, "little")


def _spaced(words: Iterable[str]) -> str:
    """Put words together so that no trigram has letters of two of them."""
    return f"  {'  '.join(words)}  "


def marks(needle: str) -> list[int]:
    """Return hashes whose bits are set in the signature of every text that contains the folded needle.

    There are none where the needle is too short: then a signature says nothing.
    """
    hashes = sorted(_hashes(needle.replace(" ", "  ")))
    return hashes[:: -(-len(hashes) // _TESTED)] if hashes else []


def may_contain(signature: bytes, needle: str) -> bool:
    """Say whether a text with this signature can contain the folded needle."""
    return all(signature[(value >> 3) % len(signature)] >> (value & 7) & 1 for value in marks(needle))
