"""``manage.py addalias ADDRESS TARGET…``: let an address stand for others. ``@example.com`` is a catch-all."""

from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from accounts.addresses import find_alias
from accounts.models import Alias, AliasTarget


class Command(BaseCommand):
    """Parse arguments and print; targets that are there already stay."""

    help = "Make an alias, or give one more targets."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the address and its targets."""
        parser.add_argument("address")
        parser.add_argument("targets", nargs="+", metavar="TARGET")

    def handle(self, *args: Any, address: str, targets: list[str], **options: Any) -> None:  # noqa: ARG002
        """Make what is missing."""
        try:
            with transaction.atomic():
                alias, added = _ensure(address, targets)
        except ValidationError as error:
            raise CommandError(f"addalias: {'; '.join(error.messages)}") from error
        self.stdout.write(f"addalias: {alias.address}: {added} targets added, {alias.targets.count()} in all")


def _ensure(address: str, targets: list[str]) -> tuple[Alias, int]:
    alias = find_alias(address)
    if alias is None:
        alias = Alias(address=address)
        alias.full_clean()
        alias.save()
    added = 0
    for target in targets:
        row = AliasTarget(alias=alias, address=target)
        row.clean()
        if not alias.targets.filter(address=row.address).exists():
            row.save()
            added += 1
    return alias, added
