"""``manage.py purgetrash``: delete for good what has been in the trash for long. Run it nightly from cron."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from a3mailer_site.trash import empty_trash


class Command(BaseCommand):
    """Parse arguments and print; each app empties its own trash."""

    help = "Delete for good what was deleted more than A3MAILER_TRASH_DAYS ago."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare ``--dry-run``."""
        parser.add_argument("--dry-run", action="store_true", help="count, delete nothing")

    def handle(self, *args: Any, dry_run: bool, **options: Any) -> None:  # noqa: ARG002
        """Delete, then say how many of what."""
        gone = ", ".join(f"{count} {name}" for name, count in empty_trash(timezone.now(), dry_run=dry_run).items())
        self.stdout.write(f"purgetrash: {gone or 'there is no trash'}{' (dry run)' if dry_run else ''}")
