"""Keywords: flags that clients name themselves (RFC 3501 section 2.3.2).

A row keeps them as one text, a view as tuples. Two keywords that differ in letter case only are the same; the spelling
that came first stays.
"""

import sys
from collections.abc import Iterable
from functools import lru_cache

from mailcore.store.refusals import LimitError

# Keywords that one message may have, and characters that one keyword may have.
COUNT_LIMIT = 64
LENGTH_LIMIT = 100

NONE: tuple[str, ...] = ()


@lru_cache(maxsize=16384)
def split(text: str) -> tuple[str, ...]:
    """Read what a row keeps. Equal texts give the same tuple, so 10,000 messages share a handful of them."""
    return tuple(sys.intern(word) for word in text.split(" ")) if text else NONE


def join(keywords: Iterable[str]) -> str:
    """Write keywords as a row keeps them: sorted, separated by spaces."""
    return " ".join(sorted(keywords))


def added(text: str, keywords: Iterable[str]) -> str:
    """Return what a row keeps once these are added; raises ``LimitError`` when they are too many or too long."""
    found = {word.lower(): word for word in split(text)}
    for word in keywords:
        if len(word) > LENGTH_LIMIT:
            raise LimitError(f"a keyword has at most {LENGTH_LIMIT} characters")
        found.setdefault(word.lower(), word)
    if len(found) > COUNT_LIMIT:
        raise LimitError(f"a message has at most {COUNT_LIMIT} keywords")
    return join(found.values())


def removed(text: str, keywords: Iterable[str]) -> str:
    """Return what a row keeps once these are taken away."""
    gone = {word.lower() for word in keywords}
    return join(word for word in split(text) if word.lower() not in gone)


def replaced(text: str, keywords: Iterable[str]) -> str:
    """Return what a row keeps when exactly these are wanted; those that were there keep their spelling."""
    old = {word.lower(): word for word in split(text)}
    return added("", [old.get(word.lower(), word) for word in keywords])
