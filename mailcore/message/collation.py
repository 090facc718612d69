"""When two texts are the same for searching, sorting and threading: the collation ``i;unicode-casemap`` (RFC 5051).

``casemap`` is that collation, one function for all of them, as I18NLEVEL=1 promises (RFC 5255 section 4.2): two texts
are equal, one contains the other, one comes before the other, exactly as their mapped forms do. Comparing code points
is comparing the octets of UTF-8.

``folded`` is what a search looks into. It takes for the same what ``casemap`` does, and two things more, as readers
expect: ``ß`` is ``ss`` (full case folding), and white space of any kind and length is one space, because where a line
was broken is nothing to search for. An accent is kept: ``cafes`` is not in ``cafés``; ``cafe`` is, being its beginning.
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

# Bump it with every change of what is found in a message: of this module, of ``text.py``, of what decodes for them.
# What the worker has indexed by other rules is indexed again.
RULES: Final = 5

# Characters folded at once: nobody can interrupt one of the steps below.
CHUNK: Final = 64 * 1024


class _Titlecase(dict[int, str]):
    """The simple titlecase mapping of UnicodeData.txt, one character at a time and as they are met.

    Python knows the full mapping only; where that is longer than one character, the simple one is the character itself.
    """

    def __missing__(self, code: int) -> str:
        character = chr(code)
        title = character.title()
        self[code] = title = title if len(title) == 1 else character
        return title


_TITLECASE: Final = _Titlecase()


# Every second piece of what it splits is not ASCII.
_NOT_ASCII: Final = re.compile("([^\0-\x7f]+)")
# Runs of characters that are not ASCII come again and again where they are short: accents, words of two ideographs.
_SHORT: Final = 16
_REMEMBERED: Final = 8192


def casemap(text: str) -> str:
    """Map a text to what is compared (RFC 5051 section 2.3): titlecase each character, then decompose fully."""
    if text.isascii():
        return text.upper()
    # No character of ASCII is changed by those beside it, or changes them.
    pieces = _NOT_ASCII.split(text)
    pieces[::2] = map(str.upper, pieces[::2])
    pieces[1::2] = map(_mapped, pieces[1::2])
    return "".join(pieces)


def _mapped(run: str) -> str:
    return _mapped_short(run) if len(run) <= _SHORT else _map(run)


def _map(run: str) -> str:
    # What has no case in any form has no titlecase either. That is seen in a tenth of the time of the mapping.
    if run.lower() != run or run.upper() != run:
        run = run.translate(_TITLECASE)
    return unicodedata.normalize("NFKD", run)


_mapped_short = lru_cache(_REMEMBERED)(_map)


def folded(text: str) -> str:
    r"""Fold a short text; it gets a space at each end, as if it stood in the middle of others.

    >>> folded("Große\r\n  CAFÉ") == folded("GROSSE cafe\u0301") == " grosse cafe\u0301 "
    True
    """
    words = " ".join(_without_case(text).split())
    return f" {words} " if words else " "


def folded_words(text: str) -> list[str]:
    """Give the words of a folded text of any length, and maybe ends and beginnings of words besides.

    Any three neighbouring characters of the folded text, spaces taken for the ends of words, are in one of them.
    """
    if len(text) <= CHUNK:
        return _without_case(text).split()
    return list({word for chunk in folded_chunks(text, 2) for word in chunk.split()})


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
    """Map a text and fold it: small letters, as the look at raw bytes has them, too."""
    if text.isascii():
        return text.lower()
    pieces = _NOT_ASCII.split(text)
    pieces[::2] = map(str.lower, pieces[::2])
    pieces[1::2] = map(str.casefold, map(_mapped, pieces[1::2]))
    return "".join(pieces)
