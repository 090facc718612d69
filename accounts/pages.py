"""Lists of users, read past the models: Django builds SQL for longer than the database works on it.

A page of all users costs two statements that are written once. Everything else (searches, the trash, restricted keys)
goes through querysets. The shapes are those of ``serializers.UserSerializer``; a test holds them together.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from django.contrib.auth.models import Group
from django.db import DEFAULT_DB_ALIAS, connections, models

from a3mailer_site.generations import listen
from a3mailer_site.models import Generation
from a3mailer_site.trash import restorable_until
from accounts.models import User
from accounts.powers import ADMIN_GROUP

COLUMNS = ("pk", "username", "email", "quota", "used_quota", "is_active", "is_superuser", "created_at", "last_login")
TRASH = (*COLUMNS, "deleted_username", "deleted_email", "deleted_at")

_Membership: type[models.Model] = User.groups.through


def _table(model: type[models.Model]) -> str:
    return f'"{model._meta.db_table}"'


# With every row the generation that it was read in: the number of users is known for that, or counted.
_PAGE = f"""
SELECT id, username, email, quota, used_quota, is_active, is_superuser, created_at, last_login,
(SELECT value FROM {_table(Generation)} WHERE name = '{User.cached_under}')
FROM {_table(User)} WHERE deleted_at IS NULL ORDER BY id LIMIT %s OFFSET %s
"""  # noqa: S608 - names of our own models
_MEMBERSHIPS = f"""
SELECT user_id, name FROM {_table(_Membership)} JOIN {_table(Group)} ON {_table(Group)}.id = group_id
WHERE user_id BETWEEN %s AND %s
"""  # noqa: S608 - as above

# The generation for which the number of all users is known, and the number.
_known: tuple[int, int] | None = None


def of_all(start: int, limit: int) -> tuple[list[dict[str, Any]], int]:
    """Return a page of all users, and how many there are: exactly.

    Every change of users moves the generation in its own transaction, so a count holds as long as that stands. The
    generation is read before the count: what comes between is counted, and found to be new by the next who asks.
    """
    global _known  # noqa: PLW0603
    connection = connections[DEFAULT_DB_ALIAS]
    with connection.cursor() as cursor:
        cursor.execute(_PAGE, (limit, start))
        rows = cursor.fetchall()
        groups: dict[int, list[str]] = {}
        if rows:
            cursor.execute(_MEMBERSHIPS, (rows[0][0], rows[-1][0]))
            groups = _by_user(cursor.fetchall())
    users = [_shown(row[:-1], groups.get(row[0], [])) for row in rows]
    if 0 < len(rows) < limit or (not rows and not start):
        return users, start + len(rows)
    standing, known = rows[0][-1] if rows else None, _known
    if known is not None and known[0] == standing:
        return users, known[1]
    count = User.objects.count()
    if standing is not None:
        _known = (standing, count)
    return users, count


def forget() -> None:
    """Forget the number of users."""
    global _known  # noqa: PLW0603
    _known = None


listen(User.cached_under, forget)


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
    memberships = _Membership._default_manager.filter(user_id__in=user_ids)
    return _by_user(memberships.values_list("user_id", "group__name"))


def _by_user(memberships: Iterable[tuple[int, str]]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for user_id, name in memberships:
        found.setdefault(user_id, []).append(name)
    return {user_id: sorted(names) for user_id, names in found.items()}


def _time(moment: datetime | None) -> str | None:
    if moment is None:
        return None
    # SQLite's have no zone, and are UTC like all that we store.
    if moment.utcoffset():
        moment = moment.astimezone(UTC)
    return moment.isoformat(timespec="seconds")[:19] + "Z"
