"""What a SEARCH asks for, from the grammar to a tree (RFC 3501 section 9, ``search-key``).

The tree is made of the store's criteria and, for what a session knows by itself, of ``Known`` and ``Named`` leaves.
``Searcher`` resolves those: what remains of the tree is asked of the store, for as few messages as possible.
"""

from bisect import bisect_right
from collections.abc import Callable, Collection, Generator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, TypeAlias

from mailcore.conversation import CommandRefusedError
from mailcore.dialogue import Question
from mailcore.imap import responses
from mailcore.imap.grammar import MODSEQ_LIMIT, NUMBER_LIMIT, Parser, SyntaxRefusedError
from mailcore.imap.questions import FindOrigins, OriginKey, Pause, SearchMessages
from mailcore.imap.selected import Selected
from mailcore.imap.sequences import SAVED, STAR, Ranges, slices_of_numbers
from mailcore.message import charsets
from mailcore.store.criteria import (
    AddressContains,
    And,
    Arrived,
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
from mailcore.store.flags import ANSWERED, DELETED, DRAFT, FLAGGED, SEEN

DEPTH_LIMIT = 50
KEYS_LIMIT = 1000
# Messages times keys that are looked at before others have their turn.
WORK_LIMIT = 50_000
# Messages that the criteria of one SEARCH may name, each as often as it is named: they are kept until it is answered.
NAMED_LIMIT = 2_000_000

Places: TypeAlias = frozenset[int]


@dataclass(frozen=True, slots=True)
class Known:
    """A key that the session answers itself: which of these places (message number less one) fulfil it."""

    find: Callable[[Selected, Collection[int]], Places]


@dataclass(frozen=True, slots=True)
class Origin:
    """A key that is asked of the store apart: identifiers (RFC 8474 section 6), save dates (RFC 8514 section 4.3)."""

    what: OriginKey
    text: str = ""
    day: date | None = None


@dataclass(frozen=True, slots=True)
class Named:
    """The message is in a set: of numbers, of UIDs, or what was saved (RFC 5182)."""

    ranges: Ranges
    uid: bool

    def find(self, selected: Selected, places: Collection[int]) -> Places:
        """Return which of these places are in the set; what is not there is passed over in silence."""
        if self.uid or self.ranges == SAVED:
            return _among(selected.places(self.ranges, uid=True), places)
        return _among(slices_of_numbers(self.ranges, selected.exists), places)

    def frozen(self, selected: Selected) -> "Named":
        """Return the set of UIDs that means the same as long as the mailbox is open, whatever comes and goes.

        What has no end, ``5:*``, has none then either: new messages are in it.
        """
        if self.ranges == SAVED:
            pairs = [
                (selected.uids[run.start], selected.uids[run.stop - 1]) for run in selected.places(SAVED, uid=True)
            ]
            return Named(tuple(pairs) or _NO_UID, uid=True)
        named = self.ranges if self.uid else _as_uids(self.ranges, selected)
        last = selected.uids[-1] if selected.uids else 0
        pairs = []
        for low, high in named:
            if STAR not in (low, high):
                pairs.append((low, high))
                continue
            if low != high:
                pairs.append((low or high, NUMBER_LIMIT))
            if last and (low == high or (low or high) > last):  # "9:*" is "*:9", and the last message is in it
                pairs.append((last, last))
        return Named(tuple(pairs) or _NO_UID, uid=True)


# A set that no message is in: UIDs begin at 1, and end where the last cannot be given to a message.
_NO_UID: Ranges = ((NUMBER_LIMIT, NUMBER_LIMIT),)


def _as_uids(ranges: Ranges, selected: Selected) -> Ranges:
    """Turn message numbers into UIDs; ``*`` stays, and what is beyond the last message is left out."""
    uids, count = selected.uids, selected.exists
    pairs = []
    for first, last in ranges:
        if first == last == STAR:
            pairs.append((STAR, STAR))
        elif STAR in (first, last):
            pairs.append((uids[min(first or last, count) - 1] if count else 1, STAR))
        elif min(first, last) <= count:
            pairs.append((uids[min(first, last) - 1], uids[min(max(first, last), count) - 1]))
    return tuple(pairs)


@dataclass(frozen=True, slots=True)
class Both:
    """All of the keys hold."""

    keys: tuple["Key", ...]


@dataclass(frozen=True, slots=True)
class Either:
    """One of the keys holds."""

    keys: tuple["Key", ...]


@dataclass(frozen=True, slots=True)
class Neither:
    """The key does not hold."""

    key: "Key"


Key: TypeAlias = Known | Origin | Named | Both | Either | Neither | Criterion


def frozen(key: Key, selected: Selected) -> Key:
    """Return the tree with every set as it is meant now, for a search that is kept up (RFC 5267)."""
    match key:
        case Named():
            return key.frozen(selected)
        case Both(keys):
            return Both(tuple(frozen(each, selected) for each in keys))
        case Either(keys):
            return Either(tuple(frozen(each, selected) for each in keys))
        case Neither(inner):
            return Neither(frozen(inner, selected))
    return key


class SearchReader:
    """Reads the keys of one SEARCH, whose texts are in ``charset`` (one that ``charsets.is_known``)."""

    def __init__(self, arguments: Parser, *, charset: str = "utf-8", uidonly: bool = False) -> None:
        self._arguments = arguments
        self._charset = charset
        self._uidonly = uidonly
        self._count = 0
        self._depth = 0
        self.knows_modseq = False  # MODSEQ was among the keys
        # What only has a meaning in the selected mailbox was among them: message numbers, or "$".
        self.names_selected = False
        self.watches_clock = False  # the result changes by mere time: OLDER and YOUNGER

    def read(self) -> Key:
        """Take ``search-key *(SP search-key)`` to the end."""
        keys = [self._key()]
        while not self._arguments.is_done:
            self._arguments.space()
            keys.append(self._key())
        return Both(tuple(keys))

    def _key(self) -> Key:
        arguments = self._arguments
        self._count += 1
        if self._count > KEYS_LIMIT:
            raise CommandRefusedError(responses.TOO_MUCH_TO_SEARCH)
        self._depth += 1
        if self._depth > DEPTH_LIMIT:
            raise SyntaxRefusedError("Search is too deep")
        try:
            if arguments.at(b"("):
                return Both(tuple(arguments.parenthesized(self._key)))
            if arguments.at_sequence_set:
                ranges = arguments.sequence_set()
                if self._uidonly and ranges != SAVED:
                    raise CommandRefusedError(responses.UID_REQUIRED)
                self.names_selected = True
                return Named(ranges, uid=False)
            name = arguments.word()
            if name in _PLAIN:
                return _PLAIN[name]
            if name not in _WITH_ARGUMENT:
                raise SyntaxRefusedError("Unknown search key")
            arguments.space()
            return _WITH_ARGUMENT[name](self)
        finally:
            self._depth -= 1

    # Keys with arguments.

    def _text(self) -> str:
        try:
            return charsets.decode_strictly(self._arguments.astring(), self._charset)
        except ValueError:
            raise SyntaxRefusedError("Text is not in its charset") from None

    def _header(self) -> Key:
        name = self._text().lower()
        self._arguments.space()
        return HeaderContains(name, self._text())

    def _contains(self, place: Place) -> Key:
        return Contains(place, self._text())

    def _field(self, name: str) -> Key:
        return HeaderContains(name, self._text())

    def _addresses(self, name: str) -> Key:
        return AddressContains(name, self._text())

    def _keyword(self, *, wanted: bool) -> Key:
        keyword = self._arguments.keyword().lower()

        def find(selected: Selected, places: Collection[int]) -> Places:
            keywords = selected.table().keywords
            there = {keywords[place] for place in places}
            having = {words for words in there if any(word.lower() == keyword for word in words)}
            return frozenset(place for place in places if (keywords[place] in having) is wanted)

        return Known(find)

    def _uid(self) -> Key:
        ranges = self._arguments.sequence_set()
        self.names_selected = self.names_selected or ranges == SAVED
        return Named(ranges, uid=True)

    def _modseq(self) -> Key:
        """Take ``"MODSEQ" [SP entry-name SP entry-type-req] SP mod-sequence-valzer`` (RFC 7162 section 7).

        The entry makes no difference: all flags of a message share its MODSEQ.
        """
        self.knows_modseq = True
        if self._arguments.at(b'"'):
            if not self._arguments.string().lower().startswith(b"/flags/"):
                raise SyntaxRefusedError("Unknown entry")
            self._arguments.space()
            if not self._arguments.accept_word(b"PRIV", b"SHARED", b"ALL"):
                raise SyntaxRefusedError("Unknown entry type")
            self._arguments.space()
        least = self._arguments.number(most=MODSEQ_LIMIT)

        def find(selected: Selected, places: Collection[int]) -> Places:
            modseqs = selected.table().modseqs
            return frozenset(place for place in places if modseqs[place] >= least)

        return Known(find)

    def _identity(self, what: OriginKey) -> Key:
        """Take ``objectid``; one that is none fits no message."""
        return Origin(what, self._text())

    def _saved(self, what: OriginKey) -> Key:
        return Origin(what, day=self._arguments.date())

    def _or(self) -> Key:
        first = self._key()
        self._arguments.space()
        return Either((first, self._key()))

    def _not(self) -> Key:
        return Neither(self._key())

    def _larger(self) -> Key:
        return Larger(self._arguments.number(most=MODSEQ_LIMIT))  # number64 of RFC 9051 section 9

    def _smaller(self) -> Key:
        return Smaller(self._arguments.number(most=MODSEQ_LIMIT))

    def _younger(self) -> Key:
        """Take ``"YOUNGER" SP nz-number`` (RFC 5032 section 3)."""
        return Younger(self._interval())

    def _older(self) -> Key:
        """Take the same of OLDER, which like YOUNGER matches at the very second (section 2); none is divided here."""
        return Neither(Younger(self._interval() - 1))

    def _interval(self) -> int:
        self.watches_clock = True
        return self._arguments.number(least=1)

    def _arrived(self, comparison: Comparison) -> Key:
        return Arrived(comparison, self._arguments.date())

    def _sent(self, comparison: Comparison) -> Key:
        return Sent(comparison, self._arguments.date())


def _among(runs: Sequence[range], places: Collection[int]) -> Places:
    """Return the places that are in one of the runs, which ascend and have nothing in common."""
    if isinstance(places, range) and len(runs) == 1:
        return frozenset(range(max(places.start, runs[0].start), min(places.stop, runs[0].stop)))
    if sum(map(len, runs)) > len(places):
        # A thousand times "1:*" must not cost a thousand times the whole mailbox when one message is left.
        starts = [run.start for run in runs]
        return frozenset([place for place in places if place in runs[max(bisect_right(starts, place) - 1, 0)]])
    named: set[int] = set()
    for run in runs:
        named.update(run)
    return frozenset(named.intersection(places))


def _flag(bit: int, *, wanted: bool) -> Known:
    def find(selected: Selected, places: Collection[int]) -> Places:
        flags = selected.table().flags
        if wanted:
            return frozenset([place for place in places if flags[place] & bit])
        return frozenset([place for place in places if not flags[place] & bit])

    return Known(find)


def _recent(*, wanted: bool) -> Known:
    def find(selected: Selected, places: Collection[int]) -> Places:
        return frozenset(place for place in places if selected.is_recent(selected.uids[place]) is wanted)

    return Known(find)


_PLAIN: dict[bytes, Key] = {
    b"ALL": Both(()),
    b"SAVEDATESUPPORTED": Both(()),
    b"ANSWERED": _flag(ANSWERED, wanted=True),
    b"DELETED": _flag(DELETED, wanted=True),
    b"DRAFT": _flag(DRAFT, wanted=True),
    b"FLAGGED": _flag(FLAGGED, wanted=True),
    b"SEEN": _flag(SEEN, wanted=True),
    b"UNANSWERED": _flag(ANSWERED, wanted=False),
    b"UNDELETED": _flag(DELETED, wanted=False),
    b"UNDRAFT": _flag(DRAFT, wanted=False),
    b"UNFLAGGED": _flag(FLAGGED, wanted=False),
    b"UNSEEN": _flag(SEEN, wanted=False),
    b"RECENT": _recent(wanted=True),
    b"OLD": _recent(wanted=False),
    b"NEW": Both((_recent(wanted=True), _flag(SEEN, wanted=False))),
}

_WITH_ARGUMENT: dict[bytes, Callable[[SearchReader], Key]] = {
    b"BCC": lambda reader: reader._addresses("bcc"),
    b"CC": lambda reader: reader._addresses("cc"),
    b"FROM": lambda reader: reader._addresses("from"),
    b"SUBJECT": lambda reader: reader._field("subject"),
    b"TO": lambda reader: reader._addresses("to"),
    b"HEADER": SearchReader._header,
    b"BODY": lambda reader: reader._contains(Place.BODY),
    b"TEXT": lambda reader: reader._contains(Place.TEXT),
    b"BEFORE": lambda reader: reader._arrived(Comparison.BEFORE),
    b"ON": lambda reader: reader._arrived(Comparison.ON),
    b"SINCE": lambda reader: reader._arrived(Comparison.SINCE),
    b"SENTBEFORE": lambda reader: reader._sent(Comparison.BEFORE),
    b"SENTON": lambda reader: reader._sent(Comparison.ON),
    b"SENTSINCE": lambda reader: reader._sent(Comparison.SINCE),
    b"KEYWORD": lambda reader: reader._keyword(wanted=True),
    b"UNKEYWORD": lambda reader: reader._keyword(wanted=False),
    b"LARGER": SearchReader._larger,
    b"SMALLER": SearchReader._smaller,
    b"YOUNGER": SearchReader._younger,
    b"OLDER": SearchReader._older,
    b"UID": SearchReader._uid,
    b"MODSEQ": SearchReader._modseq,
    b"EMAILID": lambda reader: reader._identity(OriginKey.EMAIL),
    b"THREADID": lambda reader: reader._identity(OriginKey.THREAD),
    b"SAVEDBEFORE": lambda reader: reader._saved(OriginKey.SAVED_BEFORE),
    b"SAVEDON": lambda reader: reader._saved(OriginKey.SAVED_ON),
    b"SAVEDSINCE": lambda reader: reader._saved(OriginKey.SAVED_SINCE),
    b"OR": SearchReader._or,
    b"NOT": SearchReader._not,
}


class Searcher:
    """Finds the messages that a tree of keys describes."""

    def __init__(self, selected: Selected) -> None:
        self._selected = selected
        self._work = 0
        self._named = 0

    def find(self, key: Key, among: Collection[int] | None = None) -> Generator[Question | bytes, Any, Sequence[int]]:
        """Return the places that fulfil the key, ascending; ask the store only for what memory cannot say.

        Looks ``among`` these places only, if they are given.
        """
        selected = self._selected
        gone = selected.table().gone
        everywhere: Collection[int] = range(selected.exists) if among is None else among
        if gone:
            everywhere = frozenset(everywhere) - gone
        places, rest = yield from self._narrow(key, everywhere)
        if rest is None or not places:
            return sorted(places)
        uids = [selected.uids[place] for place in sorted(places)]
        found: Sequence[int] = yield SearchMessages(selected.key, uids, rest)
        return [number - 1 for number, _ in selected.numbers_of(found)]

    def _narrow(
        self, key: Key, places: Collection[int]
    ) -> Generator[Question | bytes, Any, tuple[Collection[int], Criterion | None]]:
        """Return the places among these that memory does not rule out, and what the store must say of them."""
        if isinstance(key, Known | Named):
            yield from self._work_on(places)
            return key.find(self._selected, places), None
        if isinstance(key, Origin):
            asked = [self._selected.uids[place] for place in sorted(places)]
            named: Sequence[int] = yield FindOrigins(self._selected.key, asked, key.what, key.text, key.day)
            return frozenset(number - 1 for number, _ in self._selected.numbers_of(named)), None
        if isinstance(key, Both):
            return (yield from self._narrow_both(key, places))
        if isinstance(key, Either):
            return (yield from self._narrow_either(key, places))
        if isinstance(key, Neither):
            among, rest = yield from self._narrow(key.key, places)
            yield from self._work_on(among)
            if rest is None:
                return frozenset(places) - frozenset(among), None
            return places, Not(self._only(among, places, rest))
        return places, key

    def _work_on(self, places: Collection[int]) -> Generator[Question, Any, None]:
        """Count what is going to be looked at; give others their turn now and then."""
        self._work += len(places)
        if self._work > WORK_LIMIT:
            self._work = 0
            yield Pause()

    def _narrow_both(
        self, key: Both, places: Collection[int]
    ) -> Generator[Question | bytes, Any, tuple[Collection[int], Criterion | None]]:
        asked: list[Criterion] = []
        # What memory can say goes first: the store is then asked about fewer messages.
        for part in sorted(key.keys, key=lambda part: not isinstance(part, Known | Named)):
            places, rest = yield from self._narrow(part, places)
            if rest is not None:
                asked.append(rest)
        if not asked:
            return places, None
        return places, asked[0] if len(asked) == 1 else And(tuple(asked))

    def _narrow_either(
        self, key: Either, places: Collection[int]
    ) -> Generator[Question | bytes, Any, tuple[Collection[int], Criterion | None]]:
        certain: frozenset[int] = frozenset()
        possible: frozenset[int] = frozenset()
        asked: list[Criterion] = []
        for part in key.keys:
            among, rest = yield from self._narrow(part, places)
            yield from self._work_on(among)
            if rest is None:
                certain |= frozenset(among)
            else:
                possible |= frozenset(among)
                asked.append(self._only(among, places, rest))
        if not asked:
            return certain, None
        if certain:
            asked.insert(0, self._uid_in(certain))
        return certain | possible, Or(tuple(asked))

    def _only(self, among: Collection[int], places: Collection[int], rest: Criterion) -> Criterion:
        """Return what to ask of ``places`` when ``rest`` matters for those ``among`` them only."""
        return rest if len(among) == len(places) else And((self._uid_in(among), rest))

    def _uid_in(self, places: Collection[int]) -> UidIn:
        self._named += len(places)
        if self._named > NAMED_LIMIT:
            raise CommandRefusedError(responses.TOO_MUCH_TO_SEARCH)
        return UidIn(frozenset(self._selected.uids[place] for place in places))
