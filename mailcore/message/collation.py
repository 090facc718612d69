"""How text is compared for searching, sorting and threading: the collation ``i;unicode-casemap`` (RFC 5051).

One function for all of them, as I18NLEVEL=1 promises (RFC 5255 section 4.2): two texts are equal, one contains the
other, one comes before the other, exactly as their mapped forms do. Comparing code points is comparing the octets of
UTF-8.
"""

import unicodedata
from typing import Final


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


def casemap(text: str) -> str:
    """Map a text to what is compared (RFC 5051 section 2.3): titlecase each character, then decompose fully."""
    if text.isascii():
        return text.upper()
    return unicodedata.normalize("NFKD", text.translate(_TITLECASE))
