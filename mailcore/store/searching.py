"""Which messages fulfil a criterion: exact substring search over decoded headers and bodies (RFC 3501 section 6.4.4).

A criterion is looked at up to three times, each time with more known of the message: its UID, then its row and the
cached header lines, then its bytes. Only messages that are still undecided are read further. There is no index: this
scans, and where the raw bytes show that the words cannot be there, nothing is decoded.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date
from typing import TypeAlias

from mailcore.message.addresses import Address, parse_addresses
from mailcore.message.dates import parse_date
from mailcore.message.headers import BLOCK_LIMIT, Octets, decode_text, header_end, unfold
from mailcore.message.structure import scan
from mailcore.message.summary import CACHED_FIELDS
from mailcore.message.text import body_texts, header_text
from mailcore.store.criteria import (
    AddressContains,
    And,
    Arrived,
    ArrivedFrom,
    Comparison,
    Contains,
    Criterion,
    HeaderContains,
    Larger,
    Not,
    Or,
    Place,
    Sent,
    Smaller,
    UidIn,
    Younger,
)
from mailcore.store.reading import bodies, overview

# Messages whose bytes are looked into at once.
SLICE = 500
_DAY = 86400
_EPOCH = date(1970, 1, 1).toordinal()

# Above this size a look at the raw bytes costs more than it saves.
_RAW_LIMIT = 1024 * 1024
# What makes the decoded text another than the raw one, in lower case: encodings, HTML (tags and references), quoted
# pairs, and charsets that write letters as other ASCII letters.
_ENCODED = (b"base64", b"quoted-printable", b"=?", b"html", b"\\")
_STRANGE_CHARSET = re.compile(
    rb"charset(?![ \t]*=[ \t]*\"?(?:us-ascii|utf-8|iso-8859-|windows-|koi8-|gb18030|gb2312|gbk|big5|euc-)[^;]*+)"
)
# Parameters that are encoded or divided (RFC 2231).
_STRANGE_PARAMETER = re.compile(rb"\*[ \t]*[=0-9]")
# The body of a message whose header has none of this is one plain text.
_STRUCTURED = re.compile(rb"name|\ncontent-type[ \t\r]*:(?!\s*text/plain\b)")


class _Facts:
    """What is known of a message so far; ``None`` is what has not been read."""

    __slots__ = ("_body", "_header", "_raw", "_texts", "fields", "internal_date", "octets", "size", "uid")

    def __init__(
        self, uid: int, size: int | None = None, internal_date: int | None = None, fields: bytes | None = None
    ) -> None:
        self.uid = uid
        self.size = size
        self.internal_date = internal_date
        self.fields = fields
        self.octets: Octets | None = None
        self._raw: bytes | None = None
        self._body = 0
        self._header: bytes | None = None
        self._texts: tuple[str, list[str]] | None = None

    def lines_with(self, name: bytes) -> bytes | None:
        """Return header lines among which are all fields of that name."""
        if name in CACHED_FIELDS:
            return self.fields
        return self.header

    @property
    def header(self) -> bytes | None:
        """The header lines, as they are."""
        if self._header is None and self.octets is not None:
            self._header = self.octets[: min(header_end(self.octets)[0], BLOCK_LIMIT)]
        return self._header

    @property
    def raw(self) -> bytes | None:
        """The bytes in lower case, if what is not in them is not in the decoded text either; or ``None``."""
        if self._raw is None and self.octets is not None and len(self.octets) <= _RAW_LIMIT:
            raw = self.octets[:].lower()
            self._raw = raw if _shows_all(raw) else b""
        return self._raw or None

    @property
    def plain_body(self) -> int:
        """Where in ``raw`` the decoded text of the body begins, if that is all there is in the body; else 0."""
        if not self._body and self.raw is not None:
            end, begin = header_end(self.raw)
            self._body = -1 if _STRUCTURED.search(b"\n" + self.raw[:end]) else begin
        return max(self._body, 0)

    def texts(self) -> tuple[str, list[str]]:
        """Return the decoded header and the decoded pieces of the body, case folded. Only once there are bytes."""
        if self._texts is None:
            assert self.octets is not None  # noqa: S101 - the caller has looked
            root = scan(self.octets)
            pieces = [piece.casefold() for piece in body_texts(self.octets, root)]
            self._texts = header_text(root.headers).casefold(), pieces
        return self._texts

    def forget(self) -> None:
        """Let go of everything large."""
        self.octets = self.fields = self._raw = self._header = self._texts = None


def _shows_all(raw: bytes) -> bool:
    """Say whether words that are not in these bytes (in lower case) cannot be in the text that they are decoded to."""
    if not raw.isascii() or b"\0" in raw:
        return False
    # Only headers say how to decode; those of parts are anywhere.
    headers = raw[: header_end(raw)[0]]
    if b"multipart" in headers or b"message/" in headers:
        headers = raw
    return (
        not any(mark in headers for mark in _ENCODED)
        and not (b"charset" in headers and _STRANGE_CHARSET.search(headers))
        and not (b"*" in headers and _STRANGE_PARAMETER.search(headers))
    )


# Does the message fulfil it? ``None`` means that more must be known of it.
_Test: TypeAlias = Callable[[_Facts], bool | None]


def search(owner: int, mailbox: int, uids: Sequence[int], criterion: Criterion) -> list[int]:
    """Return those of the UIDs (ascending) whose messages fulfil the criterion.

    Looking into the bytes takes up to a millisecond a message: give many messages in slices.
    """
    test, _ = _compile(criterion)
    fields = _asks_for_fields(criterion)
    hits: list[int] = []
    for begin in range(0, len(uids), SLICE):
        hits += _search_slice(owner, mailbox, uids[begin : begin + SLICE], test, fields=fields)
    return hits


def _search_slice(owner: int, mailbox: int, uids: Sequence[int], test: _Test, *, fields: bool) -> list[int]:
    hits, undecided = _sort(map(_Facts, uids), test)
    waiting = [facts.uid for facts in undecided]
    undecided = []
    while waiting:
        rows, done = overview(owner, mailbox, waiting, headers=fields)
        more, rest = _sort((_Facts(row[0], row[1], row[2], row[6]) for row in rows), test)
        hits += more
        undecided += rest
        waiting = waiting[done:]
    if undecided:
        by_uid = {facts.uid: facts for facts in undecided}
        for row, octets in bodies(owner, mailbox, list(by_uid)):
            facts = by_uid[row.uid]
            facts.octets = octets
            if test(facts):
                hits.append(row.uid)
            facts.forget()
    return sorted(hits)


def _sort(candidates: Iterable[_Facts], test: _Test) -> tuple[list[int], list[_Facts]]:
    """Return the UIDs that fulfil the test, and the messages of which more must be known."""
    hits: list[int] = []
    undecided: list[_Facts] = []
    for facts in candidates:
        verdict = test(facts)
        if verdict:
            hits.append(facts.uid)
        elif verdict is None:
            undecided.append(facts)
    return hits, undecided


# -- Criteria as tests ------------------------------------------------------------------------------------------------
#
# Each comes with its cost, so that cheap ones are looked at first. Depth is limited to 50 where the tree is made.

_BY_UID, _BY_ROW, _BY_FIELDS, _BY_BYTES = range(4)


def _compile(criterion: Criterion) -> tuple[_Test, int]:
    match criterion:
        case UidIn(uids):
            return (lambda facts: facts.uid in uids), _BY_UID
        case Larger(octets):
            return (lambda facts: None if facts.size is None else facts.size > octets), _BY_ROW
        case Smaller(octets):
            return (lambda facts: None if facts.size is None else facts.size < octets), _BY_ROW
        case Arrived() | ArrivedFrom() | Younger():
            return _arrived(criterion), _BY_ROW
        case Sent(comparison, day):
            return _sent(comparison, day), _BY_FIELDS
        case HeaderContains(name, text):
            return _header_contains(name, text), _BY_FIELDS
        case AddressContains(name, text):
            return _address_contains(name, text), _BY_FIELDS
        case Contains(place, text):
            return _contains(place, text), _BY_BYTES
        case Not(key):
            test, cost = _compile(key)
            return _negated(test), cost
        case And(keys):
            tests, cost = _cheapest_first(keys)
            return _joined(tests, stops_at=False), cost
        case Or(keys):
            tests, cost = _cheapest_first(keys)
            return _joined(tests, stops_at=True), cost


def _cheapest_first(keys: Sequence[Criterion]) -> tuple[list[_Test], int]:
    compiled = sorted(map(_compile, keys), key=lambda each: each[1])
    return [test for test, _ in compiled], max((cost for _, cost in compiled), default=_BY_UID)


def _negated(test: _Test) -> _Test:
    def negated(facts: _Facts) -> bool | None:
        verdict = test(facts)
        return None if verdict is None else not verdict

    return negated


def _joined(tests: Sequence[_Test], *, stops_at: bool) -> _Test:
    """One verdict that ``stops_at`` decides (``and`` stops at false, ``or`` at true), unless more must be known."""

    def joined(facts: _Facts) -> bool | None:
        undecided = False
        for test in tests:
            verdict = test(facts)
            if verdict is stops_at:
                return stops_at
            undecided = undecided or verdict is None
        return None if undecided else not stops_at

    return joined


def _arrived(criterion: Arrived | ArrivedFrom | Younger) -> _Test:
    if isinstance(criterion, Younger):
        raise TypeError("the criterion has not been settled")
    if isinstance(criterion, ArrivedFrom):
        moment = criterion.moment
        return lambda facts: None if facts.internal_date is None else facts.internal_date >= moment
    comparison = criterion.comparison
    begin = (criterion.day.toordinal() - _EPOCH) * _DAY
    lowest = {Comparison.BEFORE: -(2**63), Comparison.ON: begin, Comparison.SINCE: begin}[comparison]
    end = {Comparison.BEFORE: begin, Comparison.ON: begin + _DAY, Comparison.SINCE: 2**63}[comparison]
    return lambda facts: None if facts.internal_date is None else lowest <= facts.internal_date < end


def _sent(comparison: Comparison, day: date) -> _Test:
    values = _field(b"date")

    def sent(facts: _Facts) -> bool | None:
        if facts.fields is None:
            return None
        value = next(values(facts.fields, facts.fields.lower()), None)
        moment = parse_date(unfold(value)) if value else None
        if moment is None:  # no date fulfils no comparison
            return False
        if comparison is Comparison.ON:
            return moment.day == day
        return moment.day < day if comparison is Comparison.BEFORE else moment.day >= day

    return sent


def _field(name: bytes) -> Callable[[bytes, bytes], Iterator[bytes]]:
    """Return what finds the values of a field in header lines, given as they are and in lower case."""
    # The same reading of a field as in ``message/headers.py``. It begins with a literal: that is searched for fastest.
    field = re.compile(rb"\n" + re.escape(name) + rb"[ \t\r]*+:([^\n]*+(?:\n[ \t][^\n]*+)*+)")

    def values(lines: bytes, lowered: bytes) -> Iterator[bytes]:
        for found in field.finditer(b"\n" + lowered):
            yield lines[found.start(1) - 1 : found.end(1) - 1]

    return values


def _words(needle: str) -> list[bytes] | None:
    """Return the words between white space if they are ASCII. Folds and line ends may be written in several ways."""
    return [word.encode("ascii") for word in needle.split()] if needle.isascii() else None


def _header_contains(name: str, text: str) -> _Test:
    key = name.lower().encode("utf-8", "replace")
    values = _field(key)
    needle = text.casefold()
    words = _words(needle)

    def header_contains(facts: _Facts) -> bool | None:
        lines = facts.lines_with(key)
        if lines is None:
            return None
        lowered = lines.lower()
        plain = lines.isascii() and b"=?" not in lines and b"\0" not in lines
        if plain and (words is None or not all(word in lowered for word in words)):
            return False
        return any(needle in decode_text(value).casefold() for value in values(lines, lowered))

    return header_contains


# What stands between the atoms of an address; there may be comments and white space too (RFC 5322 section 3.4.1).
_BETWEEN_ATOMS = re.compile(r"[\s@.<>\"(),:;]+")


def _address_contains(name: str, text: str) -> _Test:
    """Test the field as it is written, and each address as ENVELOPE has it (RFC 3501 section 6.4.4)."""
    key = name.lower().encode("utf-8", "replace")
    values = _field(key)
    needle = text.casefold()
    atoms = [atom.encode("ascii") for atom in _BETWEEN_ATOMS.split(needle)] if needle.isascii() else None

    def address_contains(facts: _Facts) -> bool | None:
        lines = facts.lines_with(key)
        if lines is None:
            return None
        lowered = lines.lower()
        plain = lines.isascii() and b"=?" not in lines and b"\0" not in lines and b"\\" not in lines
        if plain and (atoms is None or not all(atom in lowered for atom in atoms)):
            return False
        return any(
            needle in decode_text(value).casefold()
            or any(needle in _meant(address).casefold() for address in parse_addresses(unfold(value)))
            for value in values(lines, lowered)
        )

    return address_contains


def _meant(address: Address) -> str:
    """Write an address as a reader sees it; of a group its name."""
    if address.host is None:
        return decode_text(address.mailbox or b"")
    plain = b"%b@%b" % (address.mailbox or b"", address.host)
    place = plain.decode("utf-8", "replace")
    return f"{decode_text(address.name)} <{place}>" if address.name else place


def _contains(place: Place, text: str) -> _Test:
    needle = text.casefold()
    words = _words(needle)
    plain = needle.encode("ascii") if words is not None else b""

    def contains(facts: _Facts) -> bool | None:
        if not needle:
            return True
        if facts.octets is None:
            return None
        if facts.raw is not None:
            if words is None or not all(word in facts.raw for word in words):
                return False
            if facts.plain_body:
                if facts.raw.find(plain, facts.plain_body) >= 0:
                    return True
                if place is Place.BODY:
                    return False
        header, pieces = facts.texts()
        return (place is Place.TEXT and needle in header) or any(needle in piece for piece in pieces)

    return contains


def _asks_for_fields(criterion: Criterion) -> bool:
    match criterion:
        case Sent():
            return True
        case HeaderContains(name, _) | AddressContains(name, _):
            return name.lower().encode("utf-8", "replace") in CACHED_FIELDS
        case Not(key):
            return _asks_for_fields(key)
        case And(keys) | Or(keys):
            return any(map(_asks_for_fields, keys))
    return False
