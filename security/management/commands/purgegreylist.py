"""``manage.py purgegreylist``: forget who had to come again and did not, or long ago. The worker does so hourly."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from security.greylisting import outlived


class Command(BaseCommand):
    """Parse arguments and print; the work is one queryset expression."""

    help = "Delete what greylisting remembers of those who have not come again, or not for 36 days."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare ``--dry-run``."""
        parser.add_argument("--dry-run", action="store_true", help="count, delete nothing")

    def handle(self, *args: Any, dry_run: bool, **options: Any) -> None:  # noqa: ARG002
        """Delete, then say how many."""
        old = outlived(timezone.now())
        count = old.count() if dry_run else old.forget()
        self.stdout.write(f"purgegreylist: {count} deleted{' (dry run)' if dry_run else ''}")
