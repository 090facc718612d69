"""How results of SEARCH and SORT are asked for and written: RETURN options and ESEARCH responses.

RFC 4731 (MIN, MAX, ALL, COUNT), RFC 5182 (SAVE), RFC 5267 (CONTEXT, UPDATE), RFC 5465 section 7 (what UPDATE tells of
new messages), RFC 9394 (PARTIAL).
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from mailcore.imap import responses, sequences
from mailcore.imap.grammar import NUMBER_LIMIT, Parser, SyntaxRefusedError

if TYPE_CHECKING:
    from mailcore.imap.fetch_items import FetchPlan

_OPTIONS = frozenset({b"MIN", b"MAX", b"ALL", b"COUNT", b"SAVE", b"CONTEXT", b"UPDATE", b"PARTIAL"})
# Without one of them ALL is meant: the others say nothing of what is to be returned.
_RESULTS = frozenset({b"MIN", b"MAX", b"ALL", b"COUNT", b"SAVE", b"PARTIAL"})

# partial-range = nz-number ":" nz-number / MINUS nz-number ":" MINUS nz-number (RFC 9394 section 4)
_PARTIAL = re.compile(rb"(-?)([1-9][0-9]{0,9}):\1([1-9][0-9]{0,9})(?![0-9])")


class Partial(NamedTuple):
    """A page of results: counted from the first one, or from the last. 500:400 is the same as 400:500."""

    first: int
    last: int
    from_end: bool

    def of(self, places: Sequence[int]) -> Sequence[int]:
        """Return that part of a list, in its order."""
        if self.from_end:
            end = len(places) - self.first + 1
            return places[max(end - (self.last - self.first + 1), 0) : max(end, 0)]
        return places[self.first - 1 : self.last]

    def runs(self, runs: Sequence[range]) -> list[range]:
        """Return that part of the places that are in these runs, one after the other."""
        count = sum(map(len, runs))
        wanted = self.of(range(count))
        if not wanted:
            return []
        low, high = wanted[0], wanted[-1] + 1
        part = []
        begin = 0
        for run in runs:
            inside = run[max(low - begin, 0) : max(high - begin, 0)]
            if inside:
                part.append(inside)
            begin += len(run)
        return part

    def __bytes__(self) -> bytes:
        """Write it as a response does."""
        return (b"-%d:-%d" if self.from_end else b"%d:%d") % (self.first, self.last)


def read_partial(arguments: Parser) -> Partial:
    """Take a ``partial-range``."""
    found = arguments.take(_PARTIAL, "a range of results")
    first, last = sorted((int(found[2]), int(found[3])))
    if last > NUMBER_LIMIT:
        raise SyntaxRefusedError("Number out of range")
    return Partial(first, last, bool(found[1]))


@dataclass(frozen=True, slots=True)
class Returns:
    """What is to be returned."""

    options: frozenset[bytes]
    partial: Partial | None = None
    plan: "FetchPlan | None" = None  # what to tell of a new message that comes into a result that is kept up

    def __contains__(self, option: bytes) -> bool:
        """Say whether this is asked for."""
        return option in self.options

    @property
    def is_silent(self) -> bool:
        """There is no ESEARCH response: what was found is saved, and that is all (RFC 5182 section 2.1)."""
        return not self.options & (_RESULTS - {b"SAVE"})

    def reported(self, places: Sequence[int]) -> Sequence[int]:
        """Return the messages that are told one by one, of those found.

        They are what SAVE saves (RFC 5182 section 2.4, RFC 9394 section 3.2) and whose greatest MODSEQ is told (RFC
        4731 section 3.2). With ALL or COUNT, or without a narrower option, that is all of them.
        """
        if self.options & {b"ALL", b"COUNT"} or not self.options & {b"MIN", b"MAX", b"PARTIAL"}:
            return places
        chosen: list[int] = []
        if b"MIN" in self.options:
            chosen += places[:1]
        if b"MAX" in self.options:
            chosen += places[-1:]
        if self.partial is not None:
            chosen += self.partial.of(places)
        return list(dict.fromkeys(chosen))


PLAIN_ALL = Returns(frozenset({b"ALL"}))


def read_returns(arguments: Parser, read_items: Callable[[Parser], "FetchPlan"]) -> Returns | None:
    """Take ``["RETURN" SP "(" [search-return-opt *(SP search-return-opt)] ")" SP]`` (RFC 4466 section 2.6.1).

    ``modifier-update = "UPDATE" [ "(" fetch-att *(SP fetch-att) ")" ]`` (RFC 5465 section 8), where the examples of
    section 7 have a space; ``read_items`` takes what is in the parentheses, and them.
    """
    if not arguments.accept_word(b"RETURN"):
        return None
    arguments.space()
    partials: list[Partial] = []
    plans: list[FetchPlan] = []

    def option() -> bytes:
        name = arguments.word()
        if name not in _OPTIONS:
            raise SyntaxRefusedError("Unknown search result option")
        if name == b"PARTIAL":
            arguments.space()
            partials.append(read_partial(arguments))
        elif name == b"UPDATE" and (arguments.at(b"(") or arguments.at(b" (")):
            arguments.accept(b" ")
            plans.append(read_items(arguments))
        return name

    options = frozenset(arguments.parenthesized(option, empty=True))
    arguments.space()
    # RFC 9394 section 3.1: one PARTIAL, one ALL, or neither.
    if len(partials) + (b"ALL" in options) > 1:
        raise SyntaxRefusedError("Only one of PARTIAL and ALL")
    if not options & _RESULTS:
        options |= {b"ALL"}  # RFC 4731 section 3.1
    return Returns(options, partials[0] if partials else None, plans[0] if plans else None)


def correlator(tag: bytes, mailbox: bytes = b"", uidvalidity: int = 0) -> bytes:
    """Write what an ESEARCH response belongs to: ``search-correlator`` (RFC 4466 section 2.6.2, RFC 7377 section 4)."""
    where = b" MAILBOX %b UIDVALIDITY %d" % (mailbox, uidvalidity) if mailbox else b""
    return b"(TAG %b%b)" % (responses.string(tag), where)


def plain(name: bytes, numbers: Sequence[int], modseq: int) -> bytes:
    """Write a SEARCH or SORT response; ``modseq`` is 0 where MODSEQ was not searched for (RFC 7162 section 3.1.5)."""
    found = b" " + responses.numbers(numbers) if numbers else b""
    return b"* %b%b%b\r\n" % (name, found, b" (MODSEQ %d)" % modseq if modseq else b"")


def extended(belongs_to: bytes, returns: Returns, numbers: Sequence[int], modseq: int, *, uid: bool) -> bytes:
    """Write an ESEARCH response for ``numbers`` in their order, by which MIN is the first (RFC 5267 section 3)."""
    pieces = [belongs_to]
    if uid:
        pieces.append(b"UID")
    if numbers:
        if b"MIN" in returns:
            pieces.append(b"MIN %d" % numbers[0])
        if b"MAX" in returns:
            pieces.append(b"MAX %d" % numbers[-1])
        if b"ALL" in returns:
            pieces.append(b"ALL " + sequences.write(numbers))
    if returns.partial is not None:
        page = sequences.write(returns.partial.of(numbers)) or b"NIL"
        pieces.append(b"PARTIAL (%b %b)" % (bytes(returns.partial), page))
    if b"COUNT" in returns:
        pieces.append(b"COUNT %d" % len(numbers))
    if modseq:
        pieces.append(b"MODSEQ %d" % modseq)
    return b"* ESEARCH %b\r\n" % b" ".join(pieces)
