"""Groups of users, and the one that is built in: ``admin`` is no row but the flag ``is_superuser``.

Names only; who is in a group is said of the user. A group that carries Django permissions gives its members power in
the web administration, so an administrator alone changes it.
"""

import unicodedata
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.db.models import Count, F, Q, QuerySet
from django.utils.translation import gettext as _

from accounts.addresses import fold
from accounts.models import GroupBirth, User
from accounts.powers import ADMIN_GROUP

MOST_SIGNS = 150


@dataclass(frozen=True, slots=True)
class BuiltIn:
    """A group that is no row; ``pk`` stands in its id (``group_admin``)."""

    pk: str
    name: str
    members: int
    built_in: bool = True
    created_at: datetime | None = None


def administrators() -> BuiltIn:
    """Return the group of those with the flag, as it is now."""
    return BuiltIn(ADMIN_GROUP, ADMIN_GROUP, User.objects.filter(is_superuser=True).count())


def with_members() -> QuerySet[Group]:
    """Return all groups that are rows, each with its count of ``members`` and ``created_at`` (``None``: unknown)."""
    members = Count("user", filter=Q(user__deleted_at__isnull=True))
    return Group.objects.annotate(members=members, created_at=F("birth__created_at"))


class AllGroups:
    """The built-in group and then the rows: what a paginator needs of a queryset."""

    def __init__(self, rows: QuerySet[Group]) -> None:
        self._rows = rows

    def count(self) -> int:
        """Return how many groups there are."""
        return 1 + self._rows.count()

    def __getitem__(self, wanted: slice) -> list[BuiltIn | Group]:
        start, stop = wanted.start, wanted.stop
        first: list[BuiltIn | Group] = [administrators()] if start == 0 and stop > 0 else []
        return [*first, *self._rows[max(0, start - 1) : max(0, stop - 1)]]


def note_birth(sender: type[Group], instance: Group, created: bool, raw: bool = False, **_: Any) -> None:  # noqa: ARG001
    """Write down when a group is made, by whatever way (a receiver of ``post_save``)."""
    if created and not raw:
        GroupBirth.objects.get_or_create(group=instance)


def is_built_in(name: str) -> bool:
    """Say whether a name is that of the built-in group, or cannot be told from it by its compatible form."""
    return fold(unicodedata.normalize("NFKC", name)).strip() == ADMIN_GROUP


def check_name(name: str, group: Group) -> str:
    """Return the name as it is stored, if ``group`` may have it; raises ``ValidationError``."""
    name = unicodedata.normalize("NFC", name.strip())
    # Categories C and Z: what nobody can see or type.
    if any(unicodedata.category(sign)[0] in "CZ" and sign != " " for sign in name) or not name:
        raise ValidationError(_("A group's name has no control characters."), code="invalid")
    same = Group.objects.filter(name__iexact=name).exclude(pk=group.pk or 0)
    if is_built_in(name) or same.exists():
        raise ValidationError(_("There is a group %(name)s."), code="unique", params={"name": name})
    return name


def check_new(names: Collection[str]) -> None:
    """Raise ``ValidationError`` for a name among these that no group has and none may have."""
    there = {ADMIN_GROUP, *Group.objects.filter(name__in=names).values_list("name", flat=True)}
    for name in names:
        if name not in there:
            check_name(name, Group())


def has_power(group: Group) -> bool:
    """Say whether membership in this group gives permissions."""
    return group.permissions.exists()
