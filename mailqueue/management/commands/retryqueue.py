"""``manage.py retryqueue``: let everything that waits for a later attempt be tried now."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from mailqueue.auditing import into_audit
from mailqueue.interventions import retry
from mailqueue.models import QueueEntry


class Command(BaseCommand):
    """Parse arguments and print."""

    help = "Try deferred mail now."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare which, and ``--dry-run``."""
        parser.add_argument("--domain", help="only mail for this domain")
        parser.add_argument("--dry-run", action="store_true", help="count, change nothing")

    def handle(self, *args: Any, domain: str | None, dry_run: bool, **options: Any) -> None:  # noqa: ARG002
        """Move the next attempts to now, then say how many."""
        now = timezone.now()
        entries = QueueEntry.objects.waiting().filter(next_attempt_at__gt=now)
        if domain:
            domain = domain.strip().rstrip(".").lower()
            entries = entries.filter(destination=domain)
        if dry_run:
            count = entries.count()
        else:
            by = "command line"
            noted = into_audit("queue_retry", None, by=by, **({"domain": domain} if domain else {}))
            count = retry(entries, now, by, noted)
            if not count:
                noted([])  # asking for it is an act, too
        self.stdout.write(f"retryqueue: {count} to be tried now{' (dry run)' if dry_run else ''}")
