"""Who may change whom: administrators are touched by administrators only, and the last one stays.

Whether somebody is an administrator is one fact, the flag ``is_superuser``; the API shows it as the group ``admin``.
"""

from collections.abc import Iterable

from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.http import Http404
from django.utils.translation import gettext as _

from accounts.addresses import fold
from accounts.models import User

ADMIN_GROUP = "admin"


class ForbiddenError(PermissionDenied):
    """The caller may not do this; the message says why."""


def group_names(user: User) -> list[str]:
    """Return the names of a user's groups, ``admin`` among them for administrators."""
    names = [group.name for group in user.groups.all()] if user.pk else []
    return sorted(names + [ADMIN_GROUP] * user.is_superuser)


def is_powerful(user: User) -> bool:
    """Say whether this account has any power of its own: only an administrator may touch it."""
    return user.is_superuser or user.is_staff


def check_groups(before: Iterable[str], after: Iterable[str], *, by_admin: bool) -> None:
    """Raise ``ForbiddenError`` when somebody without the right gives or takes power by membership."""
    changed = set(before) ^ set(after)
    powerful = {name for name in changed if fold(name) == ADMIN_GROUP}
    powerful |= set(Group.objects.filter(name__in=changed, permissions__isnull=False).values_list("name", flat=True))
    if powerful and not by_admin:
        raise ForbiddenError(
            _("Only an administrator may change membership in %(groups)s.") % {"groups": ", ".join(powerful)}
        )


def set_groups(user: User, names: Iterable[str]) -> None:
    """Make these the groups of a saved user; those that are new (``groups.check_new``) are made.

    The flag is set by the caller's save.
    """
    ordinary = {name for name in names if fold(name) != ADMIN_GROUP}
    user.groups.set([Group.objects.get_or_create(name=name)[0] for name in sorted(ordinary)])


def locked(user: User) -> User:
    """Return a user as the row is now; nobody else changes it until the caller's transaction ends.

    Administrators are locked together, in the order of their ids, so that two changes of two of them do not wait for
    each other. Raises ``Http404`` when the user is gone.
    """
    if user.is_superuser:
        _lock_administrators()
    found = User.objects.select_for_update().prefetch_related("groups").filter(pk=user.pk).first()
    if found is None:
        raise Http404
    return found


def check_last_administrator(user: User) -> None:
    """Raise ``ForbiddenError`` if nobody else could administer the server. Call it in the transaction of the change."""
    if _lock_administrators() == [user.pk]:
        raise ForbiddenError(_("This is the last administrator."))


def _lock_administrators() -> list[int]:
    administrators = User.objects.select_for_update().filter(is_superuser=True, is_active=True)
    return list(administrators.order_by("pk").values_list("pk", flat=True))
