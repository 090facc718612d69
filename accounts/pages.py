"""Lists of users, read past the models: Django builds SQL for longer than the database works on it.

A page of all users costs one statement that is written once. Everything else (searches, the trash, restricted keys)
goes through querysets. The shapes are those of ``serializers.UserSerializer``; a test holds them together.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import orjson
from django.contrib.auth.models import Group
from django.db import DEFAULT_DB_ALIAS, connections, models

from a3mailer_site.generations import listen
from a3mailer_site.models import Generation
from a3mailer_site.trash import restorable_until
from accounts.models import User
from accounts.powers import ADMIN_GROUP

COLUMNS = (
    "pk",
    "username",
    "email",
    "quota",
    "used_quota",
    "undo_seconds",
    "send_limit_hour",
    "send_limit_day",
    "is_active",
    "is_superuser",
    "created_at",
    "last_login",
)
# The same, as the tables have them.
_SELECTED = ", ".join(("id", *COLUMNS[1:]))
TRASH = (*COLUMNS, "deleted_username", "deleted_email", "deleted_at")

_Membership: type[models.Model] = User.groups.through


def _table(model: type[models.Model]) -> str:
    return f'"{model._meta.db_table}"'


# All in one row: SQLite gives the interpreter lock away at every row of an answer, and with several threads getting it
# back costs more than everything else that a page takes. With it comes the generation that it was read in: the number
# of users is known for that, or counted.
_PAGE = f"""
WITH page AS (
SELECT {_SELECTED}
FROM {_table(User)} WHERE deleted_at IS NULL ORDER BY id LIMIT %s OFFSET %s)
SELECT (SELECT value FROM {_table(Generation)} WHERE name = '{User.cached_under}'),
(SELECT CAST({{many}}({{one}}({_SELECTED})) AS text) FROM page),
(SELECT CAST({{many}}({{one}}(user_id, name)) AS text) FROM {_table(_Membership)}
JOIN {_table(Group)} ON {_table(Group)}.id = group_id WHERE user_id IN (SELECT id FROM page))
"""  # noqa: S608 - names of our own models
_JSON = {
    "sqlite": {"many": "json_group_array", "one": "json_array"},
    "postgresql": {"many": "json_agg", "one": "json_build_array"},
}

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
        cursor.execute(_PAGE.format(**_JSON[connection.vendor]), (limit, start))
        standing, page, memberships = cursor.fetchone()
    groups = _by_user(_parsed(memberships))
    users = [_shown(row, groups.get(row[0], [])) for row in sorted(_parsed(page))]
    if 0 < len(users) < limit or (not users and not start):
        return users, start + len(users)
    known = _known
    if known is not None and known[0] == standing:
        return users, known[1]
    count = User.objects.count()
    if standing is not None:
        _known = (standing, count)
    return users, count


def _parsed(text: str | None) -> list[Any]:
    """Read an array; PostgreSQL has none where there are no rows."""
    return orjson.loads(text) if text else []


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
    pk, username, email, quota, used_quota, undo, by_hour, by_day, *rest = row
    enabled, is_superuser, created_at, last_login, *deleted = rest
    user = {
        "id": f"user_{pk}",
        "username": username,
        "email": email,
        "quota": quota,
        "used_quota": used_quota,
        "undo_seconds": undo,
        "send_limit_hour": by_hour,
        "send_limit_day": by_day,
        "enabled": bool(enabled),
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


def _time(moment: datetime | str | None) -> str | None:
    if moment is None:
        return None
    if isinstance(moment, str):  # out of an array, in UTC like all that we store
        return f"{moment[:10]}T{moment[11:19]}Z"
    # SQLite's have no zone, and are UTC like all that we store.
    if moment.utcoffset():
        moment = moment.astimezone(UTC)
    return moment.isoformat(timespec="seconds")[:19] + "Z"
