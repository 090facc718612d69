"""When two texts are the same for a search: letter case, ways to write a character, and white space make no difference.

``folded`` makes two texts equal wherever i;unicode-casemap does (RFC 5051: letter case away, then all decompositions,
compatibility ones included), as I18NLEVEL=1 demands (RFC 5255 section 4.2). It goes further in three things, as readers
expect: ``ß`` is ``ss`` (full case folding), marks that stand in another order are the same (Unicode's canonical order),
and white space of any kind and length is one space, because where a line was broken is nothing to search for. An accent
is kept, so ``cafes`` is not in ``cafés``; ``cafe`` is, being its beginning.
"""

from collections.abc import Iterator
from typing import Final
from unicodedata import normalize

# Bump it with every change of what is found in a message: of this module, of ``text.py``, of what decodes for them.
# What the worker has indexed by other rules is indexed again.
RULES: Final = 1

# Characters folded at once: nobody can interrupt one of the steps below.
CHUNK: Final = 64 * 1024


def folded(text: str) -> str:
    r"""Fold a short text; it gets a space at each end, as if it stood in the middle of others.

    >>> folded("Große\r\n  CAFÉ") == folded("GROSSE cafe\u0301") == " grosse cafe\u0301 "
    True
    """
    words = " ".join(_without_case(text).split())
    return f" {words} " if words else " "


def folded_needle(text: str) -> str:
    """Fold what is looked for. White space at its ends counts, as one space."""
    text = _without_case(text)
    words = " ".join(text.split())
    if not words:
        return " " if text else ""
    return " " * text[0].isspace() + words + " " * text[-1].isspace()


def folded_chunks(text: str, overlap: int) -> Iterator[str]:
    """Fold a text of any length, piece by piece; each begins with the last ``overlap`` (1 at least) before it.

    What has at most one character more than the overlap is therefore whole in one of the pieces.
    """
    if len(text) <= CHUNK:
        yield folded(text)
        return
    before = " "
    for begin in range(0, len(text), CHUNK):
        piece = _without_case(text[begin : begin + CHUNK])
        words = " ".join(piece.split())
        if piece[0].isspace() and before[-1:] != " ":
            before += " "
        if words:
            before += words
            if piece[-1].isspace():
                before += " "
        if begin + CHUNK >= len(text) and before[-1:] != " ":
            before += " "
        yield before
        before = before[-overlap:]


def contains(text: str, needle: str) -> bool:
    """Say whether a text of any length contains a folded needle."""
    return any(needle in chunk for chunk in folded_chunks(text, max(len(needle) - 1, 1)))


def _without_case(text: str) -> str:
    if text.isascii():
        return text.lower()
    # In capitals first: the dotless i is an I (RFC 5051 section 2, step 2a), which case folding alone would not say.
    return normalize("NFKD", normalize("NFKD", text).upper().casefold())
