"""``manage.py purgefailures``: forget failed logins that no limit looks at any more. Run it nightly from cron."""

from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from security.models import LoginFailure

DAYS = 30


class Command(BaseCommand):
    """Parse arguments and print; the work is one queryset expression. The audit log keeps its own entries."""

    help = f"Delete failed logins older than {DAYS} days."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare ``--dry-run``."""
        parser.add_argument("--dry-run", action="store_true", help="count, delete nothing")

    def handle(self, *args: Any, dry_run: bool, **options: Any) -> None:  # noqa: ARG002
        """Delete, then say how many."""
        old = LoginFailure.objects.filter(at__lt=timezone.now() - timedelta(days=DAYS))
        count = old.count() if dry_run else old.delete()[0]
        self.stdout.write(f"purgefailures: {count} deleted{' (dry run)' if dry_run else ''}")
