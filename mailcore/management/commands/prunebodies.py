"""``manage.py prunebodies``: delete message bodies that no mailbox and no queue refers to. Run it nightly from cron."""

import time
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from mailcore.store.pruning import prune


class Command(BaseCommand):
    """Parse arguments and print; the work is in ``mailcore/store/pruning.py``."""

    help = "Delete message bodies that nothing refers to any more."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare ``--dry-run``."""
        parser.add_argument("--dry-run", action="store_true", help="count, delete nothing")

    def handle(self, *args: Any, dry_run: bool, **options: Any) -> None:  # noqa: ARG002
        """Delete, then say how much."""
        done = prune(time.time(), dry_run=dry_run)
        self.stdout.write(
            f"prunebodies: {done.bodies} bodies ({done.size} bytes) and {done.orphans} orphaned files deleted"
            f"{' (dry run)' if dry_run else ''}"
        )
