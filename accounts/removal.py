"""Erasing a user for good: everything that was theirs, few rows at a time. Deleting one is in ``trash.py``."""

from collections.abc import Callable

from django.db import transaction

from accounts.models import User

_before_removal: list[Callable[[int], None]] = []


def before_removal(empty: Callable[[int], None]) -> None:
    """Have ``empty`` called with the id of a user who is about to go; apps register it in ``ready()``.

    It deletes what may be too much for one transaction (mail), in transactions of its own.
    """
    _before_removal.append(empty)


def erase(user_id: int) -> bool:
    """Erase a deleted user with everything that is theirs; ``False`` when somebody else has done it meanwhile.

    Whoever is in the trash gets no mail, so what has been emptied stays empty.
    """
    for empty in _before_removal:
        empty(user_id)
    with transaction.atomic():
        user = User.everybody.select_for_update().filter(pk=user_id, deleted_at__isnull=False).first()
        return user is not None and user.delete()[0] > 0
