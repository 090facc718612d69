"""``manage.py expireblocks``: forget blocks that no longer hold. Run it nightly from cron."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from security.models import BlockedAddress


class Command(BaseCommand):
    """Parse arguments and print; the work is one queryset expression. A block ends by itself: this only tidies up."""

    help = "Delete blocks whose time is over."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare ``--dry-run``."""
        parser.add_argument("--dry-run", action="store_true", help="count, delete nothing")

    def handle(self, *args: Any, dry_run: bool, **options: Any) -> None:  # noqa: ARG002
        """Delete, then say how many."""
        over = BlockedAddress.objects.over(timezone.now())
        count = over.count() if dry_run else over.delete()[0]
        self.stdout.write(f"expireblocks: {count} deleted{' (dry run)' if dry_run else ''}")
