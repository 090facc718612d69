"""The selected mailbox as one client knows it: which messages it has been told of, and what to tell it next.

Message numbers are places in the list of UIDs that were *announced* to this client; they change only when it is told
of an EXPUNGE (RFC 3501 section 7.4.1). The mailbox itself is a snapshot shared with all other sessions, and as long
as the client has been told everything the list is the snapshot's own: an idle session costs no list of its own.
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from mailcore.imap import responses
from mailcore.imap.contexts import Context
from mailcore.imap.forms import Form
from mailcore.imap.questions import Changes, MailboxKey, Opened
from mailcore.imap.sequences import SAVED, Ranges, highest, resolve, slices_of_uids
from mailcore.store.snapshot import Snapshot

# Flags and keywords that the client knows already, by UID: what its own STORE was answered.
Known: TypeAlias = Mapping[int, tuple[int, tuple[str, ...]]]


class NoSuchMessageError(ValueError):
    """A message number beyond the last one (RFC 3501 section 9, ``seq-number``). The message is for the client."""


@dataclass(frozen=True, slots=True)
class Table:
    """Flags, keywords and MODSEQs in the places of the announced messages. ``gone`` are places of expunged ones."""

    flags: Sequence[int]
    keywords: Sequence[tuple[str, ...]]
    modseqs: Sequence[int]
    gone: frozenset[int] = frozenset()


class Selected:
    """One client's view of one mailbox."""

    __slots__ = (
        "_keywords",
        "_pending",
        "_recent",
        "_saved",
        "_table",
        "_tells_recent",
        "contexts",
        "key",
        "name",
        "read_only",
        "rights",
        "snapshot",
        "uids",
    )

    def __init__(self, name: str, opened: Opened, *, read_only: bool, rev2: bool = False) -> None:
        self.name = name
        self.key: MailboxKey = opened.key
        self.read_only = read_only
        self.rights = opened.rights
        self.snapshot: Snapshot = opened.snapshot
        self.uids: Sequence[int] = opened.snapshot.uids  # announced, ascending
        self._table: Table | None = None  # where it is not the snapshot's own
        self._pending: set[int] = set()  # announced, expunged, and not yet said to be
        self._saved: array[int] = array("I")  # first and last UID of each run of saved messages (RFC 5182)
        self.contexts: dict[bytes, Context] = {}  # searches to be kept up, by their tags (RFC 5267)
        self._recent: list[range] = []
        self._tells_recent = not rev2
        self._claim(opened.recent_from)
        self._keywords: dict[str, str] = {}
        self._learn(opened.snapshot.keywords)

    # -- What there is ------------------------------------------------------------------------------------------------

    @property
    def exists(self) -> int:
        """The number of messages that the client knows of."""
        return len(self.uids)

    @property
    def recent(self) -> int:
        r"""How many of them are ``\Recent``."""
        return sum(
            bisect_left(self.uids, uids.stop) - bisect_left(self.uids, uids.start) for uids in self._recent if self.uids
        )

    @property
    def keywords(self) -> tuple[str, ...]:
        """All keywords that the client has been told of."""
        return tuple(self._keywords.values())

    @property
    def has_pending(self) -> bool:
        """There are expunged messages that the client has not been told of."""
        return bool(self._pending)

    @property
    def has_recent(self) -> bool:
        r"""There are messages that are ``\Recent`` for this session."""
        return bool(self._recent)

    def ignore_recent(self) -> None:
        r"""Say nothing of ``\Recent`` any more: IMAP4rev2 does not know it (RFC 9051 appendix E, item 12)."""
        self._tells_recent = False
        self._recent.clear()

    def is_recent(self, uid: int) -> bool:
        r"""Say whether this session is the first to see the message."""
        for uids in self._recent:  # noqa: SIM110 - asked 10,000 times for one FETCH: any() takes three times as long
            if uids.start <= uid < uids.stop:
                return True
        return False

    def table(self) -> Table:
        """Return flags, keywords and MODSEQs in the places of the announced messages."""
        snapshot = self.snapshot
        if self.uids is snapshot.uids:
            return Table(snapshot.flags, snapshot.keywords, snapshot.modseqs)
        if self._table is None:
            self._table = self._aligned_table()
        return self._table

    def _aligned_table(self) -> Table:
        """Put holes into the snapshot where messages are gone that the client has not been told of."""
        snapshot = self.snapshot
        flags, modseqs = array("B"), array("Q")
        keywords: list[tuple[str, ...]] = []
        gone = [number - 1 for number, _ in self.numbers_of(sorted(self._pending))]
        done = 0  # of the snapshot
        for missing, place in enumerate(gone):
            end = place - missing
            flags += snapshot.flags[done:end]
            keywords += snapshot.keywords[done:end]
            modseqs += snapshot.modseqs[done:end]
            flags.append(0)
            keywords.append(())
            modseqs.append(0)
            done = end
        flags += snapshot.flags[done:]
        keywords += snapshot.keywords[done:]
        modseqs += snapshot.modseqs[done:]
        return Table(flags, keywords, modseqs, frozenset(gone))

    def numbers_of(self, uids: Iterable[int]) -> Iterator[tuple[int, int]]:
        """Pair each announced UID among these with its message number."""
        own = self.uids
        place = -1
        for uid in uids:
            place += 1  # they are mostly neighbours
            if place >= len(own) or own[place] != uid:
                place = bisect_left(own, uid)
                if place >= len(own) or own[place] != uid:
                    continue
            yield place + 1, uid

    def places(self, ranges: Ranges, *, uid: bool) -> list[range]:
        """Return the places (message number less one) that a set names; raises ``NoSuchMessageError``.

        UIDs that are not there are passed over in silence (RFC 3501 section 6.4.8), and so is what was saved and has
        been expunged since (RFC 5182 section 2.1).
        """
        if ranges is SAVED:
            bounds = self._saved
            return slices_of_uids(tuple(zip(bounds[::2], bounds[1::2], strict=True)), self.uids)
        if uid:
            return slices_of_uids(ranges, self.uids)
        if not self.uids:
            raise NoSuchMessageError("There are no messages")
        if highest(ranges) > len(self.uids):
            raise NoSuchMessageError("No such message number")
        return [range(low - 1, high) for low, high in resolve(ranges, len(self.uids))]

    def save(self, places: Iterable[int]) -> None:
        """Let ``$`` stand for the messages in these places, ascending, from now on (RFC 5182 section 2.1).

        New messages have greater UIDs than all that are there: a run of neighbours stays what it is.
        """
        bounds = array("I")
        last = -2
        for place in places:
            uid = self.uids[place]
            if place == last + 1:
                bounds[-1] = uid
            else:
                bounds.extend((uid, uid))
            last = place
        self._saved = bounds

    @property
    def pending(self) -> frozenset[int]:
        """UIDs of expunged messages that the client has not been told of."""
        return frozenset(self._pending)

    def uids_of(self, places: Iterable[range]) -> Sequence[int]:
        """Return the UIDs in these places, without those that are known to be expunged."""
        chosen = array("I")
        for run in places:
            chosen.extend(self.uids[run.start : run.stop])
        return array("I", [uid for uid in chosen if uid not in self._pending]) if self._pending else chosen

    def _index(self, uid: int) -> int | None:
        uids = self.snapshot.uids
        index = bisect_left(uids, uid)
        return index if index < len(uids) and uids[index] == uid else None

    # -- What to tell -------------------------------------------------------------------------------------------------

    def absorb(
        self, changes: Changes, *, expunges: bool, known: Known, form: Form, flags: bool = True
    ) -> Iterator[bytes]:
        """Take what has happened; the untagged responses that tell it come one after the other.

        ``expunges``: EXPUNGE may be said now; otherwise it waits. ``known``: what need not be told again.
        ``flags``: what others did to flags is told. Take the responses to their end before anything else is asked of
        this mailbox.
        """
        self._pending.update(uid for _, uid in self.numbers_of(changes.vanished))
        old_end, old_recent = self.snapshot.uidnext, self.recent
        new_from = bisect_left(changes.snapshot.uids, old_end)
        arrived = len(changes.snapshot.uids) - new_from
        self.snapshot = changes.snapshot
        self._table = None
        if expunges and self._pending:
            yield from self._tell_expunged(form)
        if not self._pending:
            self.uids = changes.snapshot.uids
        elif arrived:
            self.uids = array("I", [*self.uids, *changes.snapshot.uids[new_from:]])
        if arrived:
            self._claim(max(changes.recent_from, old_end))
            yield self.introduce(changes.snapshot.keywords[new_from:])
            yield b"* %d EXISTS\r\n" % self.exists
        # RFC 3501 section 7.3.2: also when a message has gone.
        if self._tells_recent and (arrived or self.recent != old_recent):
            yield b"* %d RECENT\r\n" % self.recent
        if flags:
            yield from self._tell_flags(changes.updated, old_end, known, form)

    def flags_of(self, uid: int, flags: int, keywords: tuple[str, ...]) -> bytes:
        r"""Write the flags of a message, with ``\Recent`` where it is this session's to see."""
        return responses.flag_list(flags, keywords, bool(self._recent) and self.is_recent(uid))

    def introduce(self, keywords: Iterable[tuple[str, ...]]) -> bytes:
        """Return a FLAGS response if there are keywords that the client has not seen yet (RFC 3501 section 7.2.6)."""
        if self._learn(keywords):
            return b"* FLAGS %b\r\n" % responses.flag_list(responses.ALL_FLAGS, self.keywords)
        return b""

    def _learn(self, keywords: Iterable[tuple[str, ...]]) -> bool:
        before = len(self._keywords)
        for words in set(keywords):
            for word in words:
                self._keywords.setdefault(word.lower(), word)
        return len(self._keywords) > before

    def _claim(self, recent_from: int) -> None:
        end = self.snapshot.uidnext
        if recent_from >= end or not self._tells_recent:
            return
        if self._recent and self._recent[-1].stop >= recent_from:
            self._recent[-1] = range(self._recent[-1].start, end)
        else:
            self._recent.append(range(recent_from, end))

    def _tell_expunged(self, form: Form) -> Iterator[bytes]:
        """Say that those which wait are expunged."""
        told, gone = self.uids, sorted(self._pending)
        yield from form.expunged(self.numbers_of(gone))
        self.uids = array("I", [uid for uid in told if uid not in self._pending])
        self._pending.clear()

    def _tell_flags(self, updated: Sequence[int], old_end: int, known: Known, form: Form) -> Iterator[bytes]:
        snapshot = self.snapshot
        # What came only now is fetched by the client when it wants it.
        told = self.uids is snapshot.uids
        for number, uid in self.numbers_of(updated[: bisect_left(updated, old_end)]):
            index = number - 1 if told else self._index(uid)
            if index is None:
                continue
            flags, keywords = snapshot.flags[index], snapshot.keywords[index]
            if known.get(uid) == (flags, keywords):
                continue
            yield self.introduce((keywords,))
            items = [b"FLAGS " + self.flags_of(uid, flags, keywords)]
            if form.condstore:
                items.append(b"MODSEQ (%d)" % snapshot.modseqs[index])
            yield form.fetch(number, uid, items)
