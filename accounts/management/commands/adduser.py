"""``manage.py adduser ADDRESS``: make a mailbox. Without ``--password-stdin`` a password is made and printed once."""

import secrets
import sys
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.limits import save_within_limits
from accounts.models import User
from accounts.passwords import acceptable


class Command(BaseCommand):
    """Parse arguments and print; ``limits.py`` has the rules. Any password will do for who is master of the machine."""

    help = "Make a user with a mailbox. The domain must exist."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the address and what may be said about it."""
        parser.add_argument("address")
        parser.add_argument("--username", help="login name besides the address (default: the address)")
        parser.add_argument("--name", default="", help="the person's name")
        parser.add_argument("--password-stdin", action="store_true", help="read the password from standard input")
        parser.add_argument("--quota", type=int, default=0, metavar="BYTES", help="0: no limit")
        parser.add_argument("--admin", action="store_true", help="make an administrator")

    def handle(self, *args: Any, address: str, password_stdin: bool, **options: Any) -> None:  # noqa: ARG002
        """Make the user; one that exists is an error."""
        password = sys.stdin.readline().rstrip("\r\n") if password_stdin else secrets.token_urlsafe(15)
        if not password or not acceptable(password):
            raise CommandError("adduser: the password is empty, longer than 1024 bytes, or has a NUL")
        user = User(
            username=options["username"] or address,
            email=address,
            full_name=options["name"],
            quota=options["quota"],
            is_staff=options["admin"],
            is_superuser=options["admin"],
        )
        user.set_password(password)
        try:
            save_within_limits(user)
        except ValidationError as error:
            raise CommandError(f"adduser: {'; '.join(error.messages)}") from error
        shown = "" if password_stdin else f", password {password}"
        self.stdout.write(f"adduser: {user.email} made{' as administrator' if user.is_staff else ''}{shown}")
