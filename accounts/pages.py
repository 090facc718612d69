"""Lists of users, read past the models: a page of 50 costs two queries and a third of a millisecond of Python.

The shapes are those of ``serializers.UserSerializer``; a test holds them together.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from django.db.models import QuerySet

from a3mailer_site.generations import listen
from a3mailer_site.models import Generation
from a3mailer_site.trash import restorable_until
from accounts.models import User
from accounts.powers import ADMIN_GROUP

COLUMNS = ("pk", "username", "email", "quota", "used_quota", "is_active", "is_superuser", "created_at", "last_login")
TRASH = (*COLUMNS, "deleted_username", "deleted_email", "deleted_at")

# How many users there are, by who asks, and the generation for which that is known.
_totals: dict[frozenset[str] | None, tuple[int, int]] = {}
_REMEMBERED = 1000


def shown(rows: Iterable[tuple[Any, ...]]) -> list[dict[str, Any]]:
    """Return users as the API shows them, from rows of ``COLUMNS`` or ``TRASH``."""
    rows = list(rows)
    groups = _groups([row[0] for row in rows])
    return [_shown(row, groups.get(row[0], [])) for row in rows]


def _shown(row: tuple[Any, ...], groups: list[str]) -> dict[str, Any]:
    pk, username, email, quota, used_quota, enabled, is_superuser, created_at, last_login, *deleted = row
    user = {
        "id": f"user_{pk}",
        "username": username,
        "email": email,
        "quota": quota,
        "used_quota": used_quota,
        "enabled": enabled,
        "groups": sorted([*groups, ADMIN_GROUP]) if is_superuser else groups,
        "created_at": _time(created_at),
        "last_login": _time(last_login),
    }
    if deleted:
        user["username"], user["email"], deleted_at = deleted
        user |= {"deleted_at": _time(deleted_at), "restorable_until": _time(restorable_until(deleted_at))}
    return user


def _groups(user_ids: list[int]) -> dict[int, list[str]]:
    memberships = User.groups.through._default_manager.filter(user_id__in=user_ids)
    found: dict[int, list[str]] = {}
    for user_id, name in memberships.order_by("group__name").values_list("user_id", "group__name"):
        found.setdefault(user_id, []).append(name)
    return {user_id: sorted(names) for user_id, names in found.items()}


def _time(moment: datetime | None) -> str | None:
    if moment is None:
        return None
    # isoformat() takes a fifth of strftime()'s time, and there are two in each row.
    return moment.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat() + "Z"


def total(users: QuerySet[Any], within: frozenset[str] | None) -> int:
    """Return how many users there are in these domains (``None``: in all), exactly.

    Every change of users moves the generation in its own transaction, so a count holds as long as that stands. It is
    read before the count: what comes between is counted, and found to be new by the next who asks.
    """
    standing = Generation.objects.filter(name=User.cached_under).values_list("value", flat=True).first() or 0
    known = _totals.get(within)
    if known is not None and known[0] == standing:
        return known[1]
    count = users.count()
    if len(_totals) >= _REMEMBERED:
        _totals.clear()
    _totals[within] = (standing, count)
    return count


def forget() -> None:
    """Forget the counts."""
    _totals.clear()


listen(User.cached_under, forget)
