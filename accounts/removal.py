"""Removing a user: no login and no mail at once, then everything that was theirs, few rows at a time."""

from collections.abc import Callable

from django.db import transaction

from a3mailer_site.control import hint
from accounts.models import User
from accounts.powers import check_last_administrator

_before_removal: list[Callable[[int], None]] = []


def before_removal(empty: Callable[[int], None]) -> None:
    """Have ``empty`` called with the id of a user who is about to go; apps register it in ``ready()``.

    It deletes what may be too much for one transaction (mail), in transactions of its own.
    """
    _before_removal.append(empty)


def remove(user: User) -> None:
    """Delete a user with everything that is theirs; raises ``powers.ForbiddenError`` for the last administrator."""
    with transaction.atomic():
        check_last_administrator(user)
        user.is_active = False
        user.save(update_fields=["is_active"])
    hint("cut", account_id=user.pk)
    for empty in _before_removal:
        empty(user.pk)
    user.delete()
