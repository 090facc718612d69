"""Deleted users: kept with mailboxes and mail for ``A3MAILER_TRASH_DAYS``, their names free at once, and had back.

A deleted user cannot log in and gets no mail; the keys are revoked, for good. Whoever takes the address is another
user and never sees the old mail; while there is such a one, the old user does not come back. Quotas and places of the
domain count for who is here, so a restore may find no room.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.core import serializers
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import Http404
from django.utils.translation import gettext as _

from a3mailer_site.api.errors import ConflictError
from a3mailer_site.models import Generation
from a3mailer_site.trash import oldest_restorable
from accounts.limits import check_limits
from accounts.models import Alias, AliasTarget, ApiKey, User
from accounts.powers import check_last_administrator
from accounts.removal import erase
from domains.models import Domain


def delete(user: User, now: datetime) -> None:
    """Put a locked user into the trash; raises ``ForbiddenError`` for the last administrator.

    The caller's transaction has the audit entry; afterwards it ends the user's sessions with ``hint("cut", …)``.
    """
    check_last_administrator(user)
    user.deleted_username, user.deleted_email, user.deleted_active = user.username, user.email, user.is_active
    # No login name has a space, so nobody can have this one or want it.
    user.username, user.email, user.is_active = f"deleted user {user.pk}", None, False
    user.deleted_at = now
    user.save()
    ApiKey.objects.filter(owner=user, revoked_at__isnull=True).update(revoked_at=now)


def find(user_id: int, now: datetime) -> User:
    """Return a user in the trash, locked in the caller's transaction; raises ``Http404``."""
    user = (
        User.everybody.select_for_update()
        .restorable(oldest_restorable(now))
        .filter(pk=user_id)
        .prefetch_related("groups")
        .first()
    )
    if user is None:
        raise Http404
    return user


def restore(user: User, now: datetime) -> None:
    """Take a user whom ``find`` returned out of the trash, in the same transaction.

    Raises ``ConflictError`` when name or address is somebody else's by now, the domain is gone or has no room.
    """
    if user.domain_id is not None and not Domain.objects.filter(pk=user.domain_id).exists():
        raise ConflictError(_("The user's domain was deleted; restore it first."))
    user.username, user.email, user.is_active = user.deleted_username, user.deleted_email, user.deleted_active
    user.deleted_at, user.deleted_username, user.deleted_email, user.deleted_active = None, "", None, False
    user.restored_at = now
    try:
        user.full_clean(exclude=["password"])
        check_limits(user)
    except ValidationError as error:
        raise ConflictError(error.messages[0]) from error
    user.save()


def purge(before: datetime, dry_run: bool) -> int:
    """Delete users for good, their mail in slices; safe to run twice and beside itself."""
    due = User.everybody.filter(deleted_at__lte=before).order_by("pk")
    if dry_run:
        return due.count()
    return sum(_purge_one(pk, before) for pk in list(due.values_list("pk", flat=True)))


def _purge_one(pk: int, before: datetime) -> bool:
    with transaction.atomic():
        # Without a name nobody restores half a mailbox, whatever becomes of this run or of the setting.
        named = User.everybody.filter(pk=pk, deleted_at__lte=before)
        if not named.update(deleted_username="", deleted_email=None):
            return False
    return erase(pk)


def put_aliases_away(domain: Domain) -> list[Any]:
    """Take the aliases of a domain that is being deleted away; returns what ``bring_aliases_back`` needs."""
    aliases = Alias.objects.filter(domain=domain).order_by("pk")
    rows: Sequence[Any] = [*aliases, *AliasTarget.objects.filter(alias__domain=domain).order_by("pk")]
    kept: list[Any] = json.loads(serializers.serialize("json", rows))
    aliases.delete()
    return kept


def bring_aliases_back(domain: Domain, kept: list[Any]) -> None:  # noqa: ARG001 - each row says its domain itself
    """Make the aliases of a domain that is being restored, with the ids that they had."""
    for row in serializers.deserialize("python", kept, ignorenonexistent=True):
        row.save()
    Generation.objects.bump(Alias.cached_under)
