"""``manage.py verifyaudit``: see whether the audit log is as it was written. Reads only."""

from itertools import islice
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from security.models import AuditEntry
from security.sealing import ForgedCheckpointError, beginning, broken_links, head

# As many numbers are named; after the first one the rest is detail.
_NAMED = 10


class Command(BaseCommand):
    """Print; ``sealing.py`` has the rules."""

    help = "Check the hash chain over the audit log. Compare the hash with those in the server's log."

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002
        """Say what holds; fail when something does not."""
        try:
            broken = list(islice(broken_links(), _NAMED))
        except ForgedCheckpointError as error:
            raise CommandError(f"verifyaudit: the checkpoint at {error} is not as it was written") from error
        if broken:
            raise CommandError(f"verifyaudit: the chain is broken at {', '.join(map(str, broken))}")
        seq, last = head()
        purged = beginning()[0]
        waiting = AuditEntry.objects.filter(seq__isnull=True).count()
        gone = f", {purged} purged" if purged else ""
        self.stdout.write(
            f"verifyaudit: {seq - purged} entries hold{gone}, {waiting} not sealed yet, newest hash {last or '-'}"
        )
