"""What changes messages, as units of work for the group commit: flags, expunge, copy, move, append.

Each names the owner, and finds a mailbox only under its owner. All checks come before the first write, so a work that
is refused has changed nothing. One MODSEQ a mailbox and transaction: whatever a work changes gets that one.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from itertools import chain
from typing import Any, NamedTuple

from mailcore.store import acts
from mailcore.store import keywords as words
from mailcore.store.acts import Actor, Verb
from mailcore.store.batch import Batch, GoneError, LockedMailbox, OverQuotaError
from mailcore.store.flags import DELETED, SEEN
from mailcore.store.models import Expunged, Mailbox, Message
from mailcore.store.prepared import Prepared
from mailcore.store.refusals import NoSuchMailboxError
from mailcore.store.rights import ALL_RIGHTS, settable
from mailcore.store.snapshot import Row
from mailcore.store.uidsets import Condition, among, among_present, around

_MESSAGE = Message._meta.db_table
_MAILBOX = Mailbox._meta.db_table
_EXPUNGED = Expunged._meta.db_table

# With more different results than this, rows are updated one by one instead of by groups.
_GROUPS = 16


def owned_mailbox(batch: Batch, owner: int, mailbox: int) -> LockedMailbox:
    """Return a locked mailbox of this user; raises ``GoneError`` when it is gone or somebody else's."""
    found = batch.mailbox(mailbox)
    if found.owner_id != owner:
        raise GoneError(f"mailbox {mailbox} is not of user {owner}")
    return found


# -- Flags ------------------------------------------------------------------------------------------------------------


class Mode(Enum):
    """What is done with the flags named, in IMAP's words."""

    REPLACE = "FLAGS"
    ADD = "+FLAGS"
    REMOVE = "-FLAGS"


class Flagged(NamedTuple):
    """A message's flags after a STORE."""

    uid: int
    flags: int
    keywords: tuple[str, ...]
    modseq: int


class Stored(NamedTuple):
    """Every message that was there and not refused, changed or not, in the order of ``Flagged``; and the refused."""

    rows: Sequence[tuple[int, int, tuple[str, ...], int]]
    failed: Sequence[int]


@dataclass(frozen=True, slots=True)
class StoreFlags:
    """Change flags and keywords of messages (RFC 3501 section 6.4.6, UNCHANGEDSINCE by RFC 7162 section 3.1.3).

    A message that would not change keeps its MODSEQ. ``uids`` ascend. ``rights`` are those of who does it: flags that
    they do not let one change stay as they are (RFC 4314 section 4).
    """

    owner: int
    mailbox: int
    uids: Sequence[int]
    mode: Mode
    flags: int
    keywords: tuple[str, ...] = ()
    unchanged_since: int | None = None
    rights: str = ALL_RIGHTS
    by: Actor | None = None
    users: Collection[int] = ()
    weight: int = 0

    @property
    def mailboxes(self) -> Collection[int]:
        """The mailbox of the messages."""
        return (self.mailbox,)

    def apply(self, batch: Batch) -> Stored:
        """Raises ``GoneError``, ``LimitError`` (keywords)."""
        mailbox = owned_mailbox(batch, self.owner, self.mailbox)
        present, rows = self._read(batch)
        failed: list[int] = []
        if self.unchanged_since is not None:
            failed = [row[0] for row in rows if row[3] > self.unchanged_since]
            rows = [row for row in rows if row[3] <= self.unchanged_since]
        targets = {kind: self._target(*kind) for kind in {(row[1], row[2]) for row in rows}}
        groups: dict[tuple[int, str], list[int]] = {}
        unseen = 0
        for uid, flags, text, _ in rows:
            target = targets[flags, text]
            if target != (flags, text):
                groups.setdefault(target, []).append(uid)
                unseen += (flags & SEEN) - (target[0] & SEEN)
        if not groups:
            return Stored([(uid, flags, words.split(text), own) for uid, flags, text, own in rows], failed)
        modseq = batch.modseq(self.mailbox, told=True)
        if unseen:
            batch.change_counters(self.mailbox, unseen=unseen)
        self._write(batch, groups, modseq, present)
        mailbox.changed += [(uid, *target, modseq) for target, uids in groups.items() for uid in uids]
        if self.by is not None:
            uids = sorted(chain.from_iterable(groups.values()))
            asked = acts.flagging(self.mode.value, self.flags, self.keywords)
            acts.record(batch, self.by, Verb.STORE, mailbox, uids, **asked)
        return Stored(_results(rows, targets, modseq), failed)

    def _target(self, flags: int, text: str) -> tuple[int, str]:
        """Return what a message with these flags and keywords shall have."""
        own = settable(self.rights)
        given = self.flags & own
        keywords = self.keywords if "w" in self.rights else ()
        if self.mode is Mode.REPLACE:
            return flags & ~own | given, words.replaced(text, keywords) if "w" in self.rights else text
        if self.mode is Mode.ADD:
            return flags | given, words.added(text, keywords) if keywords else text
        return flags & ~given, words.removed(text, keywords) if keywords else text

    def _read(self, batch: Batch) -> tuple[Sequence[int], list[Row]]:
        """Return the UIDs that are there between the first and the last asked for (if known), and the rows."""
        span = around(self.uids)
        where = span or among(self.uids)
        rows: list[Any] = batch.rows(
            f'SELECT uid, flags, keywords, modseq FROM "{_MESSAGE}" WHERE mailbox_id = %s AND {where.sql} ORDER BY uid',  # noqa: S608
            [self.mailbox, *where.parameters],
        )
        if span is None:
            return (), rows
        present = [row[0] for row in rows]
        if len(rows) > len(self.uids) or self.uids[-1] - self.uids[0] >= len(self.uids):
            wanted = set(self.uids)
            rows = [row for row in rows if row[0] in wanted]
        return present, rows

    def _write(
        self, batch: Batch, groups: dict[tuple[int, str], list[int]], modseq: int, present: Sequence[int]
    ) -> None:
        if len(groups) > _GROUPS:
            batch.cursor.executemany(
                f'UPDATE "{_MESSAGE}" SET flags = %s, keywords = %s, modseq = %s WHERE mailbox_id = %s AND uid = %s',  # noqa: S608
                [(*target, modseq, self.mailbox, uid) for target, uids in groups.items() for uid in uids],
            )
            return
        for (flags, text), uids in groups.items():
            where = among_present(uids, present) if present else among(uids)
            batch.execute(
                f'UPDATE "{_MESSAGE}" SET flags = %s, keywords = %s, modseq = %s WHERE mailbox_id = %s AND {where.sql}',  # noqa: S608
                [flags, text, modseq, self.mailbox, *where.parameters],
            )


def _results(
    rows: Iterable[tuple[int, int, str, int]], targets: Mapping[tuple[int, str], tuple[int, str]], modseq: int
) -> list[tuple[int, int, tuple[str, ...], int]]:
    changed = {kind: target != kind for kind, target in targets.items()}
    results = {kind: (target[0], words.split(target[1])) for kind, target in targets.items()}
    return [(uid, *results[flags, text], modseq if changed[flags, text] else own) for uid, flags, text, own in rows]


# -- Expunge ----------------------------------------------------------------------------------------------------------


class Removed(NamedTuple):
    """What was removed (UIDs, ascending), and the mailbox's MODSEQ after it."""

    uids: Sequence[int]
    modseq: int


@dataclass(frozen=True, slots=True)
class Expunge:
    """Remove messages that are flagged as deleted: all, or those among ``uids`` (ascending).

    Without ``flagged_only`` the ``uids`` are removed whatever their flags (POP3's QUIT).
    """

    owner: int
    mailbox: int
    uids: Sequence[int] | None = None
    flagged_only: bool = True
    by: Actor | None = None
    weight: int = 0

    @property
    def users(self) -> Collection[int]:
        """The owner gets quota back."""
        return (self.owner,)

    @property
    def mailboxes(self) -> Collection[int]:
        """The mailbox of the messages."""
        return (self.mailbox,)

    def apply(self, batch: Batch) -> Removed:
        """Raises ``GoneError``."""
        mailbox = owned_mailbox(batch, self.owner, self.mailbox)
        where = Condition("1 = 1", []) if self.uids is None else among(self.uids)
        if self.flagged_only or self.uids is None:
            where = Condition(f"{where.sql} AND (flags & {DELETED}) <> 0", where.parameters)
        uids = _remove(batch, mailbox, where)
        acts.record(batch, self.by, Verb.EXPUNGE, mailbox, uids)
        return Removed(uids, mailbox.highestmodseq)


def remove_messages(batch: Batch, mailbox: LockedMailbox, uids: Sequence[int]) -> None:
    """Remove these messages (UIDs ascending) from a locked mailbox; its owner is locked too."""
    _remove(batch, mailbox, among(uids))


def _remove(batch: Batch, mailbox: LockedMailbox, where: Condition) -> list[int]:
    """Remove what fulfils the condition; counters, quota and the marks of what is gone follow. Returns the UIDs."""
    cursor = batch.cursor
    parameters = [mailbox.id, *where.parameters]
    cursor.execute(
        f'SELECT uid, size, flags FROM "{_MESSAGE}" WHERE mailbox_id = %s AND {where.sql} ORDER BY uid',  # noqa: S608
        parameters,
    )
    rows = cursor.fetchall()
    if not rows:
        return []
    modseq = batch.modseq(mailbox.id, told=True)
    mailbox.gone += [row[0] for row in rows]
    cursor.execute(
        f'INSERT INTO "{_EXPUNGED}" (mailbox_id, uid, modseq, at) '  # noqa: S608
        f'SELECT mailbox_id, uid, %s, %s FROM "{_MESSAGE}" WHERE mailbox_id = %s AND {where.sql}',
        [modseq, batch.seconds, *parameters],
    )
    cursor.execute(f'DELETE FROM "{_MESSAGE}" WHERE mailbox_id = %s AND {where.sql}', parameters)  # noqa: S608
    size = sum(row[1] for row in rows)
    unseen = sum(1 for row in rows if not row[2] & SEEN)
    batch.change_counters(mailbox.id, messages=-len(rows), unseen=-unseen, size=-size)
    batch.change_quota(mailbox.owner_id, -size)
    return [row[0] for row in rows]


# -- Copy and move ----------------------------------------------------------------------------------------------------


class Copied(NamedTuple):
    """The target's UIDVALIDITY, and UIDs in source and target, in parallel and ascending."""

    uidvalidity: int
    source_uids: Sequence[int]
    target_uids: Sequence[int]


@dataclass(frozen=True, slots=True)
class Copy:
    """Copy messages with flags, keywords and internal date to a mailbox of the same user or of another; all or none.

    Bodies are shared. With ``move`` they leave the source in the same transaction (RFC 6851). ``uids`` ascend. The
    owner of the target pays. ``rights`` in the target are those of who does it: flags that they do not let one set are
    left behind (RFC 4314 section 4).
    """

    owner: int
    source: int
    uids: Sequence[int]
    target: int
    move: bool = False
    target_owner: int | None = None  # None: the same
    rights: str = ALL_RIGHTS
    by: Actor | None = None
    weight: int = 0

    @property
    def users(self) -> Collection[int]:
        """The owner of the target pays for copies, that of the source gets quota back."""
        return {self.owner, self._receiver}

    @property
    def mailboxes(self) -> Collection[int]:
        """Both."""
        return (self.source, self.target)

    @property
    def _receiver(self) -> int:
        return self.owner if self.target_owner is None else self.target_owner

    def apply(self, batch: Batch) -> Copied:
        """Raises ``GoneError`` (source), ``NoSuchMailboxError`` (target), ``OverQuotaError``."""
        source = owned_mailbox(batch, self.owner, self.source)
        try:
            target = owned_mailbox(batch, self._receiver, self.target)
        except GoneError:
            raise NoSuchMailboxError(f"the target {self.target} is gone") from None
        where = among(self.uids)
        batch.cursor.execute(
            f"SELECT uid, body_id, size, flags, keywords, internal_date "  # noqa: S608
            f'FROM "{_MESSAGE}" WHERE mailbox_id = %s AND {where.sql} ORDER BY uid',
            [self.source, *where.parameters],
        )
        rows = batch.cursor.fetchall()
        # Moving takes no room where both belong to the same user.
        takes_room = not self.move or self._receiver != self.owner
        if takes_room and not batch.room_for(self._receiver, sum(row[2] for row in rows), len(rows)):
            raise OverQuotaError(f"user {self._receiver}")
        own, writes = settable(self.rights), "w" in self.rights
        uids = [
            batch.add_message(
                target.id,
                body,
                size=size,
                flags=flags & own,
                keywords=keywords if writes else "",
                internal_date=internal_date,
            )
            for _, body, size, flags, keywords, internal_date in rows
        ]
        found = [row[0] for row in rows]
        if self.move:
            remove_messages(batch, source, found)
        verb = Verb.MOVE if self.move else Verb.COPY
        acts.record(batch, self.by, verb, source, found, **acts.target(target, uids))
        return Copied(target.uidvalidity, found, uids)


# -- Append -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message to append. ``internal_date`` in seconds since 1970; ``None`` is now."""

    body: Prepared
    flags: int = 0
    keywords: tuple[str, ...] = ()
    internal_date: int | None = None


class Appended(NamedTuple):
    """The mailbox's UIDVALIDITY, and the UIDs in the order of the messages."""

    uidvalidity: int
    uids: Sequence[int]


@dataclass(frozen=True, slots=True)
class Append:
    """Put messages into a mailbox, all or none.

    With a ``name`` the mailbox must still be called so: then its id may be one that was remembered. ``rights`` are
    those of who does it: flags that they do not let one set are left out (RFC 4314 section 4).
    """

    owner: int
    mailbox: int
    messages: Sequence[NewMessage]
    name: str = ""
    rights: str = ALL_RIGHTS
    by: Actor | None = None
    freed: int = 0  # octets that the owner gets back in the same transaction, with the one message that goes

    @property
    def users(self) -> Collection[int]:
        """The owner pays."""
        return (self.owner,)

    @property
    def mailboxes(self) -> Collection[int]:
        """Where they go."""
        return (self.mailbox,)

    @property
    def weight(self) -> int:
        """Bytes that go through the transaction; large bodies are in files already."""
        return sum(message.body.weight for message in self.messages)

    def apply(self, batch: Batch) -> Appended:
        """Raises ``NoSuchMailboxError``, ``OverQuotaError``, ``LimitError`` (keywords)."""
        try:
            mailbox = owned_mailbox(batch, self.owner, self.mailbox)
        except GoneError:
            raise NoSuchMailboxError(f"mailbox {self.mailbox} is gone") from None
        if self.name and mailbox.name != self.name:
            raise NoSuchMailboxError(f"mailbox {self.mailbox} is now called {mailbox.name!r}")
        octets = sum(message.body.size for message in self.messages) - self.freed
        if not batch.room_for(self.owner, octets, len(self.messages) - bool(self.freed)):
            raise OverQuotaError(f"user {self.owner}")
        own, writes = settable(self.rights), "w" in self.rights
        texts = [words.added("", message.keywords) if writes else "" for message in self.messages]
        uids = []
        for message, text in zip(self.messages, texts, strict=True):
            body = message.body
            batch.add_body(body.body_id, body.size, body.data, body.summary)
            uids.append(
                batch.add_message(
                    mailbox.id,
                    body.body_id,
                    size=body.size,
                    flags=message.flags & own,
                    keywords=text,
                    internal_date=message.internal_date,
                )
            )
        acts.record(batch, self.by, Verb.APPEND, mailbox, uids)
        return Appended(mailbox.uidvalidity, uids)


# -- Replace ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Replace:
    """Put a message into a mailbox and remove an older one, maybe from another mailbox (RFC 8508).

    Both or neither: a draft is never there twice and never gone. Only the difference in size needs room.
    """

    owner: int
    mailbox: int
    uid: int
    new: Append  # of one message
    by: Actor | None = None

    @property
    def users(self) -> Collection[int]:
        """One pays, one gets quota back."""
        return {self.owner, *self.new.users}

    @property
    def mailboxes(self) -> Collection[int]:
        """Where the old one is, and where the new one goes."""
        return {self.mailbox, *self.new.mailboxes}

    @property
    def weight(self) -> int:
        """Bytes that go through the transaction."""
        return self.new.weight

    def apply(self, batch: Batch) -> Appended:
        """Raises ``GoneError`` (the old message or its mailbox), and what ``Append`` raises."""
        source = owned_mailbox(batch, self.owner, self.mailbox)
        old = batch.rows(
            f'SELECT size FROM "{_MESSAGE}" WHERE mailbox_id = %s AND uid = %s',  # noqa: S608
            [self.mailbox, self.uid],
        )
        if not old:
            raise GoneError(f"message {self.mailbox}:{self.uid} is gone")
        freed = old[0][0] if self.owner == self.new.owner else 0
        appended = replace(self.new, by=None, freed=freed).apply(batch)
        remove_messages(batch, source, [self.uid])
        target = batch.mailbox(self.new.mailbox)
        acts.record(batch, self.by, Verb.REPLACE, source, [self.uid], **acts.target(target, appended.uids))
        return appended
