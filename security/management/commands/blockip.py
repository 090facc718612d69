"""``manage.py blockip``: keep an address or a network out, on every protocol. ``unblock`` lifts it."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from security.blocking import LONGEST_DURATION, AlreadyError, block, ends_at
from security.guards import objection
from security.models import BlockedAddress
from security.networks import parse_network, written


class Command(BaseCommand):
    """Parse arguments and print; ``guards.py`` has the rules, ``blocking.py`` the act."""

    help = "Block an address or a network (CIDR)."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare what is blocked and for how long."""
        parser.add_argument("address", help="192.0.2.100, 192.0.2.0/24, 2001:db8::1, …")
        parser.add_argument("--reason", default="", help="why, for people")
        parser.add_argument("--duration", type=int, help="seconds (default: 3600)")
        parser.add_argument("--permanent", action="store_true", help="until it is lifted")
        parser.add_argument(
            "--force", action="store_true", help="block a loopback address other than 127.0.0.1 and ::1 (for tests)"
        )
        parser.add_argument("--dry-run", action="store_true", help="check, block nothing")

    def handle(self, *args: Any, address: str, dry_run: bool, **options: Any) -> None:  # noqa: ARG002
        """Block, then say until when."""
        duration = options["duration"]
        if duration is not None and not 1 <= duration <= LONGEST_DURATION:
            raise CommandError(f"blockip: a duration is from 1 to {LONGEST_DURATION} seconds")
        if len(options["reason"]) > 255 or not options["reason"].isprintable():
            raise CommandError("blockip: a reason has at most 255 printable characters")
        try:
            network = parse_network(address)
        except ValueError as error:
            raise CommandError(f"blockip: {address!r} is neither an address nor a network") from error
        if reason := objection(network, loopback=options["force"]):
            raise CommandError(f"blockip: {reason}")
        now = timezone.now()
        end = ends_at(now, duration, permanent=options["permanent"])
        until = f"until {end:%Y-%m-%dT%H:%M:%SZ}" if end else "for good"
        if not dry_run:
            source = BlockedAddress.Source.COMMAND
            try:
                block(network, reason=options["reason"], source=source, expires_at=end, now=now)
            except AlreadyError:
                until = "already"
        self.stdout.write(f"blockip: {written(network)} is blocked {until}{' (dry run)' if dry_run else ''}")
