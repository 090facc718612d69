"""FETCH and UID FETCH: what there is to know of messages (RFC 3501 section 6.4.5, RFC 7162 section 3.1.4).

A FETCH becomes a plan: which columns to ask for, and a template into which each message's values go. Flags, UIDs and
MODSEQs come from the session's memory; the rest is asked for slice by slice, so that no answer is ever held whole.
"""

from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from functools import partial
from operator import itemgetter
from typing import Any

from mailcore.dialogue import Question
from mailcore.imap import responses
from mailcore.imap.fetch_items import COLUMNS, FetchPlan, read_plan
from mailcore.imap.grammar import Parser
from mailcore.imap.questions import (
    Content,
    Encoded,
    Fetched,
    OriginRow,
    Pause,
    ReadBody,
    ReadDecoded,
    ReadOrigins,
    Refused,
    Span,
    Stored,
    StoreFlags,
    StoreMode,
)
from mailcore.imap.resync import overlap, tell_vanished
from mailcore.imap.selected import Selected, Table
from mailcore.imap.sequences import resolve
from mailcore.imap.talk import Command, Exchange, GoodbyeError, Piece, QuestionRefusedError, Talk
from mailcore.message.transfer import Place
from mailcore.store.flags import SEEN

# Messages in one question, and in one piece of output that comes from memory alone.
SLICE = 1000
MEMORY_SLICE = 2000
# Octets of a large body in one question.
PIECE = 256 * 1024


def _fetch(talk: Talk, arguments: Parser, *, uid: bool) -> Exchange:
    """Answer a FETCH."""
    arguments.space()
    ranges = arguments.sequence_set()
    arguments.space()
    plan = read_plan(arguments, uid=uid, form=talk.form)
    selected = talk.mailbox
    if plan.knows_modseq:
        yield talk.learn_condstore()
    if plan.vanished and plan.changed_since is not None:
        # "*" stands for every UID there has been: what was expunged may have had the last one.
        named = resolve(ranges, selected.snapshot.uidnext - 1)
        yield from tell_vanished(selected, plan.changed_since, overlap(named, [(1, selected.snapshot.uidnext - 1)]))
    places = selected.places(ranges, uid=uid)
    table = selected.table()
    gone = not table.gone.isdisjoint(place for run in places for place in run) if table.gone else False
    if plan.changed_since is not None:
        places = [
            range(place, place + 1) for run in places for place in run if table.modseqs[place] > plan.changed_since
        ]
    elif gone:
        places = [range(place, place + 1) for run in places for place in run if place not in table.gone]
    if plan.partial is not None:
        places = plan.partial.runs(places)
    seen: dict[int, Any] = {}
    if plan.sets_seen and not selected.read_only and "s" in selected.rights:
        seen = yield from _set_seen(talk, selected, table, places)
    fetcher = _Fetcher(talk, selected, plan, table, seen)
    if plan.needs_store:
        yield from fetcher.from_store(places)
    else:
        yield from fetcher.from_memory(places)
    if fetcher.undecoded:
        return responses.UNKNOWN_CTE
    if not uid and (fetcher.missing or gone):
        return responses.EXPUNGE_ISSUED
    return responses.completed(b"UID FETCH" if uid else b"FETCH")


def describing(plan: FetchPlan) -> Callable[[Talk, Collection[int]], Piece]:
    """Return what tells of messages in the selected mailbox that nobody has fetched (RFC 5465 sections 5.2 and 7)."""
    return partial(_describe, plan)


def _describe(plan: FetchPlan, talk: Talk, places: Collection[int]) -> Piece:
    if not places:
        return
    form = talk.form
    wanted = [item for item, shown in ((b"UID", form.shows_uid), (b"MODSEQ", form.condstore)) if shown]
    plan.items += [item.decode("ascii") for item in wanted if item.decode("ascii") not in plan.items]
    plan.finish(form)
    selected = talk.mailbox
    fetcher = _Fetcher(talk, selected, plan, selected.table(), {})
    runs = [range(place, place + 1) for place in places]
    yield from fetcher.from_store(runs) if plan.needs_store else fetcher.from_memory(runs)


def _set_seen(talk: Talk, selected: Selected, table: Table, places: list[range]) -> Any:
    r"""Set ``\Seen`` on what is about to be read; return the new rows by UID.

    A mailbox that cannot be written just now (no room on the disk) can still be read.
    """
    unseen = [selected.uids[place] for run in places for place in run if not table.flags[place] & SEEN]
    if not unseen:
        return {}
    try:
        stored: Stored = yield StoreFlags(selected.key, unseen, StoreMode.ADD, SEEN, (), device=talk.device)
    except QuestionRefusedError:
        return {}
    talk.news = True
    talk.known = {**talk.known, **{row[0]: (row[1], row[2]) for row in stored.rows}}
    return {row[0]: row for row in stored.rows}


class _Fetcher:
    """Carries out one plan over one mailbox."""

    def __init__(self, talk: Talk, selected: Selected, plan: FetchPlan, table: Table, seen: dict[int, Any]) -> None:
        self._selected = selected
        self._plan = plan
        self._table = table
        self._seen = seen
        self._form = talk.form
        self._origins: dict[int, OriginRow] = {}  # of the messages that are being told
        self.undecoded = False  # an encoding is unknown: that section is left out (RFC 3516 section 4.3)
        self.missing = False  # a message was expunged by somebody else before it could be read

    def from_memory(self, places: list[range]) -> Piece:
        """Answer with what the session has at hand."""
        for slice_ in _gathered(places, MEMORY_SLICE):
            yield b"".join(self._heads(slice_, ()))
            if len(slice_) == MEMORY_SLICE:
                yield Pause()

    def from_store(self, places: list[range]) -> Piece:
        """Answer with rows of the store, as many at a time as it likes to give."""
        all_uids = self._selected.uids
        slices = _gathered(places, SLICE)
        next_slice = next(slices, ())
        while slice_ := next_slice:
            next_slice = next(slices, ())
            uids, following = ([all_uids[place] for place in each] for each in (slice_, next_slice))
            done = 0
            while done < len(uids):
                fetched: Fetched = yield self._plan.question(self._selected.key, uids[done:], following)
                wanted = slice_[done : done + fetched.done]
                done += fetched.done
                rows = fetched.rows
                if self._plan.needs_origins:
                    rows = yield from self._with_origins(rows)
                if len(rows) < len(wanted):
                    self.missing = True
                    present = {row[0] for row in rows}
                    wanted = [place for place in wanted if all_uids[place] in present]
                if self._plan.sections:
                    yield from self._with_sections(wanted, rows)
                else:
                    yield b"".join(self._heads(wanted, rows))

    def _with_origins(self, rows: Sequence[Sequence[Any]]) -> Generator[Question, Any, Sequence[Sequence[Any]]]:
        """Ask for identifiers and save dates of these messages; return the rows of those that are still there."""
        uids = [row[0] for row in rows]
        origins: Sequence[OriginRow] = yield ReadOrigins(self._selected.key, uids, "THREADID" in self._plan.items)
        self._origins = {row.uid: row for row in origins}
        return [row for row in rows if row[0] in self._origins]

    def _heads(self, places: Sequence[int], rows: Sequence[Sequence[Any]]) -> list[bytes]:
        """Fill the template for each message. Column by column: a call a message and value would cost more than SQL."""
        columns = [self._column(item, places, rows) for item in self._plan.items]
        numbers = self._column("UID", places, rows) if self._form.uidonly else [place + 1 for place in places]
        return list(map(self._plan.template.__mod__, zip(numbers, *columns, strict=True)))

    def _column(self, item: str, places: Sequence[int], rows: Sequence[Sequence[Any]]) -> list[Any]:
        match item:
            case "UID":
                uids = self._selected.uids
                return [uids[place] for place in places]
            case "FLAGS":
                if self._seen or self._selected.has_recent:
                    return [self._flags(place) for place in places]
                flags, keywords = self._table.flags, self._table.keywords
                return [responses.flag_list(flags[place], keywords[place], False) for place in places]
            case "MODSEQ":
                return [self._modseq(place) for place in places]
            case "INTERNALDATE":
                return [responses.date_time(row[2]) for row in rows]
            case "EMAILID":
                return [self._origins[row[0]].email_id for row in rows]
            case "THREADID":
                return [self._origins[row[0]].thread_id for row in rows]
            case "SAVEDATE":
                return [responses.date_time(self._origins[row[0]].saved_at) for row in rows]
            case "PREVIEW":
                # RFC 8970 section 6: nstring; what is not ASCII goes into a literal, which every client reads.
                return [responses.nstring(row[COLUMNS[item]]) for row in rows]
            case "HEADER" if self._plan.pick_header:
                pick = self._plan.pick_header
                return [pick(row[6]) for row in rows]
            case _:
                return list(map(itemgetter(COLUMNS[item]), rows))

    def _flags(self, place: int) -> bytes:
        selected, table = self._selected, self._table
        uid = selected.uids[place]
        row = self._seen.get(uid) if self._seen else None
        if row is None:
            return selected.flags_of(uid, table.flags[place], table.keywords[place])
        return selected.flags_of(uid, row[1], row[2])

    def _modseq(self, place: int) -> int:
        row = self._seen.get(self._selected.uids[place]) if self._seen else None
        return self._table.modseqs[place] if row is None else row[3]

    def _with_sections(self, places: Sequence[int], rows: Sequence[Sequence[Any]]) -> Piece:
        plan = self._plan
        for place, row, head in zip(places, rows, self._heads(places, rows), strict=True):
            yield head
            gap = b" " if plan.items else b""
            for section, content in zip(plan.sections, row[7], strict=True):
                if content is Refused.UNKNOWN_CTE:
                    self.undecoded = True
                    continue
                yield gap + section.name
                yield from self._content(row[0], section.cut(content), binary=section.is_binary)
                gap = b" "
            if row[0] in self._seen:
                yield self._what_reading_changed(place, row[0])
            yield b")\r\n"

    def _what_reading_changed(self, place: int, uid: int) -> bytes:
        """Add what goes with new flags (RFC 3501 section 6.4.5, RFC 7162 section 3.2.4)."""
        items = self._plan.items
        added = b""
        if "FLAGS" not in items:
            added += b" FLAGS " + self._flags(place)
        if self._form.condstore and "MODSEQ" not in items:
            added += b" MODSEQ (%d)" % self._modseq(place)
        if self._form.shows_uid and "UID" not in items:
            added += b" UID %d" % uid
        return added

    def _content(self, uid: int, content: Content, *, binary: bool) -> Piece:
        match content:
            case bytes():
                yield responses.literal8(content) if binary else responses.literal(content)
            case int():
                yield b"%d" % content
            case Span():
                yield b"{%d}\r\n" % content.length
                yield from self._streamed(uid, content)
            case Encoded():
                size = min(content.most, content.size - content.first)
                yield b"%b{%d}\r\n" % (b"~" if content.has_nul else b"", size)
                yield from self._decoded(uid, content, size)
            case _:
                yield b"NIL"

    def _streamed(self, uid: int, span: Span) -> Piece:
        """Read a large section piece by piece; the next one is asked for when the client has taken what came before."""
        for offset in range(span.offset, span.offset + span.length, PIECE):
            length = min(PIECE, span.offset + span.length - offset)
            yield (yield from _in_literal(ReadBody(self._selected.key, uid, offset, length)))

    def _decoded(self, uid: int, section: Encoded, left: int) -> Piece:
        """Do the same with one that is decoded on the way."""
        place, end, skip = Place(section.offset), section.offset + section.length, section.first
        while left and place.offset < end:
            question = ReadDecoded(self._selected.key, uid, section.encoding, place, end)
            octets, place = yield from _in_literal(question)
            wanted = octets[skip : skip + left]
            skip = max(skip - len(octets), 0)
            left -= len(wanted)
            yield wanted
        if left:
            raise GoodbyeError(b"")  # less came out than was announced


def _in_literal(question: Question) -> Generator[Question, Any, Any]:
    """Ask in the middle of a literal, where no word can be said that would not be taken for the message."""
    try:
        return (yield question)
    except QuestionRefusedError:
        raise GoodbyeError(b"") from None


def _gathered(places: list[range], size: int) -> Iterator[Sequence[int]]:
    """Cut long runs of places into slices, and join short ones."""
    waiting: list[int] = []
    for run in places:
        for start in range(run.start, run.stop, size):
            slice_ = range(start, min(start + size, run.stop))
            if len(waiting) + len(slice_) > size:
                yield waiting
                waiting = []
            waiting += slice_
    if waiting:
        yield waiting


COMMANDS = {
    b"FETCH": Command(partial(_fetch, uid=False), expunges=False),
    b"UID FETCH": Command(partial(_fetch, uid=True)),
}
