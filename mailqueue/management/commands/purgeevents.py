"""``manage.py purgeevents``: forget the message log beyond ``A3MAILER_EVENT_DAYS``. Run it nightly from cron."""

from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from a3mailer_site.env import current
from mailqueue.retention import old_traces, purge


class Command(BaseCommand):
    """Parse arguments and print."""

    help = "Delete old entries of the message log."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare ``--dry-run``."""
        parser.add_argument("--dry-run", action="store_true", help="count, delete nothing")

    def handle(self, *args: Any, dry_run: bool, **options: Any) -> None:  # noqa: ARG002
        """Delete, then say how many."""
        before = timezone.now() - timedelta(days=current().event_days)
        count = old_traces(before) if dry_run else purge(before)
        self.stdout.write(f"purgeevents: {count} messages forgotten{' (dry run)' if dry_run else ''}")
