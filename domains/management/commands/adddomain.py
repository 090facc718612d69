"""``manage.py adddomain D``: receive mail for a domain. One that is there already stays as it is."""

from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from domains.models import Domain
from domains.names import to_ascii, validate_domain


class Command(BaseCommand):
    """Parse arguments and print."""

    help = "Add a domain whose mail this server receives."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the name and the limits."""
        parser.add_argument("domain")
        parser.add_argument("--max-users", type=int, default=0, help="0: no limit")
        parser.add_argument("--max-quota", type=int, default=0, metavar="BYTES", help="0: no limit")

    def handle(self, *args: Any, domain: str, max_users: int, max_quota: int, **options: Any) -> None:  # noqa: ARG002
        """Add it."""
        try:
            validate_domain(domain)
        except ValidationError as error:
            raise CommandError(f"adddomain: {'; '.join(error.messages)}") from error
        if max_users < 0 or max_quota < 0:
            raise CommandError("adddomain: limits are 0 or more")
        limits = {"max_users": max_users, "max_quota": max_quota}
        row, made = Domain.objects.get_or_create(name=to_ascii(domain), defaults=limits)
        self.stdout.write(f"adddomain: {row.name} {'added' if made else 'was there already'}")
