"""``manage.py purgeaudit``: forget what the audit log has kept long enough. Run it nightly from cron."""

import time
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from a3mailer_site.env import current
from security.audit import record
from security.models import AuditEntry
from security.sealing import BrokenChainError, beginning, last_before, purge_some

# Seconds of rest for the others between two transactions.
REST = 0.02


class Command(BaseCommand):
    """Parse arguments and print; ``sealing.py`` has the rules. What is left can still be verified."""

    help = "Delete entries of the audit log older than A3MAILER_AUDIT_DAYS, and leave a checkpoint."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare ``--dry-run``."""
        parser.add_argument("--dry-run", action="store_true", help="count, delete nothing")

    def handle(self, *args: Any, dry_run: bool, **options: Any) -> None:  # noqa: ARG002
        """Delete, then say how many; fail where an entry is not as it was written."""
        last = last_before(timezone.now() - timedelta(days=current().audit_days))
        if dry_run:
            count = AuditEntry.objects.filter(seq__lte=last).count()
            self.stdout.write(f"purgeaudit: {count} deleted (dry run)")
            return
        count = 0
        try:
            while last and (gone := purge_some(last)):
                count += gone
                time.sleep(REST)
        except BrokenChainError as error:
            self._note(count)
            raise CommandError(
                f"purgeaudit: {count} deleted; the chain is broken at {error}, see verifyaudit: the rest is kept"
            ) from error
        self._note(count)
        self.stdout.write(f"purgeaudit: {count} deleted")

    @staticmethod
    def _note(count: int) -> None:
        if count:
            seq, digest = beginning()
            facts = {"deleted": count, "seq": seq, "hash": digest, "by": "command line"}
            record("audit_log_purged", AuditEntry.EventType.ADMINISTRATIVE, metadata=facts)
