"""Whose mailbox a name means, and what an account may do in it (RFC 4314).

    resolve(account, name, "r")     where a name leads; own mailboxes without a look at the database
    rights_in(account, mailbox)     what an account may do in a mailbox that is another's
    AccessChange(…)                 a unit of work: SETACL and DELETEACL

A mailbox is named by its owner and its own id; the owner has all rights in it, always. Others have what the entries
for themselves, for their groups and for anyone give them together, less what negative entries take away. Anyone is who
is in the owner's domain: on a server of several domains, "anyone" would else be strangers. A person or a group may be
named from anywhere on this server, and nobody from elsewhere.

Without ``l`` a mailbox is as if it did not exist, unless what is asked for is allowed. What somebody has been granted
is remembered in each process until any right, user, group or domain changes.
"""

from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.contrib.auth.models import Group
from django.db.models import Q, QuerySet

from a3mailer_site.generations import Watch, listen
from a3mailer_site.models import Generation
from accounts.addresses import fold, normalize
from accounts.models import User
from mailcore.store.batch import Batch, GoneError
from mailcore.store.models import AccessRight, Mailbox
from mailcore.store.namespaces import SEPARATOR, parse_shared, shared_name
from mailcore.store.refusals import (
    LimitError,
    NameNotAllowedError,
    NoPermissionError,
    NoSuchIdentifierError,
    NoSuchMailboxError,
    OwnerRightsError,
)
from mailcore.store.rights import ALL_RIGHTS, ordered
from security.audit import record
from security.models import AuditEntry

GENERATION = "access"
ANYONE = "anyone"
GROUP_SIGN = "$"
NEGATIVE_SIGN = "-"

# Entries in the list of one mailbox.
ENTRY_LIMIT = 500
# Mailboxes that are remembered as granted, of all accounts together.
_REMEMBERED = 200_000

Granted = Mapping[int, str]


class Place(NamedTuple):
    """Where a name leads."""

    owner: int
    name: str  # of the mailbox, under its owner
    rights: str  # of who asked
    mailbox: int = 0  # 0: one of the account's own, which has not been looked for

    def demand(self, needed: str) -> "Place":
        """Return this if all these rights are there; raises ``NoPermissionError``, ``NoSuchMailboxError``."""
        demand(self.rights, needed)
        return self


def demand(rights: str, needed: str) -> None:
    """Raise unless all needed rights are there: whoever may not look up a mailbox is not told that there is one."""
    if set(needed) <= set(rights):
        return
    if "l" in rights:
        raise NoPermissionError(f"needs {needed}, has {rights}")
    raise NoSuchMailboxError("a mailbox that may not be looked up")


# -- Where a name leads -----------------------------------------------------------------------------------------------


def resolve(account: int, name: str, needed: str = "") -> Place:
    """Return whose mailbox this is, if the account has the needed rights in it.

    Raises ``NoSuchMailboxError``, ``NoPermissionError``. An own mailbox need not exist: whoever goes on with the name
    finds out.
    """
    shared = parse_shared(name)
    if shared is None:
        return Place(account, name, ALL_RIGHTS)
    owner = _owner(account, shared.owner)
    mailbox = None
    if owner is not None and shared.name:
        mailbox = Mailbox.objects.filter(owner_id=owner, name=shared.name).values_list("id", flat=True).first()
    if owner is None or mailbox is None:
        raise NoSuchMailboxError(f"nobody shares {name!r} with {account}")
    rights = granted(account).get(mailbox, "")
    if not rights:
        raise NoSuchMailboxError(f"{name!r} is not shared with {account}")
    return Place(owner, shared.name, rights, mailbox).demand(needed)


def resolve_new(account: int, name: str) -> Place:
    """Return under whom a mailbox may be made; another's needs ``k`` in the nearest mailbox above it.

    Raises ``NoPermissionError``, the same whether the owner exists or not.
    """
    shared = parse_shared(name)
    if shared is None:
        return Place(account, name, ALL_RIGHTS)
    owner = _owner(account, shared.owner)
    above = None if owner is None else nearest_above(owner, shared.name)
    rights = "" if above is None else granted(account).get(above, "")
    if owner is None or "k" not in rights:
        raise NoPermissionError(f"no right to make {name!r}")
    return Place(owner, shared.name, rights)


def resolve_both(account: int, old: str, new: str) -> tuple[Place, Place]:
    """Return where a mailbox may be renamed from and to: needs ``x`` in it, ``k`` above its new place.

    Raises what ``resolve`` and ``resolve_new`` do, ``NameNotAllowedError`` where it would get another owner.
    """
    source = resolve(account, old, "x")
    target = resolve_new(account, new)
    if source.owner != target.owner:
        raise NameNotAllowedError("a mailbox stays with its owner")
    return source, target


def nearest_above(owner: int, name: str) -> int | None:
    """Return the mailbox that is next above this name, if there is one."""
    levels = name.split(SEPARATOR)
    above = [SEPARATOR.join(levels[:count]) for count in range(1, len(levels))]
    found = dict(Mailbox.objects.filter(owner_id=owner, name__in=above).values_list("name", "id")) if above else {}
    return found[max(found, key=len)] if found else None


def _owner(account: int, label: str) -> int | None:
    """Return whom a level of the others' namespace names, if not the account itself."""
    owner = User.objects.filter(Q(email=label) | Q(email__isnull=True, username=label)).values_list("pk", flat=True)
    return owner.exclude(pk=account).first()


def label(email: str | None, username: str) -> str:
    """Return what a user is called in access control lists and in the others' namespace."""
    return email or username


# -- What somebody may do ---------------------------------------------------------------------------------------------


class _Memory:
    """What accounts have been granted. A new one takes its place when anything changes."""

    def __init__(self) -> None:
        self.granted: dict[int, Granted] = {}
        self.size = 0

    def put(self, account: int, granted: Granted) -> None:
        if self.size + len(granted) + 1 > _REMEMBERED:
            self.granted, self.size = {}, 0
        self.granted[account] = granted
        self.size += len(granted) + 1


_memory = _Memory()
_watches = (Watch(GENERATION), Watch(User.cached_under))


def forget() -> None:
    """Forget what anybody has been granted."""
    global _memory  # noqa: PLW0603
    _memory = _Memory()


for _name in (GENERATION, User.cached_under):
    listen(_name, forget)


def granted(account: int) -> Granted:
    """Return the rights of an account in each mailbox of others in which it has any."""
    for watch in _watches:
        watch.look()
    memory = _memory  # one that is forgotten meanwhile takes along what was read too early
    found = memory.granted.get(account)
    if found is None:
        found = _read_granted(account)
        memory.put(account, found)
    return found


def known_rights(account: int, mailbox: int) -> str | None:
    """Return what ``rights_in`` would, without the database, for the reactor's thread; ``None`` if it must be read."""
    if not all(watch.fresh for watch in _watches):
        return None
    found = _memory.granted.get(account)
    return None if found is None else found.get(mailbox, "")


def rights_in(account: int, mailbox: int) -> str:
    """Return what the account may do in a mailbox of somebody else's, "" for nothing."""
    return granted(account).get(mailbox, "")


def _read_granted(account: int) -> Granted:
    user = User.objects.filter(pk=account).values_list("domain_id", flat=True)
    if not user:
        return {}
    domain = user[0]
    groups = list(User.groups.through.objects.filter(user_id=account).values_list("group_id", flat=True))
    entries = [*_entries(account, Q(user_id=account))]
    if groups:
        entries += _entries(account, Q(group_id__in=groups))
    # Nobody's domain is a domain too: that of administrators without an address.
    entries += _entries(account, Q(user__isnull=True, group__isnull=True, mailbox__owner__domain_id=domain))
    given: dict[int, set[str]] = {}
    taken: dict[int, set[str]] = {}
    for mailbox, negative, rights in entries:
        (taken if negative else given).setdefault(mailbox, set()).update(rights)
    effective = {mailbox: ordered("".join(rights - taken.get(mailbox, set()))) for mailbox, rights in given.items()}
    return {mailbox: rights for mailbox, rights in effective.items() if rights}


def _entries(account: int, who: Q) -> "QuerySet[AccessRight, tuple[int, bool, str]]":
    """Return the entries for somebody; mailboxes of users who are disabled or in the trash are nobody's to see."""
    owner_is_here = Q(mailbox__owner__is_active=True, mailbox__owner__deleted_at__isnull=True) & (
        Q(mailbox__owner__domain__isnull=True) | Q(mailbox__owner__domain__enabled=True)
    )
    rows = AccessRight.objects.filter(who, owner_is_here).exclude(mailbox__owner_id=account).order_by()
    return rows.values_list("mailbox_id", "negative", "rights")


def shared_names(mailboxes: Iterable[int]) -> dict[int, tuple[int, str]]:
    """Return of these mailboxes the owner and the name under which others see them."""
    found: dict[int, tuple[int, str]] = {}
    ids = list(mailboxes)
    for start in range(0, len(ids), 500):
        rows = Mailbox.objects.filter(pk__in=ids[start : start + 500]).order_by()
        for pk, owner, name, email, username in rows.values_list(
            "pk", "owner_id", "name", "owner__email", "owner__username"
        ):
            found[pk] = owner, shared_name(label(email, username), name)
    return found


# -- The access control list ------------------------------------------------------------------------------------------


class Entry(NamedTuple):
    """One line of a list: an identifier in its canonical form, and rights."""

    identifier: str
    rights: str


class _Who(NamedTuple):
    """Whom an identifier means."""

    user: int | None
    group: int | None
    negative: bool
    identifier: str  # canonical

    @property
    def row(self) -> Q:
        """The entry that is about them, of either sign."""
        user = Q(user__isnull=True) if self.user is None else Q(user_id=self.user)
        return user & (Q(group__isnull=True) if self.group is None else Q(group_id=self.group))


def entries(owner: int, mailbox: int) -> list[Entry]:
    """Return the list of a mailbox, its owner first. Who is in the trash is left out."""
    email, username = User.objects.values_list("email", "username").get(pk=owner)
    listed = [Entry(label(email, username), ALL_RIGHTS)]
    rows = AccessRight.objects.filter(mailbox_id=mailbox, user__deleted_at__isnull=True).order_by("pk")
    listed += [Entry(identifier_of(row), row.rights) for row in rows.select_related("user", "group")]
    return listed


def identifier_of(entry: AccessRight) -> str:
    """Return the identifier of an entry in its canonical form."""
    if entry.user is not None:
        name = label(entry.user.email, entry.user.username)
    else:
        name = ANYONE if entry.group is None else GROUP_SIGN + entry.group.name
    return (NEGATIVE_SIGN if entry.negative else "") + name


def possible(owner: int, identifier: str) -> tuple[str, str]:
    """Return the rights that an identifier always has in a mailbox of this owner, and those that it may be given.

    Raises ``NoSuchIdentifierError``.
    """
    who = _identify(identifier)
    if who.user == owner:
        return ("", "") if who.negative else (ALL_RIGHTS, "")
    return "", ALL_RIGHTS


def _identify(identifier: str) -> _Who:
    """Find whom an identifier means: a login name or address, ``$`` and a group's name, ``anyone``."""
    negative = identifier.startswith(NEGATIVE_SIGN)
    name = identifier.removeprefix(NEGATIVE_SIGN) if negative else identifier
    sign = NEGATIVE_SIGN if negative else ""
    if name == ANYONE:
        return _Who(None, None, negative, sign + ANYONE)
    if name.startswith(GROUP_SIGN):
        group = Group.objects.filter(name=name.removeprefix(GROUP_SIGN)).first()
        if group is not None:
            return _Who(None, group.pk, negative, sign + GROUP_SIGN + group.name)
    else:
        user = _find_user(name)
        if user is not None:
            return _Who(user.pk, None, negative, sign + label(user.email, user.username))
    raise NoSuchIdentifierError(name)


def _find_user(name: str) -> User | None:
    """Find a user as at login: by name, or by address."""
    wanted = Q(username=fold(name))
    with suppress(ValueError):
        wanted |= Q(email=normalize(name))
    return User.objects.filter(wanted).order_by("pk").first()


@dataclass(frozen=True, slots=True)
class AccessChange:
    """Give, add or take rights (RFC 4314 sections 3.1 and 3.2), and write it down in the audit log.

    ``mode`` is "+" to add, "-" to remove, "" to replace; nothing left is no entry. ``by`` is who does it, from
    ``address``; ``administrator``: of the server, who needs no right in the mailbox. Who has the mailbox selected is
    rung for, and what anybody remembers of rights is forgotten.
    """

    owner: int
    mailbox: int
    identifier: str
    mode: str
    rights: str
    by: int
    address: str | None = None
    administrator: bool = False
    users: Collection[int] = ()
    weight: int = 0

    @property
    def mailboxes(self) -> Collection[int]:
        """The one whose list it is: its lock keeps two changes apart."""
        return (self.mailbox,)

    def apply(self, batch: Batch) -> None:
        """Raises ``GoneError``, ``NoSuchIdentifierError``, ``OwnerRightsError``, ``LimitError``."""
        mailbox = batch.mailbox(self.mailbox)
        if mailbox.owner_id != self.owner:
            raise GoneError(f"mailbox {self.mailbox} is not of user {self.owner}")
        # Once more, under the lock: the right to do this may be gone.
        if not self.administrator and self.by != self.owner and "a" not in rights_in(self.by, self.mailbox):
            raise NoPermissionError(f"user {self.by} may not change rights in mailbox {self.mailbox}")
        who = _identify(self.identifier)
        if who.user == self.owner:
            self._check_owner(who)
            return
        mine = AccessRight.objects.filter(mailbox_id=self.mailbox)
        entry = mine.filter(who.row, negative=who.negative).first()
        before = entry.rights if entry else ""
        after = self._after(before)
        if after == before:
            return
        if entry is None and mine.count() >= ENTRY_LIMIT:
            raise LimitError(f"at most {ENTRY_LIMIT} entries")
        if not after and entry is not None:
            entry.delete()
        else:
            entry = entry or AccessRight(
                mailbox_id=self.mailbox, user_id=who.user, group_id=who.group, negative=who.negative
            )
            entry.rights = after
            entry.save()
        batch.touch(self.mailbox)
        Generation.objects.bump(GENERATION)
        self._write_down(mailbox.name, who.identifier, before, after)

    def _after(self, before: str) -> str:
        given = ordered(self.rights)
        if self.mode == "+":
            return ordered(before + given)
        if self.mode == "-":
            return "".join(right for right in before if right not in given)
        return given

    def _check_owner(self, who: _Who) -> None:
        """Let pass what changes nothing; the owner has all rights."""
        if self._after("" if who.negative else ALL_RIGHTS) != ("" if who.negative else ALL_RIGHTS):
            raise OwnerRightsError("the owner of a mailbox has all rights in it")

    def _write_down(self, name: str, identifier: str, before: str, after: str) -> None:
        owner = User.everybody.values_list("email", "username").get(pk=self.owner)
        record(
            "mailbox_access_changed",
            AuditEntry.EventType.AUTHORIZATION,
            source_ip=self.address,
            user_id=self.by,
            metadata={
                "owner": label(*owner),
                "mailbox": name,
                "identifier": identifier,
                "before": {"rights": before},
                "after": {"rights": after},
                "rights": after,
            },
        )


def inherit(parent: int, children: Iterable[int]) -> None:
    """Give new mailboxes the list of the one above them (RFC 4314 section 4, CREATE). In the caller's transaction."""
    rows: list[Any] = list(AccessRight.objects.filter(mailbox_id=parent).values("user", "group", "negative", "rights"))
    copies = [
        AccessRight(
            mailbox_id=child,
            user_id=row["user"],
            group_id=row["group"],
            negative=row["negative"],
            rights=row["rights"],
        )
        for child in children
        for row in rows
    ]
    if copies:
        AccessRight.objects.bulk_create(copies)
        Generation.objects.bump(GENERATION)


def forget_on_change(action: str = "post", **_: Any) -> None:
    """Make every process forget (a receiver of signals): who is in a group, or a group, has changed."""
    if action.startswith("post"):
        Generation.objects.bump(GENERATION)
