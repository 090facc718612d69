"""``manage.py unblock``: lift a block, for whoever has locked themselves out."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from security.blocking import lift
from security.models import BlockedAddress
from security.networks import around, parse_address, parse_network, written


class Command(BaseCommand):
    """Parse arguments and print. For an address every block that it lies in is lifted, for a network that one."""

    help = "Lift the blocks of an address, or of a network (CIDR)."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare what is let in again."""
        parser.add_argument("address", help="192.0.2.100, 192.0.2.0/24, 2001:db8::1, …")
        parser.add_argument("--dry-run", action="store_true", help="count, lift nothing")

    def handle(self, *args: Any, address: str, dry_run: bool, **options: Any) -> None:  # noqa: ARG002
        """Lift, then say how many."""
        try:
            network = parse_network(address)
            single = network.prefixlen == network.max_prefixlen
            names = list(around(parse_address(written(network)))) if single else [written(network)]
        except ValueError as error:
            raise CommandError(f"unblock: {address!r} is neither an address nor a network") from error
        blocks = BlockedAddress.objects.filter(network__in=names)
        count = sum(dry_run or lift(row, by=BlockedAddress.Source.COMMAND) for row in list(blocks))
        self.stdout.write(f"unblock: {count} lifted{' (dry run)' if dry_run else ''}")
