"""Mailboxes as a tree of names: list, create, delete, rename, subscribe.

A name is data and never a path. Levels are separated by "/"; a level above a mailbox need not be a mailbox itself.
What writes is a unit of work for the group commit; those that need ids first are planned by a function that reads.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from django.db.models import Case, Count, F, IntegerField, OuterRef, QuerySet, Subquery, Value, When
from django.db.models.functions import Coalesce

from mailcore.store.batch import Batch, GoneError, new_uidvalidity
from mailcore.store.changes import remove_messages
from mailcore.store.commit import run
from mailcore.store.models import Expunged, Mailbox, Message, Subscription
from mailcore.store.refusals import (
    HasChildrenError,
    LimitError,
    MailboxExistsError,
    NameNotAllowedError,
    NoSuchMailboxError,
)
from mailcore.store.views import views

INBOX = "INBOX"
SEPARATOR = "/"

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

# Messages removed in one transaction while a mailbox is deleted.
DELETE_SLICE = 5000


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


class Listing(NamedTuple):
    """All mailboxes of a user, and subscribed names that have no mailbox (RFC 3501 section 6.3.6)."""

    rows: Sequence[MailboxRow]
    orphaned_subscriptions: Sequence[str]


# -- Reading ----------------------------------------------------------------------------------------------------------


def listing(owner: int) -> Listing:
    """Return all mailboxes of a user, in no order; a user who has none gets the default ones first."""
    subscribed = set(Subscription.objects.filter(owner_id=owner).values_list("name", flat=True))
    found = list(_rows(owner))
    if not found:
        ensure_defaults(owner)
        return listing(owner) if Mailbox.objects.filter(owner_id=owner).exists() else Listing((), ())
    rows = [_mailbox_row(row, subscribed) for row in found]
    return Listing(rows, sorted(subscribed.difference(row.name for row in rows)))


def status(owner: int, name: str) -> MailboxRow:
    """Return one mailbox by its name. Raises ``NoSuchMailboxError``."""
    row = _rows(owner).filter(name=name).first()
    if row is None:
        raise NoSuchMailboxError(f"user {owner} has no mailbox {name!r}")
    subscribed = Subscription.objects.filter(owner_id=owner, name=name).exists()
    return _mailbox_row(row, {name} if subscribed else ())


def find(owner: int, name: str) -> int:
    """Return the id of a user's mailbox. Raises ``NoSuchMailboxError``."""
    found = Mailbox.objects.filter(owner_id=owner, name=name).values_list("id", flat=True).first()
    if found is None:
        raise NoSuchMailboxError(f"user {owner} has no mailbox {name!r}")
    return found


def _rows(owner: int) -> "QuerySet[Mailbox, tuple[int, ...]]":
    unseen_by_sessions = (
        Message.objects.filter(mailbox=OuterRef("pk"), uid__gte=OuterRef("first_recent_uid"))
        .order_by()
        .values("mailbox")
        .annotate(count=Count("uid"))
        .values("count")
    )
    recent = Case(
        When(uidnext__gt=F("first_recent_uid"), then=Coalesce(Subquery(unseen_by_sessions), Value(0))),
        default=Value(0),
        output_field=IntegerField(),
    )
    return (
        Mailbox.objects.filter(owner_id=owner)
        .order_by()
        .values_list(
            "id", "name", "special_use", "messages", "unseen", recent, "uidnext", "uidvalidity", "highestmodseq", "size"
        )
    )


def _mailbox_row(row: tuple[int, ...], subscribed: Collection[str]) -> MailboxRow:
    mailbox, name, special_use, messages, unseen, recent, *numbers = row
    if recent:
        # Sessions of this process may have been told of more than the row says yet.
        recent = views.recent(mailbox, recent)
    return MailboxRow(mailbox, name, special_use, name in subscribed, messages, unseen, recent, *numbers)  # type: ignore[arg-type]


# -- Names ------------------------------------------------------------------------------------------------------------


def check_name(name: str) -> str:
    """Return the name if a mailbox may have it; raises ``NameNotAllowedError``."""
    levels = name.split(SEPARATOR)
    if not all(levels) or len(levels) > LEVEL_LIMIT:
        raise NameNotAllowedError("a name has between 1 and 32 levels, none of them empty")
    if len(name) > NAME_LIMIT or max(map(len, levels)) > LEVEL_LENGTH_LIMIT:
        raise NameNotAllowedError("the name is too long")
    # Control characters, C0 and C1, and lone surrogates, which neither database nor client takes.
    if any(character < " " or "\x7f" <= character <= "\x9f" or "\ud800" <= character <= "\udfff" for character in name):
        raise NameNotAllowedError("the name has characters that nobody can show")
    if levels[0].upper() == INBOX and levels[0] != INBOX:
        raise NameNotAllowedError("INBOX is written in capitals")
    return name


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
    uidvalidity = new_uidvalidity(batch.now)
    return Mailbox.objects.bulk_create(
        Mailbox(owner_id=owner, name=name, special_use=special_use, uidvalidity=uidvalidity)
        for name, special_use in names.items()
    )


@dataclass(frozen=True, slots=True)
class CreateMailbox:
    """Make a mailbox, and what is missing above it (RFC 3501 section 6.3.3). The result is its id."""

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
        """Raises ``NameNotAllowedError``, ``MailboxExistsError``, ``LimitError``."""
        check_name(self.name)
        batch.user(self.owner)
        _make_defaults(batch, self.owner)
        if Mailbox.objects.filter(owner_id=self.owner, name=self.name).exists():
            raise MailboxExistsError(self.name)
        return _make_with_parents(batch, self.owner, self.name, Mailbox(special_use=self.special_use)).pk


def _make_with_parents(batch: Batch, owner: int, name: str, like: Mailbox) -> Mailbox:
    """Make a mailbox with the counters of ``like``, below mailboxes."""
    _make_parents(batch, owner, [name], room=1)
    like.owner_id, like.name, like.uidvalidity = owner, name, new_uidvalidity(batch.now)
    like.save(force_insert=True)
    return like


def _make_parents(batch: Batch, owner: int, names: Iterable[str], *, room: int) -> None:
    """Make what is missing above these names; raises ``LimitError`` if not so many mailboxes more may be made."""
    wanted = dict.fromkeys(parent for name in names for parent in _above(name))
    mine = Mailbox.objects.filter(owner_id=owner)
    for present in mine.filter(name__in=list(wanted)).values_list("name", flat=True) if wanted else ():
        del wanted[present]
    if room + len(wanted) and mine.count() + len(wanted) + room > MAILBOX_LIMIT:
        raise LimitError(f"at most {MAILBOX_LIMIT} mailboxes")
    if wanted:
        _make(batch, owner, dict.fromkeys(wanted, ""))


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
        mailbox = _owned(batch, self.owner, self.mailbox)
        if mailbox.name == INBOX:
            raise NameNotAllowedError("INBOX stays")
        mine = Message.objects.filter(mailbox_id=self.mailbox)
        uids = list(mine.order_by("uid").values_list("uid", flat=True)[: DELETE_SLICE + 1])
        remove_messages(batch, mailbox, uids[:DELETE_SLICE])
        if len(uids) > DELETE_SLICE:
            return None
        Expunged.objects.filter(mailbox_id=self.mailbox)._raw_delete("default")
        Mailbox.objects.filter(pk=self.mailbox)._raw_delete("default")
        # Sessions that have it open are told, and find it gone.
        batch.touch(self.mailbox)
        return self.mailbox
