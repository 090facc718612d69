"""From the bytes of one whole command to values, by the ABNF of RFC 3501 section 9.

Here are the words that all commands are made of; what a command makes of them stands with the command, below its rule.
``Parser`` raises ``SyntaxRefusedError`` and nothing else, whatever it is given.
"""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any, TypeVar

from mailcore.imap import names
from mailcore.imap.sequences import SAVED, STAR, Ranges
from mailcore.store.flags import ANSWERED, DELETED, DRAFT, FLAGGED, SEEN

T = TypeVar("T")

NUMBER_LIMIT = 2**32 - 1  # RFC 3501 section 9, ``number``
MODSEQ_LIMIT = 2**63 - 1  # RFC 7162 section 7, ``mod-sequence-value``
KEYWORD_LENGTH_LIMIT = 100

# ATOM-CHAR = <any CHAR except atom-specials>; atom-specials = "(" / ")" / "{" / SP / CTL / list-wildcards /
# quoted-specials / resp-specials
_ATOM = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\\]]+')
# ASTRING-CHAR = ATOM-CHAR / resp-specials
_ASTRING = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\]+')
# tag = 1*<any ASTRING-CHAR except "+">
_TAG = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\+]+')
# list-char = ATOM-CHAR / list-wildcards / resp-specials
_LIST_CHARS = re.compile(rb'[^\x00-\x20\x7f-\xff(){"\\]+')
# quoted = DQUOTE *QUOTED-CHAR DQUOTE. Octets above 127 must be UTF-8 (RFC 9051 section 9, RFC 6855 section 3). RFC 3501
# knows none there; they are understood all the same, because clients send them.
_QUOTED = re.compile(rb'"((?:[^\x00\r\n"\\]|\\["\\])*)"')
_ESCAPED = re.compile(rb"\\([\"\\])")
# literal = "{" number64 ["+"] "}" CRLF *CHAR8 (RFC 7888 section 8); the octets themselves are kept beside the text.
_LITERAL = re.compile(rb"\{[0-9]+\+?\}\r\n")
# literal8 = "~{" number64 ["+"] "}" CRLF *OCTET (RFC 4466 section 6)
_LITERAL8 = re.compile(rb"~\{[0-9]+\+?\}\r\n")
_NUMBER = re.compile(rb"[0-9]+")
# seq-number = nz-number / "*"; seq-range = seq-number ":" seq-number; sequence-set = (seq-number / seq-range) *("," …)
_SEQUENCE_SET = re.compile(
    rb"(?:[1-9][0-9]*|\*)(?::(?:[1-9][0-9]*|\*))?(?:,(?:[1-9][0-9]*|\*)(?::(?:[1-9][0-9]*|\*))?)*"
)
_SEQUENCE_STARTS = frozenset({b"$", b"*", b"0", b"1", b"2", b"3", b"4", b"5", b"6", b"7", b"8", b"9"})
# date-text = date-day "-" date-month "-" date-year
_DATE = re.compile(rb'("?)([0-9]{1,2})-([A-Za-z]{3})-([0-9]{4})\1')
# date-time = DQUOTE date-day-fixed "-" date-month "-" date-year SP time SP zone DQUOTE
_DATE_TIME = re.compile(
    rb'"([ 0-9][0-9])-([A-Za-z]{3})-([0-9]{4}) ([0-9]{2}):([0-9]{2}):([0-9]{2}) ([+-])([0-9]{2})([0-9]{2})"'
)
_LEAP_SECOND = 60
_MINUTES = 60  # in an hour
# Control characters are in no mailbox's name.
_NO_NAME = "\0"
_MONTHS = {
    month: number
    for number, month in enumerate(
        (b"JAN", b"FEB", b"MAR", b"APR", b"MAY", b"JUN", b"JUL", b"AUG", b"SEP", b"OCT", b"NOV", b"DEC"), 1
    )
}

SYSTEM_FLAGS = {
    b"\\SEEN": SEEN,
    b"\\ANSWERED": ANSWERED,
    b"\\FLAGGED": FLAGGED,
    b"\\DELETED": DELETED,
    b"\\DRAFT": DRAFT,
}


class SyntaxRefusedError(ValueError):
    """The command is not what the grammar says. The message goes to the client after ``BAD``: ASCII, no line ends."""


class UnfitNameError(SyntaxRefusedError):
    """A string stands where it should, but no mailbox can have it for a name."""


class Parser:
    r"""A place in one command; each method takes what it is named for and moves on, or raises.

    ``text`` is the command without its last CRLF; where a literal was, it has ``{n}CRLF`` and the octets (or what
    took them: the sink of an APPEND) are in ``literals``, in order.

    Use: ``Parser(b'"a b" (\\Seen)').string()``
    """

    __slots__ = ("_at", "_literals", "_taken", "_text", "_utf8")

    def __init__(self, text: bytes, literals: Sequence[Any] = (), *, utf8: bool = False) -> None:
        self._text = text
        self._literals = literals
        self._at = 0
        self._taken = 0
        self._utf8 = utf8  # mailbox names are in UTF-8, not in modified UTF-7

    @property
    def place(self) -> tuple[int, int]:
        """Where the parser stands: octets and literals that have been read."""
        return self._at, self._taken

    def move_to(self, position: int, literals: int = 0) -> None:
        """Go on from here: what lies before has been read already."""
        self._at = position
        self._taken = literals

    # -- Punctuation --------------------------------------------------------------------------------------------------

    def at(self, expected: bytes) -> bool:
        """Say whether this comes next, and stay."""
        return self._text.startswith(expected, self._at)

    def accept(self, expected: bytes) -> bool:
        """Take this if it comes next, and say whether it did."""
        if self.at(expected):
            self._at += len(expected)
            return True
        return False

    def expect(self, expected: bytes) -> None:
        """Take exactly this."""
        if not self.accept(expected):
            raise SyntaxRefusedError(f"Expected {_shown(expected)}{self._where()}")

    def space(self) -> None:
        """Take one space: the grammar has exactly one everywhere."""
        if not self.accept(b" "):
            raise SyntaxRefusedError("Missing argument" if self.is_done else f"Expected a space{self._where()}")

    def end(self) -> None:
        """Make sure that nothing is left."""
        if not self.is_done:
            raise SyntaxRefusedError(f"Unexpected argument{self._where()}")

    @property
    def is_done(self) -> bool:
        """Nothing is left."""
        return self._at >= len(self._text)

    @property
    def rest(self) -> bytes:
        """What is left, untouched."""
        return self._text[self._at :]

    def accept_form(self, form: re.Pattern[bytes]) -> re.Match[bytes] | None:
        """Take what the expression describes if it comes next."""
        match = form.match(self._text, self._at)
        if match:
            self._at = match.end()
        return match

    def take(self, form: re.Pattern[bytes], what: str) -> re.Match[bytes]:
        """Take what the expression describes; ``what`` is its name in the error."""
        match = self.accept_form(form)
        if match is None:
            raise SyntaxRefusedError(f"Expected {what}{self._where()}")
        return match

    def _where(self) -> str:
        return " at the end" if self.is_done else f" at position {self._at}"

    # -- Words --------------------------------------------------------------------------------------------------------

    def tag(self) -> bytes:
        """Take a command's tag."""
        return self.take(_TAG, "a tag")[0]

    def atom(self) -> bytes:
        """Take an atom as it is written."""
        return self.take(_ATOM, "an atom")[0]

    def word(self) -> bytes:
        """Take an atom whose letter case says nothing: a keyword of the grammar, in upper case."""
        return self.atom().upper()

    def accept_word(self, *words: bytes) -> bytes | None:
        """Take the next atom if it is one of these (upper case), else nothing."""
        match = _ATOM.match(self._text, self._at)
        if match and match[0].upper() in words:
            self._at = match.end()
            return match[0].upper()
        return None

    def string(self) -> bytes:
        """Take ``string = quoted / literal``."""
        if self.at(b'"'):
            return _ESCAPED.sub(rb"\1", _utf8(self.take(_QUOTED, "a quoted string")[1]))
        octets = self.literal()
        if not isinstance(octets, bytes):
            raise SyntaxRefusedError("A literal is not allowed here")
        if b"\0" in octets:
            # RFC 3501 section 9: CHAR8 is any octet except NUL.
            raise SyntaxRefusedError("NUL is not allowed")
        return octets

    def astring(self) -> bytes:
        """Take ``astring = 1*ASTRING-CHAR / string``."""
        if self.at(b'"') or self.at(b"{"):
            return self.string()
        return self.take(_ASTRING, "a string")[0]

    def nstring(self) -> bytes | None:
        """Take ``nstring = string / nil``; NIL is ``None``."""
        return None if self.accept_word(b"NIL") else self.string()

    def literal(self) -> Any:
        """Take a literal: its octets, or the sink that took them. What looks at octets must mind NUL (``string``)."""
        self.take(_LITERAL, "a string")
        return self._kept()

    @property
    def at_literal8(self) -> bool:
        """A ``literal8`` comes next."""
        return self.at(b"~{")

    def literal8(self) -> Any:
        """Take a ``literal8``: its octets, of whatever value, or the sink that took them."""
        self.take(_LITERAL8, "a binary literal")
        return self._kept()

    def _kept(self) -> Any:
        if self._taken >= len(self._literals):
            raise SyntaxRefusedError("A literal is missing")
        self._taken += 1
        return self._literals[self._taken - 1]

    # -- Numbers ------------------------------------------------------------------------------------------------------

    def number(self, *, least: int = 0, most: int = NUMBER_LIMIT) -> int:
        """Take a number (``number``, ``nz-number``, ``mod-sequence-value`` differ in their ends)."""
        digits = self.take(_NUMBER, "a number")[0]
        value = digits.lstrip(b"0") or b"0"
        # nz-number = digit-nz *DIGIT. int() of thousands of digits is refused by Python itself, and slow before that.
        if (least and value != digits) or len(value) > len(str(most)) or not least <= int(value) <= most:
            raise SyntaxRefusedError("Number out of range")
        return int(value)

    @property
    def at_sequence_set(self) -> bool:
        """A sequence set comes next."""
        return self._text[self._at : self._at + 1] in _SEQUENCE_STARTS

    def sequence_set(self) -> Ranges:
        """Take a sequence set, as pairs of numbers; ``STAR`` stands for ``*``, and ``SAVED`` for ``$``.

        ``sequence-set =/ seq-last-command``, which is ``"$"`` (RFC 5182 section 4).
        """
        if self.accept(b"$"):
            return SAVED
        pairs = []
        for piece in self.take(_SEQUENCE_SET, "a message set")[0].split(b","):
            first, _, last = piece.partition(b":")
            low = _sequence_number(first)
            pairs.append((low, _sequence_number(last) if last else low))
        return tuple(pairs)

    # -- Names, flags, dates ------------------------------------------------------------------------------------------

    def mailbox(self) -> str:
        """Take a mailbox name in its one form: composed, and ``INBOX`` in whatever letter case in capitals."""
        return names.canonical(self.mailbox_as_given())

    def mailbox_as_given(self) -> str:
        """Take a mailbox name as the client wrote it."""
        try:
            return self._name(self.astring())
        except names.NameRefusedError as error:
            raise UnfitNameError(str(error)) from error

    def _name(self, wire: bytes) -> str:
        # What is not ASCII cannot be modified UTF-7 (RFC 6855 section 3).
        return names.decode_utf8(wire) if self._utf8 or not wire.isascii() else names.decode(wire)

    def list_mailbox(self) -> str:
        """Take ``list-mailbox = 1*list-char / string``: a name with wildcards.

        A pattern that is not well encoded comes out as one that no name matches.
        """
        quoted = self.at(b'"') or self.at(b"{")
        wire = self.string() if quoted else self.take(_LIST_CHARS, "a pattern")[0]
        try:
            return names.composed(self._name(wire))
        except names.NameRefusedError:
            return _NO_NAME

    def flag_list(self) -> tuple[int, tuple[str, ...]]:
        """Take ``flag-list = "(" [flag *(SP flag)] ")"``: system flags as bits, and keywords."""
        return _gathered(self.parenthesized(self.flag, empty=True))

    def flags(self) -> tuple[int, tuple[str, ...]]:
        """Take ``flag-list / (flag *(SP flag))``, as STORE allows."""
        if self.at(b"("):
            return self.flag_list()
        given = [self.flag()]
        while self.accept(b" "):
            given.append(self.flag())
        return _gathered(given)

    def flag(self) -> int | str:
        r"""Take one flag: a bit of a system flag, or a keyword. ``\Recent`` is the server's alone to give."""
        if self.accept(b"\\"):
            name = b"\\" + self.word()
            if name not in SYSTEM_FLAGS:
                raise SyntaxRefusedError("Flag cannot be set")
            return SYSTEM_FLAGS[name]
        return self.keyword()

    def keyword(self) -> str:
        """Take ``flag-keyword = atom``."""
        keyword = self.atom().decode("ascii")
        if len(keyword) > KEYWORD_LENGTH_LIMIT:
            raise SyntaxRefusedError("Keyword is too long")
        return keyword

    def date(self) -> date:
        """Take ``date = date-text / DQUOTE date-text DQUOTE``."""
        match = self.take(_DATE, "a date")
        try:
            return date(int(match[4]), _month(match[3]), int(match[2]))
        except ValueError as error:
            raise SyntaxRefusedError("No such date") from error

    def date_time(self) -> int:
        """Take a ``date-time``; seconds since 1970."""
        match = self.take(_DATE_TIME, "a date and time")
        day, month, year, hour, minute, second, sign, zone_hours, zone_minutes = match.groups()
        if int(second) > _LEAP_SECOND or int(zone_minutes) >= _MINUTES:
            raise SyntaxRefusedError("No such date and time")
        try:
            offset = timedelta(hours=int(zone_hours), minutes=int(zone_minutes))
            zone = timezone(-offset if sign == b"-" else offset)
            # A leap second is written as 60 and has no place in Python's clock.
            moment = datetime(
                int(year), _month(month), int(day), int(hour), int(minute), min(int(second), 59), tzinfo=zone
            )
            return int((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds())
        except (ValueError, OverflowError) as error:
            raise SyntaxRefusedError("No such date and time") from error

    # -- Lists --------------------------------------------------------------------------------------------------------

    def parenthesized(self, take: Callable[[], T], *, empty: bool = False) -> list[T]:
        """Take ``"(" item *(SP item) ")"``."""
        self.expect(b"(")
        items: list[T] = []
        if empty and self.accept(b")"):
            return items
        items.append(take())
        while not self.accept(b")"):
            self.space()
            items.append(take())
        return items


def _utf8(quoted: bytes) -> bytes:
    if not quoted.isascii():
        try:
            quoted.decode("utf-8")
        except UnicodeDecodeError:
            raise SyntaxRefusedError("A quoted string must be UTF-8") from None
    return quoted


def _shown(expected: bytes) -> str:
    return f"'{expected.decode('ascii')}'"


def _sequence_number(written: bytes) -> int:
    if written == b"*":
        return STAR
    if len(written) > 10 or int(written) > NUMBER_LIMIT:
        raise SyntaxRefusedError("Number out of range")
    return int(written)


def _month(name: bytes) -> int:
    return _MONTHS.get(name.upper(), 0)


def _gathered(flags: list[int | str]) -> tuple[int, tuple[str, ...]]:
    bits = 0
    keywords: dict[str, str] = {}
    for flag in flags:
        if isinstance(flag, int):
            bits |= flag
        else:
            keywords.setdefault(flag.lower(), flag)
    return bits, tuple(keywords.values())
