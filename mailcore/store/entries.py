"""What the index keeps of a message: its day, the fields that people search in most, and a signature of all its text.

The fields are kept as the very text that a search looks into, so that the database itself can say whether something is
in them. Pure: bytes in, values out.
"""

from collections.abc import Callable, Iterable
from datetime import date
from functools import partial
from typing import Final, NamedTuple

from mailcore.message.collation import folded, folded_words
from mailcore.message.dates import parse_date
from mailcore.message.headers import Octets
from mailcore.message.structure import scan
from mailcore.message.text import address_texts, body_texts, field_texts, header_texts
from mailcore.message.trigrams import signature

# Which column of ``SearchEntry`` has which field.
COLUMNS: Final = {"subject": "subject", "from": "sender", "to": "recipients", "cc": "cc", "bcc": "bcc"}
# Those with addresses have them also in the form in which they are meant.
WITH_ADDRESSES: Final = frozenset(COLUMNS) - {"subject"}

# Between the texts of a column. There is no line end in a folded text, so nothing is found across it.
_BETWEEN: Final = "\n"
# A column with more characters is not kept; this stands for it.
_KEPT: Final = 2000
TOO_LONG: Final = "\n"

_EPOCH: Final = date(1970, 1, 1).toordinal()


class Entry(NamedTuple):
    """The columns of ``SearchEntry`` behind ``rules``, in their order."""

    sent_on: int | None
    subject: str | None
    sender: str | None
    recipients: str | None
    cc: str | None
    bcc: str | None
    signature: bytes | None


# Of a message that we fail to read: nothing is ruled out.
UNREADABLE: Final = Entry(None, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, None)


def entry_of(message: Octets) -> Entry:
    """Make the entry of a message; time is linear in its size."""
    root = scan(message)
    headers = root.headers
    columns = {column: _column(headers.get_all(name.encode()), _texts_of(name)) for name, column in COLUMNS.items()}
    dates = headers.get_all(b"date")
    sent = parse_date(dates[0]) if dates else None
    texts = (text for source in (header_texts(headers), body_texts(message, root)) for text in source)
    marks = signature(map(folded_words, texts))
    return Entry(sent_on=days(sent.day) if sent else None, signature=marks, **columns)


def days(day: date) -> int:
    """Write a day as ``sent_on`` has it: days since 1970."""
    return day.toordinal() - _EPOCH


def _texts_of(name: str) -> Callable[[bytes], list[str]]:
    return address_texts if name in WITH_ADDRESSES else partial(field_texts, name.encode())


def _column(values: Iterable[bytes], texts_of: Callable[[bytes], list[str]]) -> str | None:
    texts = [folded(text) for value in values for text in texts_of(value)]
    if not texts:
        return None
    column = _BETWEEN.join(texts)
    return column if len(column) <= _KEPT else TOO_LONG
