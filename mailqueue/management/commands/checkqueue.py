"""``manage.py checkqueue``: prove the queue's counters against its entries, and mend them. Run it weekly from cron."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from mailqueue.counts import check


class Command(BaseCommand):
    """Parse arguments and print."""

    help = "Compare the lanes and counters of the queue with its entries, and correct them."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare ``--dry-run``."""
        parser.add_argument("--dry-run", action="store_true", help="compare, correct nothing")

    def handle(self, *args: Any, dry_run: bool, **options: Any) -> None:  # noqa: ARG002
        """Compare, then say how much was wrong."""
        done = check(dry_run=dry_run)
        off = sum(abs(difference) for difference in done.wrong.values())
        self.stdout.write(
            f"checkqueue: {done.messages} messages, {done.misplaced} misplaced, counters off by {off}, "
            f"{'nothing corrected (dry run)' if dry_run else 'corrected'}"
        )
