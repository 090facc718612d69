"""Which messages fulfil a criterion: exact substring search over decoded headers and bodies (RFC 3501 section 6.4.4).

``message/collation.py`` says which texts are the same. A criterion is looked at up to four times, each time with more
known of the message: what the index says (``narrowing.py``), its UID, its row with the cached header lines, its bytes.
Only messages that are still undecided are read further. The index decides nothing that reading would not: without it
all is found as well, only later. Where the raw bytes show that the words cannot be there, nothing is decoded.
"""

import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import date
from typing import TypeAlias

from mailcore.message.collation import folded, folded_chunks, folded_needle
from mailcore.message.dates import parse_date
from mailcore.message.headers import BLOCK_LIMIT, Octets, header_end, unfold
from mailcore.message.structure import scan
from mailcore.message.summary import CACHED_FIELDS
from mailcore.message.text import address_texts, body_texts, field_texts, header_texts
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
from mailcore.store.narrowing import narrow
from mailcore.store.reading import bodies, overview

# Messages that the index is asked about with one statement, and messages that are looked into at once.
NARROWED = 5000
SLICE = 200

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

    __slots__ = ("_body", "_contained", "_header", "_raw", "fields", "internal_date", "octets", "size", "uid")

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
        self._contained: set[tuple[Place, str]] | None = None

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

    def contains(self, place: Place, needle: str, needles: "_Needles") -> bool:
        """Decode the message and look for all the needles at once. Only once there are bytes."""
        if self._contained is None:
            assert self.octets is not None  # noqa: S101 - the caller has looked
            self._contained = needles.found_in(self.octets)
        return (place, needle) in self._contained

    def forget(self) -> None:
        """Let go of everything large."""
        self.octets = self.fields = self._raw = self._header = None


class _Needles:
    """All that a search looks for in the text of messages, so that each text is decoded and folded once."""

    def __init__(self) -> None:
        self._in_header: set[str] = set()
        self._in_body: set[str] = set()

    def add(self, place: Place, needle: str) -> None:
        """Look for this, too."""
        self._in_body.add(needle)
        if place is Place.TEXT:
            self._in_header.add(needle)

    def found_in(self, message: Octets) -> set[tuple[Place, str]]:
        """Return what the message contains, and where."""
        root = scan(message)
        in_header = _found(header_texts(root.headers), self._in_header) if self._in_header else set()
        in_body = _found(body_texts(message, root), self._in_body)
        return {(Place.BODY, needle) for needle in in_body} | {
            (Place.TEXT, needle) for needle in in_header | in_body & self._in_header
        }


def _found(texts: Iterable[str], needles: Collection[str]) -> set[str]:
    missing = set(needles)
    overlap = max(map(len, needles))
    for text in texts:
        for chunk in folded_chunks(text, overlap):
            missing -= {needle for needle in missing if needle in chunk}
        if not missing:
            break
    return set(needles) - missing


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

    For a few messages: it takes up to a millisecond each. ``Search`` goes through many in slices.
    """
    whole = Search(owner, mailbox, uids, criterion)
    while not whole.advance(60.0):
        pass
    return whole.found


class Search:
    """A search that is done a slice at a time, so that many can share a few threads.

    ``advance`` until it returns true, in any thread with a database, never in two at once; then ``found`` has the UIDs.
    """

    def __init__(self, owner: int, mailbox: int, uids: Sequence[int], criterion: Criterion) -> None:
        self._place = owner, mailbox
        self._uids = uids
        self._criterion = criterion
        self._test, self._needles = _Compiler().compile(criterion)
        self._fields = _asks_for_fields(criterion)
        self._done = 0
        self._undecided: list[int] = []
        self._found: list[int] = []

    @property
    def found(self) -> list[int]:
        """The UIDs that fulfil the criterion, ascending; complete at the end."""
        return sorted(self._found)

    def advance(self, seconds: float) -> bool:
        """Go on for about so many seconds; say whether it is finished. One message may take longer."""
        end = time.monotonic() + seconds
        while True:
            if self._undecided:
                self._look_into(end)
            elif self._done < len(self._uids):
                part = self._uids[self._done : self._done + NARROWED]
                hits, self._undecided = narrow(*self._place, part, self._criterion)
                self._found += hits
                self._done += len(part)
            else:
                return True
            if time.monotonic() > end:
                return False

    def _look_into(self, end: float) -> None:
        """Decide some of the messages of which the index does not say enough: by their rows, then by their bytes."""
        some, rest = self._undecided[:SLICE], self._undecided[SLICE:]
        hits, facts = _sort(map(_Facts, some), self._test)
        waiting = [each.uid for each in facts]
        facts = []
        while waiting:
            rows, done = overview(*self._place, waiting, headers=self._fields)
            more, undecided = _sort((_Facts(row[0], row[1], row[2], row[6]) for row in rows), self._test)
            hits += more
            facts += undecided
            waiting = waiting[done:]
        by_uid = {each.uid: each for each in facts}
        for row, octets in bodies(*self._place, list(by_uid)) if by_uid else ():
            each = by_uid.pop(row.uid)
            each.octets = octets
            if self._test(each):
                hits.append(row.uid)
            if time.monotonic() > end:
                break
        else:
            by_uid = {}
        self._found += hits
        self._undecided = [*by_uid, *rest]


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


class _Compiler:
    """Makes one test of a criterion, and gathers what it looks for in texts."""

    def __init__(self) -> None:
        self._needles = _Needles()

    def compile(self, criterion: Criterion) -> tuple[_Test, "_Needles"]:
        test, _ = self._compile(criterion)
        return test, self._needles

    def _compile(self, criterion: Criterion) -> tuple[_Test, int]:  # noqa: C901 - one line a kind
        match criterion:
            case UidIn(uids):
                return (lambda facts: facts.uid in uids), _BY_UID
            case Larger(octets):
                return (lambda facts: None if facts.size is None else facts.size > octets), _BY_ROW
            case Smaller(octets):
                return (lambda facts: None if facts.size is None else facts.size < octets), _BY_ROW
            case Arrived() | ArrivedFrom():
                return _arrived(*criterion.span), _BY_ROW
            case Younger():
                raise TypeError("the criterion has not been settled")
            case Sent(comparison, day):
                return _sent(comparison, day), _BY_FIELDS
            case HeaderContains(name, text):
                return _header_contains(name, text), _BY_FIELDS
            case AddressContains(name, text):
                return _address_contains(name, text), _BY_FIELDS
            case Contains(place, text):
                return _contains(place, text, self._needles), _BY_BYTES
            case Not(key):
                test, cost = self._compile(key)
                return _negated(test), cost
            case And(keys):
                tests, cost = self._cheapest_first(keys)
                return _joined(tests, stops_at=False), cost
            case Or(keys):
                tests, cost = self._cheapest_first(keys)
                return _joined(tests, stops_at=True), cost

    def _cheapest_first(self, keys: Sequence[Criterion]) -> tuple[list[_Test], int]:
        compiled = sorted(map(self._compile, keys), key=lambda each: each[1])
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


def _arrived(lowest: int, end: int) -> _Test:
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


# Where what is written may differ from what is meant without an encoding: folds, line ends, the white space round a
# field's colon; and in an address comments and quotes, too (RFC 5322 section 3.4.1).
_BETWEEN_WORDS = re.compile(r"[\s:]+")
_BETWEEN_ATOMS = re.compile(r"[\s@.<>\"(),:;]+")


def _words(needle: str, between: re.Pattern[str] = _BETWEEN_WORDS) -> list[bytes] | None:
    """Return the words that every text with this folded needle has as they are, if they are ASCII."""
    return [word.encode("ascii") for word in between.split(needle)] if needle.isascii() else None


def _field_contains(
    name: str,
    text: str,
    texts_of: Callable[[bytes, bytes], list[str]],
    between: re.Pattern[str],
    encoding: Sequence[bytes],
) -> _Test:
    """Test whether one of the texts of a field contains the text. ``encoding`` is what encoded values have in them."""
    key = name.lower().encode("utf-8", "replace")
    values = _field(key)
    needle = folded_needle(text)
    words = _words(needle, between)

    def field_contains(facts: _Facts) -> bool | None:
        lines = facts.lines_with(key)
        if lines is None:
            return None
        lowered = lines.lower()
        plain = lines.isascii() and not any(mark in lines for mark in encoding)
        if plain and (words is None or not all(word in lowered for word in words)):
            return False
        return any(needle in folded(each) for value in values(lines, lowered) for each in texts_of(key, value))

    return field_contains


def _header_contains(name: str, text: str) -> _Test:
    return _field_contains(name, text, field_texts, _BETWEEN_WORDS, (b"=?", b"\0", b"*"))


def _address_contains(name: str, text: str) -> _Test:
    return _field_contains(name, text, lambda _, value: address_texts(value), _BETWEEN_ATOMS, (b"=?", b"\0", b"\\"))


def _contains(place: Place, text: str, needles: _Needles) -> _Test:
    needle = folded_needle(text)
    words = _words(needle)
    whole = words == [needle.encode("ascii", "replace")]  # it is one word
    needles.add(place, needle)

    def contains(facts: _Facts) -> bool | None:
        if not needle:
            return True
        if facts.octets is None:
            return None
        if facts.raw is not None:
            if words is None or not all(word in facts.raw for word in words):
                return False
            if facts.plain_body and whole:
                if facts.raw.find(words[0], facts.plain_body) >= 0:
                    return True
                if place is Place.BODY:
                    return False
        return facts.contains(place, needle, needles)

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
