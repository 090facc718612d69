"""Mailboxes as a tree of names: list, create, delete, rename, subscribe.

A name is data and never a path. Levels are separated by "/"; a level above a mailbox need not be a mailbox itself.
What writes is a unit of work for the group commit; those that need ids first are planned by a function that reads.
"""

import re
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from django.db import connection

from mailcore.store import access
from mailcore.store.batch import Batch, new_uidvalidity
from mailcore.store.changes import owned_mailbox, remove_messages
from mailcore.store.commit import run
from mailcore.store.flags import DELETED, SEEN
from mailcore.store.models import AccessRight, Expunged, Mailbox, Message, Metadata, Subscription
from mailcore.store.namespaces import INBOX, SEPARATOR, is_reserved
from mailcore.store.refusals import (
    HasChildrenError,
    LimitError,
    MailboxExistsError,
    NameNotAllowedError,
    NoSuchMailboxError,
    UseNotAllowedError,
)
from mailcore.store.rights import ALL_RIGHTS
from mailcore.store.views import views

# What the column and its index take, and what a client can still show.
NAME_LIMIT = 1000
LEVEL_LENGTH_LIMIT = 255
LEVEL_LIMIT = 32
MAILBOX_LIMIT = 20_000
SUBSCRIPTION_LIMIT = 2 * MAILBOX_LIMIT

# What a user has from the start, and its use (RFC 6154).
DEFAULTS = {
    INBOX: "",
    "Drafts": "\\Drafts",
    "Sent": "\\Sent",
    "Junk": "\\Junk",
    "Trash": "\\Trash",
    "Archive": "\\Archive",
}
# What a mailbox may be made for (RFC 6154 section 2, RFC 8457 section 3). \All and \Flagged are no places to put
# messages: they would show messages that are elsewhere, and there are no such mailboxes here.
USES = ("\\Archive", "\\Drafts", "\\Important", "\\Junk", "\\Sent", "\\Trash")

# Messages removed in one transaction while a mailbox is deleted.
DELETE_SLICE = 5000
_DELETE = (
    f'DELETE FROM "{Expunged._meta.db_table}" WHERE mailbox_id = %s',  # noqa: S608 - names are the models'
    f'DELETE FROM "{AccessRight._meta.db_table}" WHERE mailbox_id = %s',  # noqa: S608
    f'DELETE FROM "{Metadata._meta.db_table}" WHERE mailbox_id = %s',  # noqa: S608
    f'DELETE FROM "{Mailbox._meta.db_table}" WHERE id = %s',  # noqa: S608
)


class MailboxRow(NamedTuple):
    """A mailbox as LIST and STATUS show it. All counts are kept in its row, but ``recent``, which is counted."""

    mailbox: int
    name: str
    special_use: str
    subscribed: bool
    messages: int
    unseen: int
    recent: int
    uidnext: int
    uidvalidity: int
    highestmodseq: int
    size: int  # bytes
    rights: str = ALL_RIGHTS  # of who asks
    deleted: int = 0  # messages flagged as deleted, where that was asked for
    deleted_size: int = 0  # bytes


class Listing(NamedTuple):
    """All mailboxes that a user may see, and subscribed names that have no mailbox (RFC 3501 section 6.3.6)."""

    rows: Sequence[MailboxRow]
    orphaned_subscriptions: Sequence[str]


# -- Reading ----------------------------------------------------------------------------------------------------------

# Mailboxes asked about in one statement.
_AT_ONCE = 500


def listing(account: int) -> Listing:
    """Return all mailboxes that a user may see, in no order; one who has none gets the default ones first.

    Those of others have the name under which they are seen, and no special use: they are not for this user's drafts.
    Raises ``GoneError`` if the user does not exist.
    """
    found = _rows("b.owner_id = %s", [account])
    if not found:
        ensure_defaults(account)
        found = _rows("b.owner_id = %s", [account])
    subscribed = set(Subscription.objects.filter(owner_id=account).values_list("name", flat=True))
    rows = [_row(row, row[1] in subscribed) for row in found]
    rows += _shared_rows(account, subscribed)
    rows = [_told(row) if row.recent else row for row in rows]
    return Listing(rows, sorted(subscribed.difference(row.name for row in rows)))


def _shared_rows(account: int, subscribed: Collection[str]) -> list[MailboxRow]:
    visible = {mailbox: rights for mailbox, rights in access.granted(account).items() if "l" in rights}
    if not visible:
        return []
    names = access.shared_names(visible)
    rows = []
    ids = list(names)
    for start in range(0, len(ids), _AT_ONCE):
        some = ids[start : start + _AT_ONCE]
        for row in _rows(f"b.id IN ({', '.join(['%s'] * len(some))})", some):
            name = names[row[0]][1]
            rows.append(_row(row, name in subscribed)._replace(name=name, special_use="", rights=visible[row[0]]))
    return rows


def status(owner: int, name: str) -> MailboxRow:
    """Return one mailbox by its owner and its name. Raises ``NoSuchMailboxError``."""
    found = _rows("b.owner_id = %s AND b.name = %s", [owner, name])
    if not found:
        raise NoSuchMailboxError(f"user {owner} has no mailbox {name!r}")
    with connection.cursor() as cursor:
        cursor.execute(_SUBSCRIBED, [owner, name])
        subscribed = bool(cursor.fetchall())
    return _told(_row(found[0], subscribed))


def find(owner: int, name: str) -> int:
    """Return the id of a user's mailbox. Raises ``NoSuchMailboxError``."""
    found = Mailbox.objects.filter(owner_id=owner, name=name).values_list("id", flat=True).first()
    if found is None:
        raise NoSuchMailboxError(f"user {owner} has no mailbox {name!r}")
    return found


def deleted_totals(mailboxes: Sequence[int]) -> dict[int, tuple[int, int]]:
    """Return how many messages are flagged as deleted in each of these mailboxes, and their size in bytes.

    It looks at every message: ask for few mailboxes at once.
    """
    marks = ", ".join(["%s"] * len(mailboxes))
    with connection.cursor() as cursor:
        cursor.execute(
            f'SELECT mailbox_id, COUNT(*), SUM(size) FROM "{Message._meta.db_table}" '  # noqa: S608
            f"WHERE mailbox_id IN ({marks}) AND (flags & {DELETED}) <> 0 GROUP BY mailbox_id",
            list(mailboxes),
        )
        return {mailbox: (count, int(size)) for mailbox, count, size in cursor.fetchall()}


def _row(columns: tuple[Any, ...], subscribed: bool) -> MailboxRow:
    return MailboxRow(*columns[:3], subscribed, *columns[3:])  # type: ignore[call-arg] # the columns of ``_rows``


# The columns of ``MailboxRow`` but ``subscribed``, up to ``size``. Written once: programs ask for the STATUS of every
# mailbox all the time, and Django would build the statement for ten times as long as the database needs for it.
_ROWS: Final = (
    "SELECT b.id, b.name, b.special_use, b.messages, b.unseen, "  # noqa: S608 - our own models
    "CASE WHEN b.uidnext > b.first_recent_uid THEN "
    f'(SELECT COUNT(*) FROM "{Message._meta.db_table}" m WHERE m.mailbox_id = b.id AND m.uid >= b.first_recent_uid) '
    "ELSE 0 END, b.uidnext, b.uidvalidity, b.highestmodseq, b.size "
    f'FROM "{Mailbox._meta.db_table}" b WHERE '
)
_SUBSCRIBED: Final = f'SELECT 1 FROM "{Subscription._meta.db_table}" WHERE owner_id = %s AND name = %s'  # noqa: S608


def _rows(where: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Return the columns of ``MailboxRow`` but ``subscribed``, up to ``size``; ``where`` is about the mailbox ``b``."""
    with connection.cursor() as cursor:
        cursor.execute(_ROWS + where, parameters)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows


def _told(row: MailboxRow) -> MailboxRow:
    """Correct ``recent``: sessions of this process may have been told of more than the row says yet."""
    told = views.told_up_to(row.mailbox) if row.recent else 0
    if not told:
        return row
    return row._replace(recent=Message.objects.filter(mailbox_id=row.mailbox, uid__gte=told).count())


# -- Names ------------------------------------------------------------------------------------------------------------

# Control characters, C0 and C1, and lone surrogates, which neither database nor client takes; ends of lines and of
# paragraphs (RFC 9051 section 5.1, RFC 5198 section 2); signs that turn the direction of what follows, so that one name
# looks like another.
_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


def check_name(name: str) -> str:
    """Return the name if a mailbox may have it; raises ``NameNotAllowedError``."""
    levels = name.split(SEPARATOR)
    if not all(levels):
        raise NameNotAllowedError("a name has no empty level")
    check_extent(name)
    if max(map(len, levels)) > LEVEL_LENGTH_LIMIT:
        raise NameNotAllowedError("a level of the name is too long")
    if _UNFIT.search(name):
        raise NameNotAllowedError("the name has characters that nobody can show")
    if not name.isascii() and unicodedata.normalize("NFC", name) != name:
        raise NameNotAllowedError("the name is not in its composed form")
    if is_reserved(name):
        raise NameNotAllowedError("the name is where others' mailboxes are")
    if levels[0].upper() == INBOX and levels[0] != INBOX:
        raise NameNotAllowedError("INBOX is written in capitals")
    return name


def check_extent(*names: str) -> None:
    """Raise ``NameNotAllowedError`` if one of these names is too long or has too many levels."""
    for name in names:
        if len(name) > NAME_LIMIT or _depth(name) > LEVEL_LIMIT:
            raise NameNotAllowedError(f"a name has at most {LEVEL_LIMIT} levels and {NAME_LIMIT} characters")


def _depth(name: str) -> int:
    return name.count(SEPARATOR) + 1


def _above(name: str) -> list[str]:
    levels = name.split(SEPARATOR)
    return [SEPARATOR.join(levels[:count]) for count in range(1, len(levels))]


def _tree(owner: int, name: str) -> dict[str, int]:
    """Return the mailbox of that name and all below it, by name."""
    found = Mailbox.objects.filter(owner_id=owner, name__startswith=name).order_by().values_list("name", "id")
    below = name + SEPARATOR
    return {each: mailbox for each, mailbox in found if each == name or each.startswith(below)}


# -- Making -----------------------------------------------------------------------------------------------------------


def ensure_defaults(owner: int) -> None:
    """Give a user who has no mailbox at all the default ones. Safe from several threads and processes at once."""
    if not Mailbox.objects.filter(owner_id=owner).exists():
        run(EnsureDefaults(owner))


_inboxes: dict[int, int] = {}
# Ids remembered before all are forgotten, so that memory has an end.
_INBOXES_LIMIT = 200_000


def inbox_id(owner: int) -> int:
    """Return the id of a user's INBOX; it is made if need be, and stays the same as long as the user exists.

    Raises ``GoneError`` if the user does not exist. Remembered in the process: see ``forget_inbox``.
    """
    known = _inboxes.get(owner)
    if known is not None:
        return known
    found = Mailbox.objects.filter(owner_id=owner, name=INBOX).values_list("id", flat=True).first()
    if found is None:
        run(EnsureDefaults(owner))
        found = find(owner, INBOX)
    if len(_inboxes) >= _INBOXES_LIMIT:
        _inboxes.clear()
    _inboxes[owner] = found
    return found


def cached_inbox_id(owner: int) -> int | None:
    """Return what ``inbox_id`` remembers, without the database; ``None`` when it has not been asked yet."""
    return _inboxes.get(owner)


def forget_inbox(owner: int) -> None:
    """Forget what ``inbox_id`` remembers: the user turned out to be gone."""
    _inboxes.pop(owner, None)


@dataclass(frozen=True, slots=True)
class EnsureDefaults:
    """Make INBOX and the special-use mailboxes for a user who has none."""

    owner: int
    mailboxes: Collection[int] = ()
    weight: int = 0

    @property
    def users(self) -> Collection[int]:
        """The owner's lock keeps others from doing the same."""
        return (self.owner,)

    def apply(self, batch: Batch) -> None:
        """Make what is missing; only INBOX if the user has arranged the others already."""
        batch.user(self.owner)
        _make_defaults(batch, self.owner)


def _make_defaults(batch: Batch, owner: int) -> None:
    mine = Mailbox.objects.filter(owner_id=owner)
    if not mine.exists():
        _make(batch, owner, DEFAULTS)
        Subscription.objects.bulk_create(
            [Subscription(owner_id=owner, name=name) for name in DEFAULTS], ignore_conflicts=True
        )
    elif not mine.filter(name=INBOX).exists():
        _make(batch, owner, {INBOX: ""})


def _make(batch: Batch, owner: int, names: dict[str, str]) -> list[Mailbox]:
    batch.names_changed(owner)
    uidvalidity = new_uidvalidity(batch.now)
    return Mailbox.objects.bulk_create(
        Mailbox(owner_id=owner, name=name, special_use=special_use, uidvalidity=uidvalidity)
        for name, special_use in names.items()
    )


@dataclass(frozen=True, slots=True)
class CreateMailbox:
    """Make a mailbox, and what is missing above it (RFC 3501 section 6.3.3). The result is its id.

    The new ones get the access rights of the nearest mailbox above them. ``special_use``: none or several of ``USES``,
    with spaces between; none may be that of another mailbox already.
    """

    owner: int
    name: str
    special_use: str = ""
    mailboxes: Collection[int] = ()
    weight: int = 0

    @property
    def users(self) -> Collection[int]:
        """The owner's lock keeps the tree as it is."""
        return (self.owner,)

    def apply(self, batch: Batch) -> int:
        """Raises ``NameNotAllowedError``, ``MailboxExistsError``, ``LimitError``, ``UseNotAllowedError``."""
        check_name(self.name)
        batch.user(self.owner)
        _make_defaults(batch, self.owner)
        if Mailbox.objects.filter(owner_id=self.owner, name=self.name).exists():
            raise MailboxExistsError(self.name)
        special_use = check_use(self.owner, self.special_use)
        return _make_with_parents(batch, self.owner, self.name, Mailbox(special_use=special_use)).pk


def check_use(owner: int, wanted: str, mailbox: int = 0) -> str:
    """Return special uses as they are kept, if this mailbox may have them; raises ``UseNotAllowedError``.

    RFC 6154 section 3: a server may refuse what it does not support, and a use that another mailbox has.
    """
    known = {use.lower(): use for use in USES}
    try:
        uses = sorted({known[use.lower()] for use in wanted.split()})
    except KeyError as error:
        raise UseNotAllowedError(f"no mailbox is for {error}") from error
    if uses:
        others = Mailbox.objects.filter(owner_id=owner).exclude(pk=mailbox).exclude(special_use="")
        taken = {use for kept in others.values_list("special_use", flat=True) for use in kept.split()}
        if not taken.isdisjoint(uses):
            raise UseNotAllowedError("another mailbox has this use")
    return " ".join(uses)


def _make_with_parents(batch: Batch, owner: int, name: str, like: Mailbox) -> Mailbox:
    """Make a mailbox with the counters of ``like``, below mailboxes, with the access rights of the nearest of them."""
    nearest = access.nearest_above(owner, name)
    above = _make_parents(batch, owner, [name], room=1)
    batch.names_changed(owner)
    like.owner_id, like.name, like.uidvalidity = owner, name, new_uidvalidity(batch.now)
    like.save(force_insert=True)
    if nearest is not None:
        access.inherit(nearest, [*(box.pk for box in above), like.pk])
    return like


def _make_parents(batch: Batch, owner: int, names: Iterable[str], *, room: int) -> list[Mailbox]:
    """Make what is missing above these names; raises ``LimitError`` if not so many mailboxes more may be made."""
    wanted = dict.fromkeys(parent for name in names for parent in _above(name))
    mine = Mailbox.objects.filter(owner_id=owner)
    for present in mine.filter(name__in=list(wanted)).values_list("name", flat=True) if wanted else ():
        del wanted[present]
    if room + len(wanted) and mine.count() + len(wanted) + room > MAILBOX_LIMIT:
        raise LimitError(f"at most {MAILBOX_LIMIT} mailboxes")
    return _make(batch, owner, dict.fromkeys(wanted, "")) if wanted else []


# -- Deleting ---------------------------------------------------------------------------------------------------------


def plan_delete(owner: int, name: str) -> "DeleteMailbox":
    """Find what DELETE is about. Raises ``NameNotAllowedError``, ``NoSuchMailboxError``, ``HasChildrenError``."""
    if name.upper() == INBOX:
        raise NameNotAllowedError("INBOX stays")
    tree = _tree(owner, name)
    if not tree:
        raise NoSuchMailboxError(f"user {owner} has no mailbox {name!r}")
    if name not in tree:
        raise HasChildrenError(name)
    return DeleteMailbox(owner, tree[name])


@dataclass(frozen=True, slots=True)
class DeleteMailbox:
    """Remove a mailbox with its messages, not those below it (RFC 3501 section 6.3.4).

    The result is its id when it is gone, and ``None`` when so much was in it that there is more to do: submit it again.
    """

    owner: int
    mailbox: int
    weight: int = 0

    @property
    def users(self) -> Collection[int]:
        """The owner gets quota back."""
        return (self.owner,)

    @property
    def mailboxes(self) -> Collection[int]:
        """The one that goes."""
        return (self.mailbox,)

    def apply(self, batch: Batch) -> int | None:
        """Raises ``NoSuchMailboxError``, ``NameNotAllowedError`` for INBOX."""
        mailbox = owned_mailbox(batch, self.owner, self.mailbox)
        if mailbox.name == INBOX:
            raise NameNotAllowedError("INBOX stays")
        mine = Message.objects.filter(mailbox_id=self.mailbox)
        uids = list(mine.order_by("uid").values_list("uid", flat=True)[: DELETE_SLICE + 1])
        remove_messages(batch, mailbox, uids[:DELETE_SLICE])
        if len(uids) > DELETE_SLICE:
            return None
        for statement in _DELETE:
            batch.cursor.execute(statement, [self.mailbox])
        batch.names_changed(self.owner)
        # Sessions that have it open are told, and find it gone.
        batch.touch(self.mailbox)
        return self.mailbox


# -- Renaming ---------------------------------------------------------------------------------------------------------


def plan_rename(owner: int, old: str, new: str) -> "RenameMailbox | RenameInbox":
    """Find what RENAME is about. Raises ``NoSuchMailboxError``, ``NameNotAllowedError``."""
    check_name(new)
    if old == INBOX:
        return RenameInbox(owner, inbox_id(owner), new)
    if new.startswith(old + SEPARATOR):
        raise NameNotAllowedError("a mailbox cannot move below itself")
    tree = _tree(owner, old)
    if not tree:
        raise NoSuchMailboxError(f"user {owner} has no mailbox {old!r}")
    return RenameMailbox(owner, old, new, tuple(tree.values()))


@dataclass(frozen=True, slots=True)
class RenameMailbox:
    """Rename a mailbox and all below it; subscriptions stay with their names (RFC 3501 section 6.3.5)."""

    owner: int
    old: str
    new: str
    mailboxes: Collection[int]
    weight: int = 0

    @property
    def users(self) -> Collection[int]:
        """The owner's lock keeps the tree as it is."""
        return (self.owner,)

    def apply(self, batch: Batch) -> None:
        """Raises ``NoSuchMailboxError``, ``MailboxExistsError``, ``NameNotAllowedError``, ``LimitError``."""
        batch.user(self.owner)
        tree = _tree(self.owner, self.old)
        if not tree:
            raise NoSuchMailboxError(f"user {self.owner} has no mailbox {self.old!r}")
        check_name(self.new)
        targets = {name: self.new + name[len(self.old) :] for name in tree}
        # What stands below stays as it is and was allowed; only the whole may have become too long or too deep.
        check_extent(max(targets.values(), key=len), max(targets.values(), key=_depth))
        others = Mailbox.objects.filter(owner_id=self.owner, name__startswith=self.new).values_list("name", flat=True)
        if not tree.keys().isdisjoint({self.new}) or set(others).difference(tree).intersection(targets.values()):
            raise MailboxExistsError(self.new)
        _make_parents(batch, self.owner, [self.new], room=0)
        batch.names_changed(self.owner)
        if self.old.startswith(self.new + SEPARATOR):
            # The tree moves up, where its own names are: shorter ones first, so that a name is free before it is taken.
            renames = [(targets[name], tree[name]) for name in sorted(tree, key=len)]
            batch.cursor.executemany(_RENAME, renames)
            return
        below = self.old + SEPARATOR
        batch.cursor.execute(_RENAME_TREE, [self.new, len(self.old) + 1, self.owner, self.old, len(below), below])


_RENAME = f'UPDATE "{Mailbox._meta.db_table}" SET name = %s WHERE id = %s'  # noqa: S608 - the name is the model's
# One statement: ten thousand would keep all other writers waiting.
_RENAME_TREE = (
    f'UPDATE "{Mailbox._meta.db_table}" SET name = %s || substr(name, %s) '  # noqa: S608
    "WHERE owner_id = %s AND (name = %s OR substr(name, 1, %s) = %s)"
)


@dataclass(frozen=True, slots=True)
class RenameInbox:
    """Move all messages of INBOX to a new mailbox; INBOX stays, and what is below it (RFC 3501 section 6.3.5).

    The messages keep their UIDs and everything else: a new mailbox has a new UIDVALIDITY.
    """

    owner: int
    inbox: int
    new: str
    weight: int = 0

    @property
    def users(self) -> Collection[int]:
        """The owner's lock keeps the tree as it is."""
        return (self.owner,)

    @property
    def mailboxes(self) -> Collection[int]:
        """INBOX; nobody else can know the new one."""
        return (self.inbox,)

    def apply(self, batch: Batch) -> None:
        """Raises ``MailboxExistsError``, ``NameNotAllowedError``, ``LimitError``."""
        check_name(self.new)
        batch.user(self.owner)
        inbox = owned_mailbox(batch, self.owner, self.inbox)
        if Mailbox.objects.filter(owner_id=self.owner, name=self.new).exists():
            raise MailboxExistsError(self.new)
        cursor = batch.cursor
        cursor.execute(_TOTALS, [self.inbox])
        messages, unseen, size = cursor.fetchone()
        made = _make_with_parents(
            batch,
            self.owner,
            self.new,
            Mailbox(
                uidnext=inbox.uidnext, highestmodseq=inbox.highestmodseq, messages=messages, unseen=unseen, size=size
            ),
        )
        if messages:
            modseq = batch.modseq(self.inbox)
            cursor.execute(_EXPUNGE_ALL, [modseq, batch.seconds, self.inbox])
            cursor.execute(_MOVE_ALL, [made.pk, self.inbox])
            batch.change_counters(self.inbox, messages=-messages, unseen=-unseen, size=-size)


_MESSAGE = Message._meta.db_table
_TOTALS = (
    f"SELECT COUNT(*), COALESCE(SUM(CASE WHEN (flags & {SEEN}) = 0 THEN 1 ELSE 0 END), 0), COALESCE(SUM(size), 0) "  # noqa: S608
    f'FROM "{_MESSAGE}" WHERE mailbox_id = %s'
)
_EXPUNGE_ALL = (
    f'INSERT INTO "{Expunged._meta.db_table}" (mailbox_id, uid, modseq, at) '  # noqa: S608 - names are the models'
    f'SELECT mailbox_id, uid, %s, %s FROM "{_MESSAGE}" WHERE mailbox_id = %s'
)
_MOVE_ALL = f'UPDATE "{_MESSAGE}" SET mailbox_id = %s WHERE mailbox_id = %s'  # noqa: S608


# -- Subscriptions ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Add a name to the subscribed ones, or take it away (RFC 3501 sections 6.3.6 and 6.3.7)."""

    owner: int
    name: str
    subscribed: bool
    seen: bool = False  # the mailbox is another's, and has been looked up
    users: Collection[int] = ()
    mailboxes: Collection[int] = ()
    weight: int = 0

    def apply(self, batch: Batch) -> None:
        """Raises ``NoSuchMailboxError`` for a name to be added that is no mailbox; taking away never fails."""
        batch.names_changed(self.owner)
        mine = Subscription.objects.filter(owner_id=self.owner)
        if not self.subscribed:
            mine.filter(name=self.name).delete()
            return
        if not self.seen:
            find(self.owner, self.name)
        if mine.count() >= SUBSCRIPTION_LIMIT:
            raise LimitError(f"at most {SUBSCRIPTION_LIMIT} subscriptions")
        Subscription.objects.bulk_create([Subscription(owner_id=self.owner, name=self.name)], ignore_conflicts=True)
