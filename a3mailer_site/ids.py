"""Ids that a process can make by itself, before any row exists.

An id has 63 bits: microseconds since 2024 (50 bits, enough until 2059) and 13 bits drawn at random by each process.
Within a process ids only grow; two processes would have to draw the same 13 bits and meet in one microsecond to
collide, and then a primary key refuses the second. Ids sort by age, so new rows go to the end of their index.
"""

import secrets
import threading
import time

_EPOCH = 1_704_067_200_000_000  # 2024-01-01T00:00:00Z in microseconds
ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: nothing to mistake for something else
_VALUES = {letter: value for value, letter in enumerate(ALPHABET)}
_PAIRS = [first + second for first in ALPHABET for second in ALPHABET]  # ten bits at a time: every mail needs it
_TEXT_LENGTH = 13

_process = secrets.randbits(13)
_lock = threading.Lock()
_last = 0


def new_id() -> int:
    """Return a new id, greater than every id that this process made before."""
    global _last  # noqa: PLW0603
    with _lock:
        _last = max(_last + 1, time.time_ns() // 1000 - _EPOCH)
        return (_last << 13) | _process


def first_id_at(seconds: float) -> int:
    """Return the smallest id that can have been made at this Unix time (seconds); older ids are smaller."""
    return max(0, int(seconds * 1_000_000) - _EPOCH) << 13


def made_at(number: int) -> float:
    """Return when an id was made (Unix time in seconds)."""
    return ((number >> 13) + _EPOCH) / 1_000_000


def to_text(number: int) -> str:
    """Write an id as 13 letters and digits, the form of queue ids in logs and replies."""
    return (
        ALPHABET[number >> 60]
        + _PAIRS[number >> 50 & 1023]
        + _PAIRS[number >> 40 & 1023]
        + _PAIRS[number >> 30 & 1023]
        + _PAIRS[number >> 20 & 1023]
        + _PAIRS[number >> 10 & 1023]
        + _PAIRS[number & 1023]
    )


def from_text(text: str) -> int:
    """Read what ``to_text`` wrote; raises ``ValueError`` for anything else."""
    if len(text) != _TEXT_LENGTH:
        raise ValueError(f"an id has {_TEXT_LENGTH} letters and digits, not {len(text)}")
    number = 0
    for letter in text.lower():
        if letter not in _VALUES:
            raise ValueError(f"{letter!r} is no letter of an id")
        number = number << 5 | _VALUES[letter]
    if number >> 63:
        raise ValueError("an id has 63 bits")
    return number
