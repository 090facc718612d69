"""What an IMAP session asks of what surrounds it, and what it expects for an answer: the contract with the store.

Answers are plain values. Any question may instead be answered with a ``Refused``: the command then ends with ``NO``
and that code. What is durable is said at each question: the answer is given only after the commit has reached the disk.

A mailbox is named by its owner's account and its own id together (``MailboxKey``): a row is only ever looked for under
its owner. Mailbox names are text, hierarchy separator "/", "INBOX" always in capitals; those of others begin with
"Other Users/". Whoever asks by name has their rights looked at (RFC 4314): every such question may be refused with
``NO_PERMISSION`` where the account may know of the mailbox, and with ``NO_SUCH_MAILBOX`` where it may not.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import Enum
from typing import Any, NamedTuple, TypeAlias

from mailcore.dialogue import Pause as Pause  # noqa: PLC0414 - it is one of these questions
from mailcore.dialogue import Question
from mailcore.message.envelope import BodySink
from mailcore.message.transfer import Place
from mailcore.store.criteria import Criterion
from mailcore.store.rights import ALL_RIGHTS
from mailcore.store.snapshot import Snapshot
from mailcore.store.sort_keys import Algorithm, SortCriterion


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
    UNKNOWN_CTE = "unknown encoding"  # a Content-Transfer-Encoding that nobody can undo (RFC 3516 section 4.3)
    NO_PERMISSION = "no permission"  # of a mailbox whose existence the account may know (RFC 4314 section 2.1)
    NO_SUCH_IDENTIFIER = "no such identifier"  # of an access control list
    OWNER_RIGHTS = "owner's rights"  # they cannot be changed
    USE_NOT_ALLOWED = "use not allowed"  # RFC 6154 section 3: not supported, or another mailbox's
    TOO_MANY_ENTRIES = "too many entries"  # of metadata
    VALUE_TOO_LONG = "value too long"  # of metadata
    NO_SUCH_QUOTA_ROOT = "no such quota root"
    UNAVAILABLE = "unavailable"  # database locked, full or gone: try later


class MailboxKey(NamedTuple):
    """A mailbox under its owner, who need not be who asks: both go in every query."""

    account: int
    mailbox: int


@dataclass(frozen=True, slots=True)
class MailboxChanged:
    """A notice (``Session.notice``): something is new in a mailbox. The truth is then read by ``ReadChanges``."""

    mailbox: int


@dataclass(frozen=True, slots=True)
class ForgetLogin(Question):
    """Nobody is logged in any more, and the connection goes on (RFC 8437). Answer: ``None``."""


# Instead of a mailbox's id: names or subscriptions of the account have changed; or anything may have; or annotations.
NAMES = 0
EVERYTHING = -1
ANNOTATIONS = -2


@dataclass(frozen=True, slots=True)
class AccountChanged:
    """A notice: something is new in one of the mailboxes that ``WatchAccount`` is about, or in their names."""

    mailbox: int


@dataclass(frozen=True, slots=True)
class WatchAccount(Question):
    """Hear of all mailboxes of an account and of these ones of others. Answer: ``None``.

    From the answer on ``AccountChanged`` notices reach the session, until it asks again or the connection ends. With 0
    for the account: hear of nothing.
    """

    account: int
    foreign: frozenset[int]


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
    rights: str = ALL_RIGHTS  # of who asks
    deleted: int = 0  # messages with \\Deleted, where that was asked for
    deleted_size: int = 0  # octets


@dataclass(frozen=True, slots=True)
class ListMailboxes(Question):
    """All mailboxes that an account may see, and all subscribed names. Answer: ``Mailboxes``."""

    account: int


@dataclass(frozen=True, slots=True)
class CountDeleted(Question):
    """How many messages in these mailboxes are flagged as deleted? Answer: ``(count, octets)`` by mailbox.

    For mailboxes that an answer has named; a mailbox without any may be missing. It takes a look at every message.
    """

    mailboxes: Sequence[int]


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

    Refused: ``MAILBOX_EXISTS``, ``NAME_NOT_ALLOWED``, ``LIMIT``, ``USE_NOT_ALLOWED``. A name used before gets a greater
    UIDVALIDITY. ``special_use``: attributes of RFC 6154 with spaces between.
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


class Acl(NamedTuple):
    """The access control list of a mailbox: identifiers in their canonical form, and rights."""

    entries: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class GetAcl(Question):
    """Who may do what in a mailbox (RFC 4314 section 3.3)? Answer: ``Acl``, the owner first."""

    account: int
    name: str


@dataclass(frozen=True, slots=True)
class ChangeAcl(Question):
    """Give, add or take rights (RFC 4314 sections 3.1 and 3.2). Durable. Answer: ``None``.

    ``mode`` is "+" to add, "-" to remove, "" to replace. ``address`` is the client's, for the audit log. Refused:
    ``NO_SUCH_IDENTIFIER``, ``OWNER_RIGHTS``, ``LIMIT``.
    """

    account: int
    name: str
    identifier: str
    mode: str
    rights: str
    address: str


class Grantable(NamedTuple):
    """Rights that an identifier always has in a mailbox, and those that it may be given."""

    always: str
    possible: str


@dataclass(frozen=True, slots=True)
class ListRights(Question):
    """What may an identifier be given (RFC 4314 section 3.4)? Answer: ``Grantable`` or ``NO_SUCH_IDENTIFIER``."""

    account: int
    name: str
    identifier: str


@dataclass(frozen=True, slots=True)
class MyRights(Question):
    """What may the account do in a mailbox (RFC 4314 section 3.5)? Answer: its rights (str)."""

    account: int
    name: str


@dataclass(frozen=True, slots=True)
class RightsIn(Question):
    """What may the account do in this mailbox of somebody else's now? Answer: its rights (str), "" for none at all."""

    account: int
    key: MailboxKey


class Quota(NamedTuple):
    """A quota root (RFC 9208). Sizes in octets; a limit of 0 is none."""

    root: str
    size: int
    size_limit: int
    messages: int
    messages_limit: int


@dataclass(frozen=True, slots=True)
class GetQuota(Question):
    """How full is this quota root? Answer: ``Quota`` or ``NO_SUCH_QUOTA_ROOT``."""

    account: int
    root: str


@dataclass(frozen=True, slots=True)
class GetQuotaRoot(Question):
    """Which quota root has this mailbox (needs ``r``)? Answer: ``Quota``, or ``None`` where there is no limit."""

    account: int
    name: str


class FoundMetadata(NamedTuple):
    """Entries and values, and the length of the longest value that was too long (0: none)."""

    values: Sequence[tuple[str, bytes]]
    longest: int


@dataclass(frozen=True, slots=True)
class GetMetadata(Question):
    """Annotations of a mailbox, or of the server where ``name`` is empty (RFC 5464). Answer: ``FoundMetadata``.

    ``entries`` in lower case. ``depth``: levels below each that are meant too, -1 for all. Values longer than ``most``
    octets are left out.
    """

    account: int
    name: str
    entries: tuple[str, ...]
    depth: int = 0
    most: int | None = None


@dataclass(frozen=True, slots=True)
class ListMetadata(Question):
    """Annotations of mailboxes that a listing has named (RFC 9590). Answer: values by entry, by mailbox id."""

    account: int
    mailboxes: Sequence[int]
    entries: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReadAnnotations(Question):
    """Which entries have these mailboxes and, as 0, the server? For mailboxes that an answer has named.

    Answer: entries by mailbox, each with a value that becomes another whenever the entry is written.
    """

    account: int
    mailboxes: Sequence[int]


@dataclass(frozen=True, slots=True)
class SetMetadata(Question):
    """Write annotations, or remove those with ``None``; all or none. Durable. Answer: ``None``.

    Refused: ``TOO_MANY_ENTRIES``, ``VALUE_TOO_LONG``, ``USE_NOT_ALLOWED``.
    """

    account: int
    name: str
    values: tuple[tuple[str, bytes | None], ...]


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
    rights: str = ALL_RIGHTS  # what the account may do in it (RFC 4314 section 2.1)


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


@dataclass(frozen=True, slots=True)
class ReadVanished(Question):
    """The UIDs that were expunged after the MODSEQ ``since``, up to ``until`` (RFC 7162 section 3.2.6).

    Answer: ranges of UIDs, ascending, both ends included; ``None`` when that is not wholly known any more.
    """

    key: MailboxKey
    since: int
    until: int


# -- Messages ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FetchMessages(Question):
    """Columns of messages, by UID (ascending, at most 1,000). Answer: ``Fetched``.

    What is not asked for may be ``None`` in the rows. ``sections`` are cut out of the bodies off the reactor. Of what
    is left of ``uids`` by an answer, and then of ``following``, the same will be asked next.
    """

    key: MailboxKey
    uids: Sequence[int]
    envelope: bool = False
    structure: bool = False  # BODYSTRUCTURE
    plain_structure: bool = False  # BODY: the same without extension data
    rev2: bool = False  # either as IMAP4rev2 has it
    headers: bool = False  # the cached header lines
    preview: bool = False
    lazy: bool = False  # a preview that takes time may be left out (RFC 8970 section 3.1)
    sections: tuple["Section", ...] = ()
    following: Sequence[int] = field(default=(), compare=False)


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
    sections: "Sequence[Content]"  # as asked; None where the message has no such part
    preview: bytes | None = None  # UTF-8; empty where there is nothing to show, None where it was left out


class SectionText(Enum):
    """What of a part is meant (RFC 3501 section 6.4.5)."""

    ALL = ""
    HEADER = "HEADER"
    HEADER_FIELDS = "HEADER.FIELDS"
    HEADER_FIELDS_NOT = "HEADER.FIELDS.NOT"
    TEXT = "TEXT"
    MIME = "MIME"
    # RFC 3516 section 4.2: the part without its Content-Transfer-Encoding, and how many octets that is.
    BINARY = "BINARY"
    BINARY_SIZE = "BINARY.SIZE"


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


class Encoded(NamedTuple):
    """A decoded section too large to answer at once: where it lies, encoded. Its octets come by ``ReadDecoded``."""

    offset: int
    length: int  # of what is encoded
    encoding: bytes
    size: int  # octets, decoded
    has_nul: bool
    first: int = 0  # the first decoded octet that is wanted
    most: int = 2**63  # octets wanted from there on


# What a section comes to: its octets, or where they are; BINARY.SIZE is a number. ``UNKNOWN_CTE`` is said of a part
# that cannot be decoded.
Content: TypeAlias = bytes | Span | Encoded | int | Refused | None


@dataclass(frozen=True, slots=True)
class ReadBody(Question):
    """Octets of a message, at most 256 KiB at once. Answer: exactly so many ``bytes``; ``EXPUNGED`` if it is gone."""

    key: MailboxKey
    uid: int
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class ReadOrigins(Question):
    """Object identifiers and save dates of messages (RFC 8474, RFC 8514), by UID (ascending, at most 1,000).

    Answer: a sequence of ``OriginRow`` of those that still exist, ascending. Without ``threads`` what stands there for
    THREADID means nothing.
    """

    key: MailboxKey
    uids: Sequence[int]
    threads: bool = False


class OriginRow(NamedTuple):
    """Where a message comes from."""

    uid: int
    email_id: bytes
    thread_id: bytes
    saved_at: int  # seconds since 1970


class OriginKey(Enum):
    """By what messages are looked for."""

    EMAIL = "EMAILID"
    THREAD = "THREADID"
    SAVED_BEFORE = "SAVEDBEFORE"
    SAVED_ON = "SAVEDON"
    SAVED_SINCE = "SAVEDSINCE"


@dataclass(frozen=True, slots=True)
class FindOrigins(Question):
    """Which of these messages have that identifier (``text``) or save date (``day``)? Answer: their UIDs, ascending."""

    key: MailboxKey
    uids: Sequence[int]
    what: OriginKey
    text: str = ""
    day: date | None = None


@dataclass(frozen=True, slots=True)
class ReadDecoded(Question):
    """The next piece of a section that is decoded on the way. Answer: ``Decoded``; ``EXPUNGED`` if the message is gone.

    ``end``: the first encoded octet behind the section.
    """

    key: MailboxKey
    uid: int
    encoding: bytes
    place: Place
    end: int


class Decoded(NamedTuple):
    """Octets, maybe none, and where to go on; at the end of the section ``place.offset`` is its end."""

    octets: bytes
    place: Place


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
    rights: str = ALL_RIGHTS  # flags that these do not let one change stay as they are (RFC 4314 section 4)
    device: str = ""  # what the client calls itself: for the message log, here and below


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
    device: str = ""


class Expunged(NamedTuple):
    """What was removed (UIDs, ascending) and the mailbox's MODSEQ after it."""

    uids: Sequence[int]
    modseq: int


@dataclass(frozen=True, slots=True)
class CopyMessages(Question):
    """Copy messages with flags and internal date to a mailbox by name; all or none. Durable.

    ``move``: and remove them from the source in the same transaction, flagged as deleted or not (RFC 6851). Answer:
    ``Copied``. Refused: ``TRY_CREATE``, ``OVER_QUOTA``, ``LIMIT``, ``EXPUNGED``. Messages that no longer exist are left
    out, and so are flags that ``account`` may not set in the target. Without an account: the owner of the source.
    """

    source: MailboxKey
    uids: Sequence[int]
    target: str
    move: bool = False
    account: int | None = None
    device: str = ""


class Copied(NamedTuple):
    """For COPYUID (RFC 4315): parallel UIDs in source and target. Both empty when nothing was there to copy."""

    uidvalidity: int  # 0: the client may not read the target, and is told nothing of it
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

    Refused: ``TRY_CREATE``, ``OVER_QUOTA``, ``TOO_BIG``, ``LIMIT``, ``UNKNOWN_CTE`` (NUL where it cannot be).
    """

    account: int
    name: str
    messages: Sequence[AppendedMessage]
    device: str = ""

    def dropped(self) -> None:
        """Let go of the bodies, which were nobody else's any more."""
        for message in self.messages:
            message.body.abandon()


@dataclass(frozen=True, slots=True)
class ReplaceMessage(Question):
    """Put a message into a mailbox and remove another one, in one transaction (RFC 8508). Durable.

    Answer: ``Appended``. Refused: as ``AppendMessages``, where only the difference in size counts; ``EXPUNGED`` when
    the old message is gone: then there is no new one either.
    """

    key: MailboxKey  # of the old message
    uid: int
    account: int
    name: str  # of the mailbox for the new one
    message: AppendedMessage
    device: str = ""

    def dropped(self) -> None:
        """Let go of the body."""
        self.message.body.abandon()


@dataclass(frozen=True, slots=True)
class FindMailbox(Question):
    """Which mailbox does a URL name (RFC 5092)? Answer: its ``MailboxKey``, if the account may read it.

    Refused: ``NO_SUCH_MAILBOX``, also when its UIDVALIDITY is another one; ``NO_PERMISSION``.
    """

    account: int
    name: str
    uidvalidity: int | None = None


class Appended(NamedTuple):
    """For APPENDUID (RFC 4315): UIDs in the order of the messages."""

    uidvalidity: int  # 0: the client may not read the mailbox, and is told nothing of it
    uids: Sequence[int]


@dataclass(frozen=True, slots=True)
class SearchMessages(Question):
    """Which of these messages fulfil the criterion? Answer: their UIDs (sequence of int), ascending."""

    key: MailboxKey
    uids: Sequence[int]
    criterion: Criterion


@dataclass(frozen=True, slots=True)
class SortMessages(Question):
    """These messages in order (RFC 5256). Answer: their UIDs (sequence of int), without those that no longer exist."""

    key: MailboxKey
    uids: Sequence[int]  # ascending
    criteria: Sequence[SortCriterion]


@dataclass(frozen=True, slots=True)
class ThreadMessages(Question):
    """These messages as threads (RFC 5256). Answer: ``*thread-list`` as bytes, without those that no longer exist."""

    key: MailboxKey
    uids: Sequence[int]  # ascending
    names: Sequence[int]  # how each is named in the answer: its message number, or its UID
    algorithm: Algorithm


@dataclass(frozen=True, slots=True)
class ReadMailbox(Question):
    """A mailbox as it is now, without selecting it (RFC 7377). Answer: ``Opened``, or ``NO_SUCH_MAILBOX``.

    No notices come of it, and no message stops being recent.
    """

    account: int
    name: str
