"""What an IMAP session asks of what surrounds it, and what it expects for an answer: the contract with the store.

Answers are plain values. Any question may instead be answered with a ``Refused``: the command then ends with ``NO``
and that code. What is durable is said at each question: the answer is given only after the commit has reached the disk.

A mailbox is named by its account and its own id together (``MailboxKey``): a row is only ever looked for under its
owner. Mailbox names are text, hierarchy separator "/", "INBOX" always in capitals.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

from mailcore.dialogue import Question
from mailcore.message.envelope import BodySink
from mailcore.store.criteria import Criterion
from mailcore.store.snapshot import Snapshot


class Refused(Enum):
    """Why something was not done. ``responses.py`` says it in IMAP's words (RFC 5530)."""

    NO_SUCH_MAILBOX = "no such mailbox"
    MAILBOX_EXISTS = "mailbox exists"
    NAME_NOT_ALLOWED = "name not allowed"  # too long, too deep, INBOX where it may not be
    HAS_CHILDREN = "has children"  # DELETE of a name that cannot go because of the names below it
    TRY_CREATE = "try create"  # COPY, MOVE, APPEND to a mailbox that is not there
    OVER_QUOTA = "over quota"
    TOO_BIG = "too big"  # one message above the message limit
    LIMIT = "limit"  # too many mailboxes, keywords, messages, or no disk space
    EXPUNGED = "expunged"  # everything that was asked for is gone
    UNAVAILABLE = "unavailable"  # database locked, full or gone: try later


class MailboxKey(NamedTuple):
    """A mailbox under its owner: both go in every query."""

    account: int
    mailbox: int


@dataclass(frozen=True, slots=True)
class MailboxChanged:
    """A notice (``Session.notice``): something is new in a mailbox. The truth is then read by ``ReadChanges``."""

    mailbox: int


# -- Mailboxes --------------------------------------------------------------------------------------------------------


class MailboxRow(NamedTuple):
    """A mailbox as LIST and STATUS show it; every number is kept in the mailbox's row (none is counted at asking)."""

    mailbox: int
    name: str
    special_use: str  # "\\Sent" and the like (RFC 6154), "" for none
    subscribed: bool
    messages: int
    unseen: int
    recent: int  # messages that no read-write session has seen yet
    uidnext: int
    uidvalidity: int
    highestmodseq: int
    size: int  # octets, the sum of RFC822.SIZE


@dataclass(frozen=True, slots=True)
class ListMailboxes(Question):
    """All mailboxes of an account, and all subscribed names. Answer: ``Mailboxes``."""

    account: int


class Mailboxes(NamedTuple):
    """Every mailbox, in no order; and subscribed names that have no mailbox any more (RFC 3501 section 6.3.6)."""

    rows: Sequence[MailboxRow]
    orphaned_subscriptions: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Status(Question):
    """One mailbox by name. Answer: ``MailboxRow`` or ``NO_SUCH_MAILBOX``."""

    account: int
    name: str


@dataclass(frozen=True, slots=True)
class CreateMailbox(Question):
    """Make a mailbox, and what is missing above it (RFC 3501 section 6.3.3). Durable. Answer: its id (int).

    Refused: ``MAILBOX_EXISTS``, ``NAME_NOT_ALLOWED``, ``LIMIT``. A name used before gets a greater UIDVALIDITY.
    """

    account: int
    name: str
    special_use: str = ""


@dataclass(frozen=True, slots=True)
class DeleteMailbox(Question):
    """Remove a mailbox with its messages, not those below it (RFC 3501 section 6.3.4). Durable. Answer: its id (int).

    Refused: ``NO_SUCH_MAILBOX``, ``HAS_CHILDREN``. The session has refused INBOX already.
    """

    account: int
    name: str


@dataclass(frozen=True, slots=True)
class RenameMailbox(Question):
    """Rename a mailbox and everything below it; subscriptions stay with their names. Durable. Answer: ``None``.

    ``INBOX`` as old name: its messages move to a new mailbox, INBOX stays and is empty, what is below INBOX stays (RFC
    3501 section 6.3.5). Refused: ``NO_SUCH_MAILBOX``, ``MAILBOX_EXISTS``, ``NAME_NOT_ALLOWED``, ``LIMIT``.
    """

    account: int
    old_name: str
    new_name: str


@dataclass(frozen=True, slots=True)
class Subscribe(Question):
    """Add a name to the subscribed ones, or take it away. Durable. Answer: ``None``.

    Adding needs the mailbox (``NO_SUCH_MAILBOX``); taking away never fails.
    """

    account: int
    name: str
    subscribed: bool


# -- The selected mailbox ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OpenMailbox(Question):
    """Select a mailbox. Answer: ``Opened`` or ``NO_SUCH_MAILBOX``.

    From the answer on, ``MailboxChanged`` notices reach the session until ``CloseMailbox`` or the connection's end; no
    change after ``Opened.snapshot`` may be missed. ``read_only``: EXAMINE, which claims no recent messages.
    """

    account: int
    name: str
    read_only: bool


class Opened(NamedTuple):
    """A mailbox now selected."""

    key: MailboxKey
    snapshot: Snapshot
    recent_from: int  # messages with this UID or a greater one are \Recent for this session
    special_use: str = ""


@dataclass(frozen=True, slots=True)
class CloseMailbox(Question):
    """The session has left this mailbox: no more notices. Answer: ``None``.

    Without a key: the connection was lost while ``OpenMailbox`` was being answered; leave as soon as it is.
    """

    key: MailboxKey | None


@dataclass(frozen=True, slots=True)
class ReadChanges(Question):
    """What happened in the mailbox after ``since`` (a MODSEQ). Answer: ``Changes``, or ``NO_SUCH_MAILBOX`` if deleted.

    The answer covers at least every change of this process whose commit was answered before this was asked, this
    session's own too; on SQLite those of other processes (worker, web) may follow within moments, with a notice.
    """

    key: MailboxKey
    since: int
    read_only: bool


class Changes(NamedTuple):
    """The mailbox now, and how it got there. New messages are those in the snapshot beyond the old ``uidnext``."""

    snapshot: Snapshot
    updated: Sequence[int]  # UIDs, ascending, whose flags or keywords changed (new messages may be among them)
    vanished: Sequence[int]  # UIDs, ascending, expunged since (may name some that came and went meanwhile)
    recent_from: int  # new messages with this UID or a greater one are \Recent for this session


# -- Messages ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FetchMessages(Question):
    """Columns of messages, by UID (ascending, at most 1,000). Answer: ``Fetched``.

    What is not asked for may be ``None`` in the rows. ``sections`` are cut out of the bodies off the reactor.
    """

    key: MailboxKey
    uids: Sequence[int]
    envelope: bool = False
    structure: bool = False  # BODYSTRUCTURE
    plain_structure: bool = False  # BODY: the same without extension data
    headers: bool = False  # the cached header lines
    sections: tuple["Section", ...] = ()


class Fetched(NamedTuple):
    """Rows (``MessageRow``) of the messages that still exist, ascending.

    The first ``done`` of the UIDs asked for are dealt with: fewer than were asked for when the answer would have
    grown beyond about 1 MB; it is at least one.
    """

    rows: Sequence[Sequence[Any]]
    done: int


class MessageRow(NamedTuple):
    """One message. A plain tuple in this order is as good (it spares 10,000 objects)."""

    uid: int
    size: int  # RFC822.SIZE, octets
    internal_date: int  # seconds since 1970, UTC
    envelope: bytes | None  # as it goes on the wire, with its parentheses
    structure: bytes | None
    plain_structure: bytes | None
    # The header lines whose names are in ``message.summary.CACHED_FIELDS``, in their order, each with its CRLF.
    headers: bytes | None
    sections: "Sequence[bytes | Span | None]"  # as asked; None where the message has no such part


class SectionText(Enum):
    """What of a part is meant (RFC 3501 section 6.4.5)."""

    ALL = ""
    HEADER = "HEADER"
    HEADER_FIELDS = "HEADER.FIELDS"
    HEADER_FIELDS_NOT = "HEADER.FIELDS.NOT"
    TEXT = "TEXT"
    MIME = "MIME"


@dataclass(frozen=True, slots=True)
class Section:
    """``BODY[…]``: a part by its numbers (empty: the message itself) and what of it; ``fields`` in upper case."""

    part: tuple[int, ...] = ()
    text: SectionText = SectionText.ALL
    fields: tuple[bytes, ...] = ()


class Span(NamedTuple):
    """A section too large to answer at once: where it lies in the message. Its octets come by ``ReadBody``."""

    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class ReadBody(Question):
    """Octets of a message, at most 256 KiB at once. Answer: exactly so many ``bytes``; ``EXPUNGED`` if it is gone."""

    key: MailboxKey
    uid: int
    offset: int
    length: int


class StoreMode(Enum):
    """What STORE does with the flags named."""

    REPLACE = "FLAGS"
    ADD = "+FLAGS"
    REMOVE = "-FLAGS"


@dataclass(frozen=True, slots=True)
class StoreFlags(Question):
    """Change flags and keywords of messages. Durable. Answer: ``Stored``. Refused: ``LIMIT`` (too many keywords).

    One MODSEQ for all messages that really change; a message that would not change keeps its own. Messages that no
    longer exist are left out. With ``unchanged_since`` a message whose MODSEQ is greater is left alone and returned in
    ``failed`` (RFC 7162 section 3.1.3). Keywords are the same whatever their letter case; the first spelling stays.
    """

    key: MailboxKey
    uids: Sequence[int]
    mode: StoreMode
    flags: int
    keywords: tuple[str, ...]
    unchanged_since: int | None = None


class Stored(NamedTuple):
    """Rows (``FlagsRow``) of all that exist and were not refused, changed or not, and the refused; both ascending."""

    rows: Sequence[Sequence[Any]]
    failed: Sequence[int]


class FlagsRow(NamedTuple):
    """A message's flags after a STORE."""

    uid: int
    flags: int
    keywords: tuple[str, ...]
    modseq: int


@dataclass(frozen=True, slots=True)
class Expunge(Question):
    """Remove messages flagged as deleted: all of them, or those among ``uids``. Durable. Answer: ``Expunged``."""

    key: MailboxKey
    uids: Sequence[int] | None = None


class Expunged(NamedTuple):
    """What was removed (UIDs, ascending) and the mailbox's MODSEQ after it."""

    uids: Sequence[int]
    modseq: int


@dataclass(frozen=True, slots=True)
class CopyMessages(Question):
    """Copy messages with flags and internal date to a mailbox of the same account; all or none. Durable.

    ``move``: and remove them from the source in the same transaction, flagged as deleted or not (RFC 6851). Answer:
    ``Copied``. Refused: ``TRY_CREATE``, ``OVER_QUOTA``, ``LIMIT``, ``EXPUNGED``. Messages that no longer exist are left
    out.
    """

    source: MailboxKey
    uids: Sequence[int]
    target: str
    move: bool = False


class Copied(NamedTuple):
    """For COPYUID (RFC 4315): parallel UIDs in source and target. Both empty when nothing was there to copy."""

    uidvalidity: int
    source_uids: Sequence[int]
    target_uids: Sequence[int]


class AppendedMessage(NamedTuple):
    """One message of an APPEND. ``body`` is what ``new_body()`` made, complete; from here on it is the answerer's."""

    body: BodySink
    flags: int
    keywords: tuple[str, ...]
    internal_date: int | None  # seconds since 1970; None: now


@dataclass(frozen=True, slots=True)
class CheckAppend(Question):
    """May messages be appended here? Asked before a large literal is invited (RFC 3501 section 6.3.11).

    Answer: ``None``. Refused: ``TRY_CREATE``, ``OVER_QUOTA``, ``TOO_BIG``, ``LIMIT``. ``size`` is in octets.
    """

    account: int
    name: str
    size: int


@dataclass(frozen=True, slots=True)
class AppendMessages(Question):
    """Put messages into a mailbox, all or none (RFC 3502). Durable. Answer: ``Appended``.

    Refused: ``TRY_CREATE``, ``OVER_QUOTA``, ``TOO_BIG``, ``LIMIT``.
    """

    account: int
    name: str
    messages: Sequence[AppendedMessage]

    def dropped(self) -> None:
        """Let go of the bodies, which were nobody else's any more."""
        for message in self.messages:
            message.body.abandon()


class Appended(NamedTuple):
    """For APPENDUID (RFC 4315): UIDs in the order of the messages."""

    uidvalidity: int
    uids: Sequence[int]


@dataclass(frozen=True, slots=True)
class SearchMessages(Question):
    """Which of these messages fulfil the criterion? Answer: their UIDs (sequence of int), ascending."""

    key: MailboxKey
    uids: Sequence[int]
    criterion: Criterion


@dataclass(frozen=True, slots=True)
class Pause(Question):
    """Nothing: a long answer from memory lets other sessions have their turn, and the client read. Answer: ``None``."""
