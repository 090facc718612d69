"""``manage.py createapikey NAME --permissions read,write,admin``: make a key to the API and print it once."""

import json
from collections.abc import Callable, Iterable
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from accounts import key_bounds
from accounts.models import ApiKey
from security.audit import record
from security.models import AuditEntry


class Command(BaseCommand):
    """Parse arguments, call ``ApiKey.issue``, print. Each run makes another key: a key cannot be shown again."""

    help = "Make an API key. Its secret is printed once and stored nowhere."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare name, permissions, end and bounds."""
        parser.add_argument("name")
        parser.add_argument("--permissions", default="read", metavar="read,write,admin", help="default: read")
        parser.add_argument("--expires", metavar="ISO", help="when the key ends, for example 2030-12-31T23:59:59Z")
        parser.add_argument(
            "--networks", metavar="NETWORK,…", help="addresses and networks that the key may be used from; default: all"
        )
        parser.add_argument("--domains", metavar="DOMAIN,…", help="domains that the key reaches; default: all")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, name: str, permissions: str, expires: str | None, **options: Any) -> None:  # noqa: ARG002
        """Make the key."""
        words = [word.strip() for word in permissions.split(",") if word.strip()]
        unknown = set(words) - set(ApiKey.PERMISSIONS)
        if unknown or not words:
            raise CommandError(f"createapikey: permissions are {', '.join(ApiKey.PERMISSIONS)}, not {permissions!r}")
        try:
            end = parse_datetime(expires) if expires else None
        except ValueError:
            end = None
        if expires and (end is None or end.tzinfo is None or end <= timezone.now()):
            raise CommandError(
                f"createapikey: {expires!r} is no time to come with its zone, such as 2030-12-31T23:59:59Z"
            )
        if not name.strip() or len(name) > 100:
            raise CommandError("createapikey: a name has 1 to 100 characters")
        try:
            key_bounds.check_expiry(end, timezone.now())
            networks = _bound(options["networks"], key_bounds.networks)
            domains = _bound(options["domains"], key_bounds.domain_names)
        except ValidationError as error:
            raise CommandError(f"createapikey: {'; '.join(error.messages)}") from error
        bounds = {"allowed_networks": networks, "domains": domains}
        with transaction.atomic():
            key, secret = ApiKey.issue(name.strip(), words, expires_at=end, allowed_networks=networks, domains=domains)
            known = {"key_id": f"key_{key.pk}", "name": key.name, "permissions": words, **bounds, "by": "command line"}
            record("api_key_created", AuditEntry.EventType.ADMINISTRATIVE, metadata=known)
        if options["json"]:
            facts = {"key_id": f"key_{key.pk}", "api_key": secret, "name": key.name, "permissions": words}
            self.stdout.write(json.dumps({**facts, "expires_at": end.isoformat() if end else None, **bounds}))
        else:
            self.stdout.write(f"createapikey: {key.name} ({','.join(words)}): {secret}")


def _bound(text: str | None, rule: Callable[[Iterable[str]], list[str]]) -> list[str] | None:
    return None if text is None else rule(part for part in text.split(",") if part.strip())
