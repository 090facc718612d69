"""``manage.py addroute DOMAIN HOST:PORT``: hand mail for a domain to a given host. ``*`` is the smart host."""

import sys
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from a3mailer_site.env import SettingError, host_and_port
from domains.names import to_ascii
from mailqueue.models import Route


class Command(BaseCommand):
    """Parse arguments and print. A route that exists is replaced."""

    help = "Send mail for a domain (* for all others) to a host instead of to its MX."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare where to and how."""
        parser.add_argument("domain")
        parser.add_argument("host", metavar="HOST:PORT")
        parser.add_argument("--tls", choices=Route.Tls.values, default=Route.Tls.OPPORTUNISTIC)
        parser.add_argument("--username", default="")
        parser.add_argument("--password-stdin", action="store_true", help="read the password from standard input")

    def handle(self, *args: Any, domain: str, host: str, password_stdin: bool, **options: Any) -> None:  # noqa: ARG002
        """Add or replace the route."""
        password = sys.stdin.readline().rstrip("\r\n") if password_stdin else ""
        if bool(options["username"]) != bool(password):
            raise CommandError("addroute: --username and --password-stdin go together")
        try:
            name = "*" if domain == "*" else to_ascii(domain)
            host_name, port = host_and_port(host, "HOST:PORT")
        except (ValueError, SettingError) as error:
            raise CommandError(f"addroute: {error}") from error
        route = Route.objects.filter(domain=name).first() or Route(domain=name)
        route.host, route.port, route.tls = host_name, port, options["tls"]
        route.username, route.password, route.enabled = options["username"], password, True
        try:
            route.full_clean()
        except ValidationError as error:
            raise CommandError(f"addroute: {'; '.join(error.messages)}") from error
        route.save()
        self.stdout.write(f"addroute: {route} (TLS {route.tls}{', with login' if password else ''})")
