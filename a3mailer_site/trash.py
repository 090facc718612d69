"""What is deleted by mistake can be had back for a while: the trash of every app, and the one way to empty them.

An app that keeps deleted things registers in ``ready()`` how they are deleted for good:

    keep_in_trash("users", purge)       # purge(before, dry_run) -> how many
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TypeAlias

from a3mailer_site.env import current

# Deletes for good what was put into the trash before a moment (with ``True`` only counts it); returns how many things.
# It works in small transactions of its own, and may run twice and beside itself.
Purge: TypeAlias = Callable[[datetime, bool], int]

_bins: dict[str, Purge] = {}


def keep_in_trash(name: str, purge: Purge) -> None:
    """Have ``purge`` called when the trash is emptied. ``name`` is a plural for people: "users"."""
    _bins[name] = purge


def restorable_until(deleted_at: datetime) -> datetime:
    """Return when what was deleted then goes for good."""
    return deleted_at + timedelta(days=current().trash_days)


def oldest_restorable(now: datetime) -> datetime:
    """Return the moment before which deleted things are beyond restoring, purged or not."""
    return now - timedelta(days=current().trash_days)


def empty_trash(now: datetime, *, dry_run: bool = False) -> dict[str, int]:
    """Delete for good what is older than ``A3MAILER_TRASH_DAYS``; returns how many things of each kind."""
    before = oldest_restorable(now)
    return {name: purge(before, dry_run) for name, purge in sorted(_bins.items())}
