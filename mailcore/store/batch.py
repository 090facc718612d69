"""One writing transaction of the mail store: what it locks, what it gathers, and how it is written.

Units of work share a batch. Users, then mailboxes, are locked in the order of their ids, so two batches never wait for
each other in a circle. New rows are gathered and inserted together at the end; a mailbox or user row is updated once.
A batch knows nothing of threads or retries: ``commit.py`` does.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache, lru_cache
from itertools import islice
from typing import Any, NamedTuple, Protocol, TypeVar

import orjson
from django.db import DEFAULT_DB_ALIAS, connections, models
from django.utils import timezone

from a3mailer_site.env import current
from a3mailer_site.ids import new_id
from a3mailer_site.models import Generation
from accounts.models import User
from mailcore.message.summary import Summary
from mailcore.store.flags import SEEN
from mailcore.store.models import Mailbox, MailboxChange, Message, Structure
from mailcore.store.snapshot import Row
from mailqueue import standing, webhooks
from mailqueue.models import (
    Body,
    MailboxAct,
    MessageEvent,
    MessageTrace,
    QueuedMessage,
    QueueEntry,
    QueueTally,
    SendingTally,
    WebhookDelivery,
)
from mailqueue.sending import hour_of

T_co = TypeVar("T_co", covariant=True)

# SQLite takes up to 32,766 parameters in a statement; slices of this many ids stay far below.
_SLICE = 500
# Rows in one statement; a power of two. 64 rows of 15 columns are prepared in a quarter of a millisecond, once.
_ROWS_AT_ONCE = 64
# PostgreSQL refuses a NOTIFY payload of 8,000 bytes or more.
_PAYLOAD_LIMIT = 7900
CHANNEL = "mailbox_change"
# Instead of a mailbox's id in a ``Change``: annotations have been written or removed.
ANNOTATIONS = -2


class GoneError(Exception):
    """A user or mailbox that the work needs is not there any more."""


class OverQuotaError(Exception):
    """The user's quota does not allow it."""


class Work(Protocol[T_co]):
    """A unit of work: what it must lock, what it weighs, and what it does."""

    @property
    def users(self) -> Collection[int]:
        """Ids of the users whose quota may change."""

    @property
    def mailboxes(self) -> Collection[int]:
        """Ids of the mailboxes that it changes."""

    @property
    def weight(self) -> int:
        """Bytes of message bodies that it brings into the transaction."""

    def apply(self, batch: "Batch") -> T_co:
        """Do it. May be called again after a rollback; raising fails this work alone."""


@dataclass(slots=True)
class LockedUser:
    """A user's row, locked until the commit. ``used_quota`` includes what this batch has added."""

    id: int
    quota: int
    used_quota: int
    is_active: bool
    change: int = 0
    messages: int | None = None  # in all mailboxes, without what this batch has done; where somebody asked

    def room_for(self, size: int) -> bool:
        """Say whether so many more bytes fit into the quota."""
        return not self.quota or self.used_quota + size <= self.quota


@dataclass(slots=True)
class LockedMailbox:
    """A mailbox's row, locked until the commit; the numbers include what this batch has done."""

    id: int
    owner_id: int
    name: str
    uidvalidity: int
    uidnext: int
    highestmodseq: int
    messages: int
    unseen: int
    size: int
    touched: bool = False
    untold: bool = False  # something changed that is not among ``changed`` and ``gone``
    changed: list[Row] = field(default_factory=list)
    gone: list[int] = field(default_factory=list)
    messages_change: int = 0
    unseen_change: int = 0
    size_change: int = 0


class News(NamedTuple):
    """All that one transaction has done to the messages of a mailbox; for who knows the mailbox as it was before."""

    before: int  # the mailbox's MODSEQ until then
    uidnext: int
    changed: Sequence[Row]  # new and changed messages, in the order in which it was done
    gone: Sequence[int]


@dataclass(frozen=True, slots=True)
class Change:
    """A doorbell: this mailbox has reached this MODSEQ. ``news`` spares who rings in this process the reading.

    With 0 for the mailbox: names or subscriptions of the owner have changed; ``modseq`` is then an id of the change.
    With ``ANNOTATIONS``: annotations have, which the owner sees, or anybody where that is 0.
    """

    mailbox_id: int
    modseq: int
    owner_id: int = 0  # of the mailbox; 0 where that is not known
    news: News | None = field(default=None, compare=False, repr=False)


class Batch:
    """One transaction. Make it inside ``atomic()``, let the works apply, then ``write``."""

    def __init__(self, works: Iterable[Work[Any]], now: datetime | None = None) -> None:
        self.now = now or timezone.now()
        self.seconds = int(self.now.timestamp())
        # Once: ``connection`` looks for this thread's wrapper at every use.
        self._database = connections[DEFAULT_DB_ALIAS]
        self._at = self._database.ops.adapt_datetimefield_value(self.now)
        self._sqlite = self._database.vendor == "sqlite"
        self.cursor = self._database.cursor()
        works = list(works)
        self._users = self._lock_users({user for work in works for user in work.users})
        self._mailboxes = self._lock_mailboxes({box for work in works for box in work.mailboxes})
        self._rows: dict[type[models.Model], list[tuple[Any, ...]]] = {}
        # How many messages more or less the queue has, and those of which more must be asked once all is written.
        self._queue = standing.Tally()
        self._requeued: set[int] = set()
        self._rearranged: set[int] = set()
        self._annotated: set[int] = set()
        self._webhooks = webhooks.in_force()
        self._sent: Counter[tuple[str, int]] = Counter()
        self._held: Counter[tuple[str, int]] = Counter()

    def _lock_users(self, ids: Collection[int]) -> dict[int, LockedUser]:
        return {
            row[0]: LockedUser(row[0], row[1], row[2], bool(row[3]))
            for part in _slices(ids)
            for row in self._lock(User, "id, quota, used_quota, is_active", part)
        }

    def _lock_mailboxes(self, ids: Collection[int]) -> dict[int, LockedMailbox]:
        columns = "id, owner_id, name, uidvalidity, uidnext, highestmodseq, messages, unseen, size"
        return {row[0]: LockedMailbox(*row) for part in _slices(ids) for row in self._lock(Mailbox, columns, part)}

    def _lock(self, model: type[models.Model], columns: str, ids: Sequence[int]) -> list[tuple[Any, ...]]:
        """Read rows that nobody else changes until the commit."""
        # Others may go on reading and referring to the rows; they may not change them.
        lock = "" if self._sqlite else " FOR NO KEY UPDATE"
        return self.rows(_select(model, columns, len(ids)) + lock, ids)

    def execute(self, sql: str, parameters: Sequence[Any]) -> None:
        """Execute one statement, with ``%s`` for each parameter and no other percent sign."""
        if self._sqlite:
            # Past Django's cursor, which would look for %s in the text for longer than SQLite works on it.
            with self._database.wrap_database_errors:
                self._database.connection.execute(_with_question_marks(sql), parameters)
        else:
            self.cursor.execute(sql, parameters)

    def rows(self, sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Return the rows of one statement, which is written as for ``execute``."""
        found: list[tuple[Any, ...]]
        if self._sqlite:
            with self._database.wrap_database_errors:
                found = self._database.connection.execute(_with_question_marks(sql), parameters).fetchall()
        else:
            self.cursor.execute(sql, parameters)
            found = self.cursor.fetchall()
        return found

    def user(self, user_id: int) -> LockedUser:
        """Return a locked user; raises ``GoneError``."""
        try:
            return self._users[user_id]
        except KeyError:
            raise GoneError(f"user {user_id} is gone") from None

    def room_for(self, user_id: int, size: int, messages: int) -> bool:
        """Say whether so many more bytes and messages fit into a locked user's quota; raises ``GoneError``."""
        user = self.user(user_id)
        if not user.room_for(size):
            return False
        limit = current().user_message_limit
        if not limit:
            return True
        if user.messages is None:
            user.messages = self.rows(_COUNT_MESSAGES, [user_id])[0][0]
        done = sum(box.messages_change for box in self._mailboxes.values() if box.owner_id == user_id)
        return user.messages + done + messages <= limit

    def mailbox(self, mailbox_id: int) -> LockedMailbox:
        """Return a locked mailbox; raises ``GoneError``."""
        try:
            return self._mailboxes[mailbox_id]
        except KeyError:
            raise GoneError(f"mailbox {mailbox_id} is gone") from None

    def modseq(self, mailbox_id: int, *, told: bool = False) -> int:
        """Return the one new MODSEQ of this mailbox in this transaction, and see that a notice goes out.

        ``told``: the messages that get it are added to the mailbox's ``changed`` and ``gone``. Otherwise whoever has
        the mailbox open reads what has happened.
        """
        mailbox = self.mailbox(mailbox_id)
        if not told:
            mailbox.untold = True
        if not mailbox.touched:
            mailbox.touched = True
            mailbox.highestmodseq += 1
        return mailbox.highestmodseq

    touch = modseq

    def names_changed(self, owner_id: int) -> None:
        """See that it is noticed that mailboxes of this user were made, deleted, renamed or (un)subscribed."""
        self._rearranged.add(owner_id)

    def annotations_changed(self, user_id: int) -> None:
        """See that it is noticed that annotations which this user can see, or with 0 anybody, have changed."""
        self._annotated.add(user_id)

    def change_counters(self, mailbox_id: int, *, messages: int = 0, unseen: int = 0, size: int = 0) -> None:
        """Add to the numbers in a mailbox's row."""
        mailbox = self.mailbox(mailbox_id)
        mailbox.messages += messages
        mailbox.messages_change += messages
        mailbox.unseen += unseen
        mailbox.unseen_change += unseen
        mailbox.size += size
        mailbox.size_change += size
        self.modseq(mailbox_id, told=True)  # clients see messages, not these numbers

    def change_quota(self, user_id: int, delta: int) -> None:
        """Add to what a user's mail takes, in bytes."""
        user = self.user(user_id)
        user.used_quota += delta
        user.change += delta

    def take_uids(self, mailbox_id: int, count: int) -> int:
        """Reserve ``count`` UIDs in a row; returns the first."""
        mailbox = self.mailbox(mailbox_id)
        first = mailbox.uidnext
        mailbox.uidnext += count
        self.modseq(mailbox_id, told=True)
        return first

    def add_body(self, body_id: int, size: int, data: bytes | None, summary: Summary) -> None:
        """Add a body (``data`` is ``None`` when its bytes are in a file already) and its structure."""
        self.add(Body, (body_id, size, data))
        self.add(
            Structure,
            (
                body_id,
                summary.envelope,
                summary.bodystructure,
                summary.fields,
                summary.header_size,
                summary.sent_at,
            ),
        )

    def add_message(
        self,
        mailbox_id: int,
        body_id: int,
        *,
        size: int,
        flags: int = 0,
        keywords: str = "",
        internal_date: int | None = None,
    ) -> int:
        """Put a body into a mailbox; returns the UID. Counters, quota and MODSEQ follow."""
        mailbox = self.mailbox(mailbox_id)
        uid = self.take_uids(mailbox_id, 1)
        date = self.seconds if internal_date is None else internal_date
        self.add(
            Message,
            (mailbox_id, uid, body_id, mailbox.highestmodseq, flags, keywords, date, self.seconds, size),
        )
        mailbox.changed.append((uid, flags, keywords, mailbox.highestmodseq))
        self.change_counters(mailbox_id, messages=1, unseen=0 if flags & SEEN else 1, size=size)
        self.change_quota(mailbox.owner_id, size)
        return uid

    def add_trace(
        self,
        trace_id: int,
        message: int,
        *,
        direction: str,
        status: str,
        sender: str,
        recipient: str,
        message_id: str = "",
        subject: str = "",
        size: int = 0,
    ) -> None:
        """Add what one searches by: this message to this recipient."""
        self.add(
            MessageTrace,
            (
                trace_id,
                message,
                self._at,
                direction,
                status,
                sender,
                recipient,
                message_id[:250],
                subject[:200],
                size,
            ),
        )

    def add_event(self, message: int, kind: str, detail: dict[str, Any], trace_id: int | None = None) -> None:
        """Add an event to a message's timeline; without ``trace_id`` it concerns all recipients."""
        text = orjson.dumps(detail).decode()
        self.add(MessageEvent, (message, trace_id, self._at, kind, text))
        if self._webhooks:
            for webhook in self._webhooks.get(webhooks.name_of(kind, detail), ()):
                told = (webhook, message, trace_id, self._at, kind, text)
                self.add(WebhookDelivery, (*told, False, self._at, 0, self._at, "", None))

    def add_act(self, mailbox_id: int, verb: str, uids: str, detail: dict[str, Any]) -> None:
        """Add what a client did to messages of a mailbox: one row for all of them (``acts.py``)."""
        self.add(MailboxAct, (new_id(), mailbox_id, self._at, verb, uids, orjson.dumps(detail).decode()))

    def count_sending(self, kind: str, number: int, recipients: int, *, held: bool) -> None:
        """Count that a user, or a domain, has sent to so many recipients elsewhere (``mailqueue/sending.py``)."""
        self._sent[kind, number] += recipients
        self._held[kind, number] += recipients if held else 0

    def add_queued(self, queued: QueuedMessage, *, held: bool = False) -> None:
        """Add a new message to the queue (its body is added by ``add_body``, its recipients by ``add_entry``)."""
        stands = standing.of_new(queued.sender, held=held)
        queued.lane, queued.fresh, queued.held = stands.lane, stands.fresh, stands.held
        self._queue.add(stands)
        self.add_object(queued)

    def leave_queue(self, stood: standing.Standing) -> None:
        """Count a message that is locked and deleted; ``stood`` is what its row said."""
        self._queue.add(stood, -1)

    def reclassify(self, messages: Iterable[int]) -> None:
        """Look again how these messages stand, which are locked, once everything else is written."""
        self._requeued.update(messages)

    def add_entry(self, entry: QueueEntry) -> None:
        """Add a recipient of a queued message."""
        self.add_object(entry)

    def add(self, model: type[models.Model], row: tuple[Any, ...]) -> None:
        """Gather a row; the values stand in the order of the model's columns, without an automatic id."""
        rows = self._rows.get(model)
        if rows is None:
            self._rows[model] = [row]
        else:
            rows.append(row)

    def add_object(self, instance: models.Model) -> None:
        """Gather a row given as an unsaved object."""
        self.add(
            type(instance),
            tuple(
                value if prepare is None else prepare(value, self._database)
                for value, prepare in (
                    (getattr(instance, name), prepare) for name, prepare in _preparations(type(instance))
                )
            ),
        )

    def write(self) -> list[Change]:
        """Write everything that was gathered; returns the doorbells to ring once the transaction is committed."""
        # Bodies first, then what refers to them.
        for model in (*_ORDER, *(model for model in self._rows if model not in _ORDER)):
            self._insert(model, self._rows.pop(model, []))
        self._count_queue()
        self._write_sending()
        self._write_users()
        changes = self._write_mailboxes()
        changes += [Change(0, new_id(), owner) for owner in sorted(self._rearranged)]
        changes += [Change(ANNOTATIONS, new_id(), user) for user in sorted(self._annotated)]
        self._ring(changes)
        return changes

    def _insert(self, model: type[models.Model], rows: Sequence[tuple[Any, ...]]) -> None:
        if not rows:
            return
        head, width = _insert_head(model)
        self._execute_with_rows(head, "", width, rows)

    def _execute_with_rows(self, head: str, tail: str, width: int, rows: Sequence[tuple[Any, ...]]) -> None:
        """Execute ``head (…), (…) tail`` for all rows, in as few statements as possible.

        ``executemany`` would let go of the interpreter lock and ask for it again at every row; beside a busy reactor
        that is what a commit waits for. Row counts are powers of two, so that few statements have to be prepared.
        """
        done = 0
        while done < len(rows):
            count = min(_ROWS_AT_ONCE, 1 << ((len(rows) - done).bit_length() - 1))
            part = rows[done : done + count]
            done += count
            self.execute(_statement(head, tail, width, count), [value for row in part for value in row])

    def _count_queue(self) -> None:
        if self._requeued:
            standing.update(self._requeued, self._queue)
        row = self._queue.row()
        if row is not None:
            self._insert(QueueTally, [row])

    def _write_sending(self) -> None:
        hour = hour_of(self.now)
        # In one order, as everything that is locked.
        for kind, number in sorted(self._sent):
            self.execute(_COUNT_SENDING, (kind, number, hour, self._sent[kind, number], self._held[kind, number]))

    def _write_users(self) -> None:
        rows = [(user.id, user.change) for user in self._users.values() if user.change]
        self._execute_with_rows(_UPDATE_USERS + _FROM_ROWS, _BY_ID, 2, rows)

    def _write_mailboxes(self) -> list[Change]:
        touched = [mailbox for mailbox in self._mailboxes.values() if mailbox.touched]
        rows = [
            (box.id, box.uidnext, box.highestmodseq, box.messages_change, box.unseen_change, box.size_change)
            for box in touched
        ]
        self._execute_with_rows(_UPDATE_MAILBOXES + _FROM_ROWS, _BY_ID, 6, rows)
        return [Change(box.id, box.highestmodseq, box.owner_id, _news(box)) for box in touched]

    def _ring(self, changes: Sequence[Change]) -> None:
        if not self._sqlite:
            for payload in _payloads(changes):
                self.cursor.execute("SELECT pg_notify(%s, %s)", [CHANNEL, payload])
        else:
            rows = [(change.mailbox_id, change.modseq, self.seconds, change.owner_id) for change in changes]
            self._insert(MailboxChange, rows)


# Tables that others refer to come before those that refer to them.
_ORDER: tuple[type[models.Model], ...] = (Body, Structure, QueuedMessage, QueueEntry, Message, MessageTrace)

# What stands before and after the rows. Both databases call the columns of VALUES column1, column2, …
_UPDATE_USERS = f'UPDATE "{User._meta.db_table}" AS t SET used_quota = t.used_quota + v.column2'  # noqa: S608
# The row is locked: uidnext and highestmodseq are this batch's to say. Counters are added to what is there.
_UPDATE_MAILBOXES = (
    f'UPDATE "{Mailbox._meta.db_table}" AS t SET uidnext = v.column2, highestmodseq = v.column3, '  # noqa: S608
    "messages = t.messages + v.column4, unseen = t.unseen + v.column5, size = t.size + v.column6"
)
_COUNT_SENDING = (
    f'INSERT INTO "{SendingTally._meta.db_table}" AS t (kind, number, hour, recipients, held, alarmed) '  # noqa: S608
    "VALUES (%s, %s, %s, %s, %s, FALSE) ON CONFLICT (kind, number, hour) DO UPDATE "
    "SET recipients = t.recipients + excluded.recipients, held = t.held + excluded.held"
)
_COUNT_MESSAGES = f'SELECT COALESCE(SUM(messages), 0) FROM "{Mailbox._meta.db_table}" WHERE owner_id = %s'  # noqa: S608
_FROM_ROWS = " FROM (VALUES "
_BY_ID = ") AS v WHERE t.id = v.column1"


@cache
def _columns(model: type[models.Model]) -> tuple[Any, ...]:
    return tuple(
        field
        for field in model._meta.local_concrete_fields
        if not isinstance(field, models.AutoField | models.BigAutoField)
    )


@cache
def _preparations(model: type[models.Model]) -> tuple[tuple[str, Callable[[Any, Any], Any] | None], ...]:
    """Return the attribute of each column, and what has to be done to its value; most go as they are."""
    return tuple(
        (field.attname, None if isinstance(field, _AS_THEY_ARE) else field.get_db_prep_save)
        for field in _columns(model)
    )


_AS_THEY_ARE = (models.CharField, models.TextField, models.IntegerField, models.BooleanField, models.ForeignKey)


@cache
def _insert_head(model: type[models.Model]) -> tuple[str, int]:
    columns = [field.column for field in _columns(model)]
    names = ", ".join(f'"{column}"' for column in columns)
    head = f'INSERT INTO "{model._meta.db_table}" ({names}) VALUES '  # noqa: S608 - names are the models'
    return head, len(columns)


@cache
def _statement(head: str, tail: str, width: int, count: int) -> str:
    row = f"({', '.join(['%s'] * width)})"
    return head + ", ".join([row] * count) + tail


def _slices(ids: Collection[int]) -> Iterable[list[int]]:
    ordered = iter(sorted(ids))
    while part := list(islice(ordered, _SLICE)):
        yield part


@lru_cache(maxsize=1000)
def _with_question_marks(sql: str) -> str:
    return sql.replace("%s", "?")


@lru_cache(maxsize=1000)
def _select(model: type[models.Model], columns: str, count: int) -> str:
    marks = ", ".join(["%s"] * count)
    return f'SELECT {columns} FROM "{model._meta.db_table}" WHERE id IN ({marks}) ORDER BY id'  # noqa: S608


def _news(mailbox: LockedMailbox) -> News | None:
    if mailbox.untold:
        return None
    return News(mailbox.highestmodseq - 1, mailbox.uidnext, mailbox.changed, mailbox.gone)


def _payloads(changes: Sequence[Change]) -> Iterable[str]:
    payload = ""
    for change in changes:
        pair = f"{change.mailbox_id}:{change.modseq}:{change.owner_id} "
        if len(payload) + len(pair) > _PAYLOAD_LIMIT:
            yield payload.rstrip()
            payload = ""
        payload += pair
    if payload:
        yield payload.rstrip()


def new_uidvalidity(now: datetime) -> int:
    """Return a UIDVALIDITY greater than all before (RFC 3501 section 2.3.1.1). Call it inside a transaction."""
    seconds = int(now.timestamp())
    row, _ = Generation.objects.select_for_update().get_or_create(name="uidvalidity", defaults={"value": seconds})
    value = max(row.value + 1, seconds)
    Generation.objects.filter(name="uidvalidity").update(value=value)
    return value
