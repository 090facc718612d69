"""Annotations of mailboxes and of the server (RFC 5464): read by name and depth, written all or none.

Entries have names such as ``/shared/comment`` and ``/private/vendor/…``, in lower case. Private ones are the user's
who wrote them, in whosever mailbox; shared ones everybody's who may read the mailbox. Those of the server that are
shared are the administrators' to write.

Two are not kept here: ``/private/specialuse`` is the special use of an own mailbox (RFC 6154 section 5.3), and
``/shared/admin`` of the server, where no administrator has written one, the address that every mail server must have.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from django.db.models import Q, QuerySet, Sum
from django.db.models.functions import Length

from accounts.models import User
from mailcore.store.batch import Batch
from mailcore.store.changes import owned_mailbox
from mailcore.store.mailboxes import check_use
from mailcore.store.models import AccessRight, Mailbox, Metadata
from mailcore.store.refusals import NoPermissionError, TooManyEntriesError, UseNotAllowedError, ValueTooLongError

PRIVATE, SHARED = "/private", "/shared"
SPECIAL_USE = "/private/specialuse"
ADMINISTRATOR = "/shared/admin"

VALUE_LIMIT = 32 * 1024  # bytes
# Entries of one mailbox (or the server), shared ones and those of each user.
ENTRY_LIMIT = 100
# Bytes of all values: shared ones in the mailboxes of one owner, private ones of one user.
TOTAL_LIMIT = 8 * 1024 * 1024

# Mailboxes whose entries are read in one statement.
_AT_ONCE = 500


class Found(NamedTuple):
    """Entries and their values, and the length of the longest that was left out for being too long (0: none)."""

    values: Sequence[tuple[str, bytes]]
    longest: int


def read(account: int, mailbox: int | None, entries: Sequence[str], depth: int, most: int | None = None) -> Found:
    """Return entries of a mailbox, or of the server, and what is below them down to ``depth`` (-1: all of it).

    ``most``: longer values are left out.
    """
    sizes = dict(_visible(account, Q(mailbox_id=mailbox)).values_list("entry", Length("value")))
    computed = _computed(account, mailbox)
    sizes.update({entry: len(value) for entry, value in computed.items() if entry not in sizes})
    wanted = sorted(entry for entry in sizes if any(_is_meant(entry, asked, depth) for asked in entries))
    short = [entry for entry in wanted if most is None or sizes[entry] <= most]
    rows = _visible(account, Q(mailbox_id=mailbox), short).values_list("entry", "value")
    values = {**computed, **{entry: bytes(value) for entry, value in rows}}
    longest = max((sizes[entry] for entry in set(wanted).difference(short)), default=0)
    return Found([(entry, values[entry]) for entry in short if entry in values], longest)


def read_many(account: int, mailboxes: Sequence[int], entries: Sequence[str]) -> dict[int, dict[str, bytes]]:
    """Return these entries of many mailboxes, by mailbox."""
    found: dict[int, dict[str, bytes]] = {}
    for start in range(0, len(mailboxes), _AT_ONCE):
        part = Q(mailbox_id__in=mailboxes[start : start + _AT_ONCE])
        for mailbox, entry, value in _visible(account, part, entries).values_list("mailbox_id", "entry", "value"):
            found.setdefault(mailbox, {})[entry] = bytes(value)
        if SPECIAL_USE in entries:
            uses = Mailbox.objects.filter(owner_id=account, pk__in=mailboxes[start : start + _AT_ONCE])
            for mailbox, use in uses.exclude(special_use="").values_list("pk", "special_use"):
                found.setdefault(mailbox, {})[SPECIAL_USE] = use.encode("ascii")
    return found


def versions(account: int, mailboxes: Sequence[int]) -> dict[int, dict[str, int | str]]:
    """Return which entries there are, by mailbox, and by 0 those of the server.

    With each stands what becomes another whenever it is written.
    """
    found: dict[int, dict[str, int | str]] = {}
    parts = [mailboxes[start : start + _AT_ONCE] for start in range(0, len(mailboxes), _AT_ONCE)]
    for where in (Q(mailbox_id__isnull=True), *(Q(mailbox_id__in=part) for part in parts)):
        for mailbox, entry, key in _visible(account, where).values_list("mailbox_id", "entry", "pk"):
            found.setdefault(mailbox or 0, {})[entry] = key
    for part in parts:
        uses = Mailbox.objects.filter(owner_id=account, pk__in=part).exclude(special_use="")
        for mailbox, use in uses.values_list("pk", "special_use"):
            found.setdefault(mailbox, {})[SPECIAL_USE] = use
    return found


def _visible(account: int, where: Q, entries: Iterable[str] | None = None) -> QuerySet[Metadata]:
    rows = Metadata.objects.filter(where, Q(user__isnull=True) | Q(user_id=account)).order_by()
    return rows if entries is None else rows.filter(entry__in=list(entries))


def _is_meant(entry: str, asked: str, depth: int) -> bool:
    if entry == asked:
        return True
    if depth == 0 or not entry.startswith(asked + "/"):
        return False
    return depth < 0 or entry.count("/", len(asked)) <= depth


def _computed(account: int, mailbox: int | None) -> dict[str, bytes]:
    """Return what is not kept as an entry."""
    if mailbox is None:
        domain = User.objects.filter(pk=account, domain__isnull=False).values_list("domain__name", flat=True).first()
        # RFC 5464 section 6.2.1.2: a URI. RFC 5321 section 4.5.1: every domain has a postmaster.
        return {} if domain is None else {ADMINISTRATOR: f"mailto:postmaster@{domain}".encode()}
    use = Mailbox.objects.filter(pk=mailbox, owner_id=account).values_list("special_use", flat=True).first()
    return {SPECIAL_USE: use.encode("ascii")} if use else {}


def check_administrator(account: int) -> None:
    """Raise ``NoPermissionError`` unless the account may write what the server says to everybody."""
    if not User.objects.filter(pk=account, is_active=True, is_superuser=True).exists():
        raise NoPermissionError(f"user {account} is no administrator")


@dataclass(frozen=True, slots=True)
class SetMetadata:
    """Write or remove entries, all or none. Without a mailbox they are the server's; ``None`` removes."""

    account: int
    owner: int  # of the mailbox; the account itself for the server's
    mailbox: int | None
    values: Mapping[str, bytes | None]
    weight: int = 0

    @property
    def users(self) -> Collection[int]:
        """Their locks keep the totals."""
        return {self.account, self.owner}

    @property
    def mailboxes(self) -> Collection[int]:
        """The one that is described."""
        return () if self.mailbox is None else (self.mailbox,)

    def apply(self, batch: Batch) -> None:
        """Raises ``GoneError``, ``ValueTooLongError``, ``TooManyEntriesError``, ``UseNotAllowedError``."""
        batch.user(self.account)
        if self.mailbox is not None:
            owned_mailbox(batch, self.owner, self.mailbox)
        if max((len(value) for value in self.values.values() if value), default=0) > VALUE_LIMIT:
            raise ValueTooLongError(f"a value has at most {VALUE_LIMIT} bytes")
        kept = dict(self.values)
        if self.mailbox is not None and SPECIAL_USE in kept:
            self._set_use(self.mailbox, kept.pop(SPECIAL_USE) or b"")
        if self.mailbox is not None:
            batch.modseq(self.mailbox, told=True)  # RFC 7162 section 3.2; no message has changed
        batch.annotations_changed(self._seen_by())
        for user in (None, self.account):
            prefix = SHARED if user is None else PRIVATE
            self._write(user, {entry: value for entry, value in kept.items() if entry.startswith(prefix)})

    def _seen_by(self) -> int:
        """Return the user who sees what is written, or 0 where others see it too."""
        if not any(entry.startswith(SHARED) for entry in self.values):
            return self.account
        if self.mailbox is None or self.owner != self.account:
            return 0
        return 0 if AccessRight.objects.filter(mailbox_id=self.mailbox).exists() else self.account

    def _set_use(self, mailbox: int, value: bytes) -> None:
        if self.owner != self.account:
            raise UseNotAllowedError("a special use is the owner's to give")
        use = check_use(self.owner, value.decode("ascii", "replace"), mailbox)
        Mailbox.objects.filter(pk=mailbox).update(special_use=use)

    def _write(self, user: int | None, values: Mapping[str, bytes | None]) -> None:
        if not values:
            return
        whose = Q(user__isnull=True) if user is None else Q(user_id=user)
        here = Metadata.objects.filter(whose, Q(mailbox_id=self.mailbox))
        here.filter(entry__in=list(values)).delete()
        new = [
            Metadata(mailbox_id=self.mailbox, user_id=user, entry=entry, value=value)
            for entry, value in values.items()
            if value is not None
        ]
        if not new:
            return
        if here.count() + len(new) > ENTRY_LIMIT:
            raise TooManyEntriesError(f"at most {ENTRY_LIMIT} entries")
        paid = Metadata.objects.filter(whose if user is not None else whose & Q(mailbox__owner_id=self.owner))
        used = paid.aggregate(size=Sum(Length("value")))["size"] or 0
        if used + sum(len(row.value) for row in new) > TOTAL_LIMIT:
            raise TooManyEntriesError(f"at most {TOTAL_LIMIT} bytes of metadata")
        Metadata.objects.bulk_create(new)
