"""``manage.py checkquota``: prove every user's ``used_quota`` against the sum of the messages, and mend it."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db.models import Sum

from accounts.models import User
from mailcore.store.batch import Batch
from mailcore.store.commit import run
from mailcore.store.models import Message


@dataclass(frozen=True, slots=True)
class MendQuota:
    """Set a user's fill level to what the messages say; the answer is the correction in bytes."""

    user: int
    mailboxes: Collection[int] = ()
    weight: int = 0

    @property
    def users(self) -> Collection[int]:
        """The one user."""
        return (self.user,)

    def apply(self, batch: Batch) -> int:
        """Count again under the lock, where no mail comes or goes."""
        correction = stored(self.user) - batch.user(self.user).used_quota
        batch.change_quota(self.user, correction)
        return correction


def stored(user: int) -> int:
    """Return the bytes of a user's messages."""
    return Message.objects.filter(mailbox__owner_id=user).aggregate(sum=Sum("size"))["sum"] or 0


class Command(BaseCommand):
    """Parse arguments and print."""

    help = "Compare used quotas with the messages that are there, and correct them."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare ``--dry-run``."""
        parser.add_argument("--dry-run", action="store_true", help="count, correct nothing")

    def handle(self, *args: Any, dry_run: bool, **options: Any) -> None:  # noqa: ARG002
        """Look at every user; only those that seem wrong are locked."""
        checked = wrong = 0
        for user in User.everybody.order_by("pk").values_list("pk", flat=True):
            checked += 1
            used = User.everybody.filter(pk=user).values_list("used_quota", flat=True).first()
            if used is None or used == stored(user):
                continue
            wrong += 1 if dry_run or run(MendQuota(user)) else 0
        self.stdout.write(f"checkquota: {checked} users, {wrong} {'wrong (dry run)' if dry_run else 'corrected'}")
