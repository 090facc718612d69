"""What the questions of an IMAP session mean here: reads of the store in threads, changes through the group commit."""

from bisect import bisect_right
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import wraps
from typing import Any, TypeVar

from accounts.models import User
from mailcore.dialogue import Question, UnavailableError
from mailcore.imap.names import INBOX
from mailcore.imap.questions import (
    Appended,
    AppendedMessage,
    AppendMessages,
    Changes,
    CheckAppend,
    CloseMailbox,
    Copied,
    CopyMessages,
    CreateMailbox,
    DeleteMailbox,
    Expunge,
    Expunged,
    Fetched,
    FetchMessages,
    ListMailboxes,
    MailboxChanged,
    Mailboxes,
    MailboxKey,
    MailboxRow,
    Opened,
    OpenMailbox,
    Pause,
    ReadBody,
    ReadChanges,
    Refused,
    RenameMailbox,
    SearchMessages,
    Status,
    Stored,
    StoreFlags,
    Subscribe,
)
from mailcore.imap.sections import Cutter
from mailcore.intake.login import verify_password
from mailcore.message import imapform
from mailcore.message.envelope import BodySink
from mailcore.sasl.questions import VerifyPassword
from mailcore.store import changes, mailboxes
from mailcore.store.batch import GoneError, OverQuotaError
from mailcore.store.notices import doorbells
from mailcore.store.prepared import INLINE_LIMIT, prepare
from mailcore.store.reading import ANSWER_LIMIT, bodies, overview, read_piece
from mailcore.store.refusals import (
    HasChildrenError,
    LimitError,
    MailboxExistsError,
    NameNotAllowedError,
    NoSuchMailboxError,
    StoreRefusedError,
)
from mailcore.store.searching import search
from mailcore.store.spool import Spool
from mailcore.store.views import views
from mailcore.transport import Connection, Doors

Q = TypeVar("Q")
T = TypeVar("T")

# Messages searched in one go of a reader thread.
SEARCH_SLICE = 200

_REASONS: dict[type[Exception], Refused] = {
    NoSuchMailboxError: Refused.NO_SUCH_MAILBOX,
    MailboxExistsError: Refused.MAILBOX_EXISTS,
    NameNotAllowedError: Refused.NAME_NOT_ALLOWED,
    HasChildrenError: Refused.HAS_CHILDREN,
    LimitError: Refused.LIMIT,
    OverQuotaError: Refused.OVER_QUOTA,
    GoneError: Refused.NO_SUCH_MAILBOX,
}

Answer = Callable[[Q, Doors], Coroutine[Any, Any, T]]


def _refusing(answer: Answer[Q, T]) -> Answer[Q, T | Refused]:
    """Make a ``Refused`` of what the store raises."""

    @wraps(answer)
    async def refusing(question: Q, doors: Doors) -> T | Refused:
        try:
            return await answer(question, doors)
        except (StoreRefusedError, GoneError, OverQuotaError) as error:
            return _REASONS[type(error)]

    return refusing


def _into(answer: Answer[Q, T]) -> Answer[Q, T]:
    """Say of a missing mailbox that it could be made: messages were to be put into it (RFC 3501 section 7.1)."""

    @wraps(answer)
    async def into(question: Q, doors: Doors) -> T:
        found = await answer(question, doors)
        return Refused.TRY_CREATE if found is Refused.NO_SUCH_MAILBOX else found  # type: ignore[return-value]

    return into


def _with_defaults(function: Callable[..., T], account: int, *args: Any, **kwargs: Any) -> T:
    """Call a function that looks for a mailbox of this account; a user who has none yet gets those of everybody."""
    try:
        return function(account, *args, **kwargs)
    except NoSuchMailboxError:
        mailboxes.ensure_defaults(account)
        return function(account, *args, **kwargs)


def _find(account: int, name: str) -> int:
    """Return the id of a mailbox; that of INBOX is remembered in the process."""
    return mailboxes.inbox_id(account) if name == INBOX else _with_defaults(mailboxes.find, account, name)


# -- Mailboxes --------------------------------------------------------------------------------------------------------


@_refusing
async def list_mailboxes(question: ListMailboxes, doors: Doors) -> Mailboxes:
    """Return all mailboxes of the account."""
    found = await doors.database(mailboxes.listing, question.account)
    return Mailboxes([MailboxRow(*row) for row in found.rows], found.orphaned_subscriptions)


@_refusing
async def status(question: Status, doors: Doors) -> MailboxRow:
    """Return the numbers of one mailbox."""
    return MailboxRow(*await doors.database(_with_defaults, mailboxes.status, question.account, question.name))


@_refusing
async def create_mailbox(question: CreateMailbox, doors: Doors) -> int:
    """Make a mailbox."""
    made: int = await doors.commit(mailboxes.CreateMailbox(question.account, question.name, question.special_use))
    return made


@_refusing
async def delete_mailbox(question: DeleteMailbox, doors: Doors) -> int:
    """Remove a mailbox; a large one goes in several transactions."""
    work = await doors.database(mailboxes.plan_delete, question.account, question.name)
    removed = None
    while removed is None:
        removed = await doors.commit(work)
    return int(removed)


@_refusing
async def rename_mailbox(question: RenameMailbox, doors: Doors) -> None:
    """Give a mailbox another name."""
    work = await doors.database(mailboxes.plan_rename, question.account, question.old_name, question.new_name)
    await doors.commit(work)


@_refusing
async def subscribe(question: Subscribe, doors: Doors) -> None:
    """Add or remove a subscription."""
    await doors.commit(mailboxes.Subscribe(question.account, question.name, question.subscribed))


# -- The selected mailbox ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Bell:
    """Rings at one connection."""

    connection: Connection

    def __call__(self, mailbox: int) -> None:
        """Tell its session."""
        self.connection.notice(MailboxChanged(mailbox))


# Connections that are opening a mailbox, and those of them that went away meanwhile.
_opening: set[Connection] = set()
_left: set[Connection] = set()


@_refusing
async def open_mailbox(question: OpenMailbox, doors: Doors) -> Opened:
    """Select a mailbox; from before its state is read the session hears of what is new."""
    connection = _asker(doors)
    watched: list[int] = []

    def watch(mailbox: int) -> None:
        doorbells.watch(mailbox, _Bell(connection))
        watched.append(mailbox)

    _opening.add(connection)
    try:
        opened = await doors.database(
            _with_defaults, views.open, question.account, question.name, read_only=question.read_only, before=watch
        )
    except BaseException:
        for mailbox in watched:
            doorbells.unwatch(mailbox, _Bell(connection))
        raise
    finally:
        _opening.discard(connection)
        gone = connection in _left
        _left.discard(connection)
    key = MailboxKey(question.account, opened.mailbox)
    if gone:
        await _leave(key, doors)
    return Opened(key, opened.snapshot, opened.recent_from, opened.special_use)


async def close_mailbox(question: CloseMailbox, doors: Doors) -> None:
    """Take note that the session has left its mailbox, or will have as soon as it is in."""
    if question.key is not None:
        await _leave(question.key, doors)
    elif doors.connection in _opening:
        _left.add(doors.connection)


async def _leave(key: MailboxKey, doors: Doors) -> None:
    doorbells.unwatch(key.mailbox, _Bell(_asker(doors)))
    # Where it cannot be written how far messages were seen, some are recent once more: no reason to keep the client.
    with suppress(UnavailableError):
        await doors.database(views.close, *key)


def _asker(doors: Doors) -> Connection:
    if doors.connection is None:
        raise RuntimeError("only a connection can select a mailbox")
    return doors.connection


@_refusing
async def read_changes(question: ReadChanges, doors: Doors) -> Changes:
    """Return what happened in a selected mailbox."""
    known = None
    if doorbells.looking_since is not None:
        known = views.known_changes(
            *question.key,
            question.since,
            read_only=question.read_only,
            heard=doorbells.heard(question.key.mailbox),
            looking_since=doorbells.looking_since,
        )
    if known is None:
        known = await doors.database(views.changes, *question.key, question.since, read_only=question.read_only)
    return Changes(*known)


# -- Messages ---------------------------------------------------------------------------------------------------------


@_refusing
async def fetch_messages(question: FetchMessages, doors: Doors) -> Fetched:
    """Return columns of messages, and what has to be cut out of their bodies."""
    return Fetched(*await doors.database(_fetch, question))


def _fetch(question: FetchMessages) -> tuple[Sequence[Sequence[Any]], int]:
    columns = {"envelope": question.envelope, "structure": question.structure, "headers": question.headers}
    if not (question.sections or question.plain_structure):
        return overview(*question.key, question.uids, **columns)
    rows, done = [], len(question.uids)
    taken = 0
    for row, message in bodies(*question.key, question.uids):
        if taken > ANSWER_LIMIT:
            break
        cutter = Cutter(message)
        contents = tuple(cutter.cut(section) for section in question.sections)
        taken += sum(len(content) for content in contents if isinstance(content, bytes))
        plain = imapform.body(cutter.root) if question.plain_structure else None
        rows.append((row.uid, row.size, row.internal_date, None, None, plain, None, contents))
    else:
        return _joined(question, rows, columns), done
    return _joined(question, rows, columns), bisect_right(question.uids, rows[-1][0])


def _joined(
    question: FetchMessages, rows: Sequence[tuple[Any, ...]], columns: dict[str, bool]
) -> Sequence[tuple[Any, ...]]:
    """Put the kept columns into rows that were made from the bodies."""
    if not any(columns.values()):
        return rows
    uids = [row[0] for row in rows]
    kept: dict[int, tuple[Any, ...]] = {}
    while uids:
        part, done = overview(*question.key, uids, **columns)
        kept.update((row[0], row) for row in part)
        uids = uids[done:]
    return [
        (*row[:3], kept[row[0]][3], kept[row[0]][4], row[5], kept[row[0]][6], row[7]) for row in rows if row[0] in kept
    ]


async def read_body(question: ReadBody, doors: Doors) -> bytes | Refused:
    """Return octets of a message."""
    octets = await doors.database(read_piece, *question.key, question.uid, question.offset, question.length)
    return octets if octets is not None and len(octets) == question.length else Refused.EXPUNGED


@_refusing
async def store_flags(question: StoreFlags, doors: Doors) -> Stored:
    """Change flags."""
    work = changes.StoreFlags(
        *question.key,
        question.uids,
        changes.Mode(question.mode.value),
        question.flags,
        question.keywords,
        question.unchanged_since,
    )
    return Stored(*await doors.commit(work))


@_refusing
async def expunge(question: Expunge, doors: Doors) -> Expunged:
    """Remove messages that are flagged as deleted."""
    return Expunged(*await doors.commit(changes.Expunge(*question.key, question.uids)))


@_into
@_refusing
async def copy_messages(question: CopyMessages, doors: Doors) -> Copied | Refused:
    """Copy or move messages."""
    owner, source = question.source
    target = await doors.database(_find, owner, question.target)
    try:
        return Copied(*await doors.commit(changes.Copy(owner, source, question.uids, target, question.move)))
    except GoneError:
        return Refused.EXPUNGED  # the mailbox they were in


@_into
@_refusing
async def check_append(question: CheckAppend, doors: Doors) -> Refused | None:
    """Say whether a message of this size would be taken."""
    return await doors.database(_check_append, question)


def _check_append(question: CheckAppend) -> Refused | None:
    _find(question.account, question.name)
    quota, used = User.objects.values_list("quota", "used_quota").get(pk=question.account)
    return Refused.OVER_QUOTA if quota and used + question.size > quota else None


@_into
@_refusing
async def append_messages(question: AppendMessages, doors: Doors) -> Appended:
    """Put messages into a mailbox."""
    where = (question.account, question.name)
    try:
        known = mailboxes.cached_inbox_id(question.account) if question.name == INBOX else _ids.get(where)
        if known is not None and _is_small(question.messages):
            work = _prepared(question, known)
        else:
            work = await doors.database(_prepared, question, known)
        try:
            appended = Appended(*await doors.commit(work))
        except NoSuchMailboxError:
            # What was remembered holds no more. Nobody has the name, or another mailbox.
            if _ids.pop(where, None) is None:
                raise
            work = replace(work, mailbox=await doors.database(_find, *where))
            appended = Appended(*await doors.commit(work))
        _remember(where, work.mailbox)
        return appended
    finally:
        for message in question.messages:
            message.body.abandon()


# Ids of mailboxes that messages were appended to, by account and name; the commit sees whether they still hold.
_ids: dict[tuple[int, str], int] = {}
_IDS_LIMIT = 10_000


def _remember(where: tuple[int, str], mailbox: int) -> None:
    if where[1] == INBOX:
        return  # remembered for all by ``mailboxes``
    if len(_ids) >= _IDS_LIMIT:
        _ids.clear()
    _ids[where] = mailbox


def _is_small(messages: Sequence[AppendedMessage]) -> bool:
    return sum(message.body.size for message in messages) <= INLINE_LIMIT


def _prepared(question: AppendMessages, mailbox: int | None) -> changes.Append:
    if mailbox is None:
        mailbox = _find(question.account, question.name)
    ready = [
        changes.NewMessage(prepare(_octets(message.body)), message.flags, message.keywords, message.internal_date)
        for message in question.messages
    ]
    return changes.Append(question.account, mailbox, ready, question.name)


def _octets(body: BodySink) -> bytes:
    if not isinstance(body, Spool):
        raise TypeError("the body of a message must be a spool")
    return body.read()


@_refusing
async def search_messages(question: SearchMessages, doors: Doors) -> Sequence[int]:
    """Look for messages, slice by slice, so that a thread is never held for long."""
    found: list[int] = []
    for start in range(0, len(question.uids), SEARCH_SLICE):
        uids = question.uids[start : start + SEARCH_SLICE]
        found += await doors.database(search, *question.key, uids, question.criterion)
    return found


async def pause(question: Pause, doors: Doors) -> None:
    """Do nothing: what counts is that the transport has had its turn."""


ANSWERS: dict[type[Question], Answer[Any, Any]] = {
    VerifyPassword: verify_password,
    ListMailboxes: list_mailboxes,
    Status: status,
    CreateMailbox: create_mailbox,
    DeleteMailbox: delete_mailbox,
    RenameMailbox: rename_mailbox,
    Subscribe: subscribe,
    OpenMailbox: open_mailbox,
    CloseMailbox: close_mailbox,
    ReadChanges: read_changes,
    FetchMessages: fetch_messages,
    ReadBody: read_body,
    StoreFlags: store_flags,
    Expunge: expunge,
    CopyMessages: copy_messages,
    CheckAppend: check_append,
    AppendMessages: append_messages,
    SearchMessages: search_messages,
    Pause: pause,
}
