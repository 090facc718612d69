"""``manage.py indexmail``: index for searching what is not indexed yet, and say how far it has come.

The worker does the same all the time. This does it at once: after an import, or before the server is started again.
"""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from mailcore.store.indexing import forget_all, index_all, state


class Command(BaseCommand):
    """Parse arguments and print; the work is in ``mailcore/store/indexing.py``."""

    help = "Index messages for searching, and show the state of the index."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare ``--dry-run`` and ``--rebuild``."""
        parser.add_argument("--dry-run", action="store_true", help="only show the state")
        parser.add_argument("--rebuild", action="store_true", help="index everything anew")

    def handle(self, *args: Any, dry_run: bool, rebuild: bool, **options: Any) -> None:  # noqa: ARG002
        """Index, then say how much there is."""
        done = 0
        if not dry_run:
            if rebuild:
                forget_all()
            done = sum(index_all())
        now = state()
        each = now.size // now.indexed if now.indexed else 0
        self.stdout.write(
            f"indexmail: {done} indexed, now {now.indexed} of {now.bodies} messages; {now.size} bytes, {each} a message"
            f"{' (dry run)' if dry_run else ''}"
        )
