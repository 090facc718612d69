"""What sorting and threading ask of every message, remembered per mailbox in the process, within a bound in bytes.

None of it ever changes for a UID: what was read once stays true, and only new messages are read. Reading goes in
slices, each for one turn of a database thread:

    gathering = Gathering(owner, mailbox, uids, kind)
    while await doors.database(gathering.step): ...
    gathering.uids, gathering.values      # of the messages that are there
"""

import re
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from functools import lru_cache
from sys import getsizeof
from typing import Any, Final, Protocol, Self

from django.db import connection

from mailcore.message.addresses import parse_addresses
from mailcore.message.collation import casemap
from mailcore.message.headers import decode_text, unfold
from mailcore.message.subjects import base_subject
from mailcore.message.threads_of_mail import ThreadFacts
from mailcore.store.models import Mailbox, Message, Structure
from mailcore.store.remembered import Remembered
from mailcore.store.uidsets import among, around

# Bytes that are remembered of all mailboxes together.
CACHE_LIMIT = 48 * 1024 * 1024
# Rows of one slice: narrow ones, and those with header lines at first; then as many as fit in the bytes.
SLICE = 5000
FIRST_SLICE = 100
SLICE_BYTES = 1024 * 1024
# References of one message that count: the last ones, which are nearest to it.
REFERENCES_LIMIT = 1000

_FROM = (
    f'FROM "{Message._meta.db_table}" m JOIN "{Mailbox._meta.db_table}" b ON b.id = m.mailbox_id AND b.owner_id = %s '
)
_WITH_STRUCTURE = f'JOIN "{Structure._meta.db_table}" s ON s.body_id = m.body_id '


class Kind(Enum):
    """What is remembered of messages."""

    ARRIVAL = auto()
    SENT = auto()
    SIZE = auto()
    SUBJECT = auto()
    FROM = auto()
    TO = auto()
    CC = auto()
    DISPLAYFROM = auto()
    DISPLAYTO = auto()
    THREAD = auto()


class Values(Protocol):
    """The values of some messages, in parallel to their UIDs."""

    @property
    def bytes(self) -> int:
        """About what they take in memory."""

    def new(self) -> Self:
        """Return an empty one of the same type."""

    def read(self, row: Sequence[Any]) -> None:
        """Add a message at the end: its row without the UID."""

    def take(self, other: Self, places: Sequence[int]) -> None:
        """Add those of the messages of another."""


class Numbers:
    """A number for each message."""

    def __init__(self) -> None:
        self.values: array[int] = array("q")

    @property
    def bytes(self) -> int:
        """About what they take in memory."""
        return 8 * len(self.values) + 500

    def new(self) -> Self:
        """Return an empty one."""
        return type(self)()

    def read(self, row: Sequence[Any]) -> None:
        """Add what the statement gives."""
        self.values.append(row[0])

    def take(self, other: Self, places: Sequence[int]) -> None:
        """Add those of the messages of another."""
        self.values.extend([other.values[place] for place in places])


class Texts:
    """A text for each message, mapped to what is compared (RFC 5051); the same text is kept once."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self._known: dict[str, str] = {}
        self._size = 0
        self.values: list[str] = []

    @property
    def bytes(self) -> int:
        """About what they take in memory."""
        return 8 * len(self.values) + self._size + 500

    def new(self) -> "Texts":
        """Return an empty one."""
        return Texts(self._kind)

    def read(self, row: Sequence[Any]) -> None:
        """Find it in the header lines."""
        name, find = _TEXTS[self._kind]
        self._add(casemap(find(_all(row[0], name))))

    def take(self, other: "Texts", places: Sequence[int]) -> None:
        """Add those of the messages of another."""
        for place in places:
            self._add(other.values[place])

    def _add(self, text: str) -> None:
        known = self._known.get(text)
        if known is None:
            known = self._known[text] = text
            self._size += getsizeof(text) + 100
        self.values.append(known)


class Facts:
    """What threading wants to know."""

    def __init__(self) -> None:
        self.facts = ThreadFacts()

    @property
    def bytes(self) -> int:
        """About what they take in memory."""
        return self.facts.bytes

    def new(self) -> Self:
        """Return an empty one."""
        return type(self)()

    def read(self, row: Sequence[Any]) -> None:
        """Find them in the header lines."""
        sent, lines = row
        values = _firsts(bytes(lines))
        subject = values.get(b"subject", b"")
        subject_hash, is_reply = (_known_subject if len(subject) < 200 else _compared_subject)(subject)
        identity = message_ids(values.get(b"message-id", b""))
        # Without a valid reference the first valid Message-ID of In-Reply-To is the only one (RFC 5256 section 3).
        references = (
            message_ids(values.get(b"references", b""))[-REFERENCES_LIMIT:]
            or message_ids(values.get(b"in-reply-to", b""))[:1]
        )
        self.facts.add(
            sent,
            subject_hash,
            hash(identity[0]) if identity else 0,
            list(map(hash, references)),
            is_reply=is_reply,
        )

    def take(self, other: Self, places: Sequence[int]) -> None:
        """Add those of the messages of another."""
        self.facts.take(other.facts, places)


# -- Header lines -----------------------------------------------------------------------------------------------------

_VALUE: Final = re.compile(rb"[ \t\r]*+:([^\n]*+(?:\n[ \t][^\n]*+)*+)")
_THREADING: Final = re.compile(rb"\n(subject|message-id|references|in-reply-to)" + _VALUE.pattern)
# msg-id = "<" id-left "@" id-right ">" (RFC 5322 section 3.6.4), with the quoted strings of its obsolete form.
_MESSAGE_ID: Final = re.compile(rb"<\s*+((?:[^\s<>\"@]++|\"(?:[^\"\\\r\n]++|\\.)*+\")++@[^\s<>@]++)\s*+>")
_QUOTED: Final = re.compile(rb"\"((?:[^\"\\]++|\\.)*+)\"")
_ESCAPED: Final = re.compile(rb"\\(.)")


def _values(lines: bytes, lowered: bytes, name: bytes) -> Iterator[bytes]:
    """Give the values of a field; ``lowered`` are the lines in lower case behind a line end."""
    needle = b"\n" + name
    at = lowered.find(needle)
    while at >= 0:
        if value := _VALUE.match(lines, at + len(name)):
            yield value[1]
        at = lowered.find(needle, at + 1)


def _firsts(lines: bytes) -> dict[bytes, bytes]:
    """Return the first value of each field that threading needs; one look at the lines, many thousand messages long."""
    found: dict[bytes, bytes] = {}
    for field in _THREADING.finditer(b"\n" + lines.lower()):
        found.setdefault(field[1], lines[field.start(2) - 1 : field.end(2) - 1])
    return found


def _all(lines: bytes, name: bytes) -> list[bytes]:
    lines = bytes(lines)
    return list(_values(lines, b"\n" + lines.lower(), name))


def _compared_subject(value: bytes) -> tuple[int, bool]:
    """Return what threading compares of a subject."""
    subject = base_subject(decode_text(value))
    return hash(casemap(subject.text)), subject.is_reply


# The messages of one thread come one after the other.
_known_subject = lru_cache(maxsize=2048)(_compared_subject)


def message_ids(value: bytes) -> list[bytes]:
    """Return the Message-IDs in a value, without what may be written in two ways: quotes (RFC 5256 section 3)."""
    found: list[bytes] = _MESSAGE_ID.findall(value)
    if b'"' in value:
        found = [_QUOTED.sub(lambda quoted: _ESCAPED.sub(rb"\1", quoted[1]), each) for each in found]
    return found


def _subject(values: list[bytes]) -> str:
    return base_subject(decode_text(values[0])).text if values else ""


def _mailbox(values: list[bytes]) -> str:
    """Return addr-mailbox of the first address, as ENVELOPE has it (RFC 5256 section 3)."""
    addresses = parse_addresses(unfold(b",".join(values)), 1)
    return (addresses[0].mailbox or b"").decode("utf-8", "replace") if addresses else ""


def _display(values: list[bytes]) -> str:
    """Return the name of the first address, or the address itself; of a group its name (RFC 5957 section 3)."""
    addresses = parse_addresses(unfold(b",".join(values)), 1)
    if not addresses:
        return ""
    name, _, mailbox, host = addresses[0]
    if shown := decode_text(name or b""):
        return shown
    if host is None:
        return decode_text(mailbox or b"")
    return (b"%b@%b" % (mailbox or b"", host) if host else mailbox or b"").decode("utf-8", "replace")


_TEXTS: Final = {
    Kind.SUBJECT: (b"subject", _subject),
    Kind.FROM: (b"from", _mailbox),
    Kind.TO: (b"to", _mailbox),
    Kind.CC: (b"cc", _mailbox),
    Kind.DISPLAYFROM: (b"from", _display),
    Kind.DISPLAYTO: (b"to", _display),
}


# -- Reading and remembering ------------------------------------------------------------------------------------------

# RFC 5256 section 2.2: where the Date field says nothing, the internal date is the sent date.
_SENT: Final = "COALESCE(s.sent_at, m.internal_date)"
_COLUMNS: Final = {
    Kind.ARRIVAL: "m.internal_date",
    Kind.SIZE: "m.size",
    Kind.SENT: _SENT,
    Kind.THREAD: f"{_SENT}, s.fields",
}


def _empty(kind: Kind) -> Any:
    if kind in _TEXTS:
        return Texts(kind)
    return Facts() if kind is Kind.THREAD else Numbers()


@dataclass(frozen=True, slots=True)
class Column:
    """What is remembered of one mailbox: nothing in it is changed any more."""

    uids: "array[int]"
    values: Any


# The columns of this process, by owner, mailbox and kind.
columns: Remembered[tuple[int, int, Kind], Column] = Remembered(CACHE_LIMIT)


class Gathering:
    """Gathers one kind of values for some messages (UIDs, ascending), from memory and from the database."""

    def __init__(self, owner: int, mailbox: int, uids: Sequence[int], kind: Kind) -> None:
        self._owner = owner
        self._mailbox = mailbox
        self._kind = kind
        self._wanted = array("I", uids)
        self._known: Column | None = None
        self._missing: Sequence[int] | None = None
        self._done = 0
        self._slice = FIRST_SLICE
        self._read_uids: array[int] = array("I")
        self._read: Any = _empty(kind)
        # What has come of it: UIDs of the messages that are there, ascending, and their values.
        self.uids: Sequence[int] = ()
        self.values: Any = None

    def step(self) -> bool:
        """Take one slice; ``True`` while there is more to do. In a database thread."""
        if self._missing is None:
            self._begin()
        elif self._done < len(self._missing):
            self._read_some(self._missing)
        if self._missing is not None and self._done < len(self._missing):
            return True
        self._finish()
        return False

    def _begin(self) -> None:
        self._known = known = columns.get((self._owner, self._mailbox, self._kind))
        if known is None:
            self._missing = self._wanted
        elif known.uids == self._wanted:
            self._missing = ()
        else:
            self._missing = sorted(set(self._wanted).difference(known.uids))

    def _read_some(self, missing: Sequence[int]) -> None:
        narrow = self._kind in {Kind.ARRIVAL, Kind.SIZE, Kind.SENT}
        part = missing[self._done : self._done + (SLICE if narrow else self._slice)]
        # The primary key of a message is its mailbox and UID: to read on is faster than to look up each.
        where = around(part, "m.uid") or among(part, "m.uid")
        wanted = set(part)
        source = _FROM if self._kind in {Kind.ARRIVAL, Kind.SIZE} else _FROM + _WITH_STRUCTURE
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT m.uid, {_COLUMNS.get(self._kind, 's.fields')} {source} "
                f"WHERE m.mailbox_id = %s AND {where.sql} ORDER BY m.uid",
                [self._owner, self._mailbox, *where.parameters],
            )
            rows = cursor.fetchall()
        taken = 0
        for row in rows:
            if row[0] in wanted:
                self._read_uids.append(row[0])
                self._read.read(row[1:])
                taken += 0 if narrow else len(row[-1])
        self._done += len(part)
        if not narrow:
            self._slice = max(1, min(2 * self._slice, SLICE_BYTES * len(part) // max(taken, 1), SLICE))

    def _finish(self) -> None:
        known = self._known
        if known is None or not known.uids:
            self.uids, self.values = self._read_uids, self._read
        elif known.uids == self._wanted:
            self.uids, self.values = known.uids, known.values
            return
        else:
            self._join(known)
        # What was asked of a few is not worth forgetting the rest for.
        if known is None or 2 * len(self.uids) >= len(known.uids):
            column = Column(array("I", self.uids), self.values)
            columns.put((self._owner, self._mailbox, self._kind), column, 4 * len(self.uids) + self.values.bytes)

    def _join(self, known: Column) -> None:
        """Put together what was known and what was read."""
        values = known.values.new()
        uids: array[int] = array("I")
        last = known.uids[-1]
        border = bisect_left(self._wanted, last + 1)
        places = {uid: place for place, uid in enumerate(known.uids)}
        if not self._read_uids or self._read_uids[0] > last:  # only new mail: the rule
            old = [uid for uid in self._wanted[:border] if uid in places]
            values.take(known.values, [places[uid] for uid in old])
            values.take(self._read, range(len(self._read_uids)))
            self.uids, self.values = array("I", [*old, *self._read_uids]), values
            return
        read = {uid: place for place, uid in enumerate(self._read_uids)}
        for uid in self._wanted:
            if uid in places:
                values.take(known.values, (places[uid],))
            elif uid in read:
                values.take(self._read, (read[uid],))
            else:
                continue
            uids.append(uid)
        self.uids, self.values = uids, values
