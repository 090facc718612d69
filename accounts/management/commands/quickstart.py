"""``manage.py quickstart --domain D``: what a first use needs. Safe to run again: then nothing changes.

Makes a domain, an administrator, a mailbox and an API key, each only where there is none. Their secrets are shown once:
on a terminal, or with ``--json``; anywhere else (a log, say) they go to a file that only its owner can read.
"""

import json
import os
import secrets
from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction
from django.utils import timezone

from a3mailer_site.env import current
from a3mailer_site.keys import private_directory
from accounts.key_bounds import latest_expiry
from accounts.limits import save_within_limits
from accounts.models import ApiKey, User
from domains.models import Domain
from domains.names import to_ascii, validate_domain

FILE_NAME = "credentials.json"


class Command(BaseCommand):
    """Parse arguments, make what is missing, print."""

    help = "Make a first domain, administrator, mailbox and API key."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the domain and the form of the answer."""
        parser.add_argument("--domain", default="example.test")
        parser.add_argument(
            "--json", action="store_true", help="print one JSON object; secrets that are not new are null"
        )

    def handle(self, *args: Any, domain: str, **options: Any) -> None:  # noqa: ARG002
        """Make what is missing, then show what is new."""
        try:
            validate_domain(domain)
            with transaction.atomic():
                made = first_records(to_ascii(domain))
        except ValidationError as error:
            raise CommandError(f"quickstart: {'; '.join(error.messages)}") from error
        if options["json"]:
            self.stdout.write(json.dumps(made))
        elif made["admin"]["password"] is made["mailbox"]["password"] is made["api_key"] is None:
            self.stdout.write(f"quickstart: {made['domain']} was set up before; nothing changed")
        elif self.stdout.isatty():
            self.stdout.write(for_people(made))
        else:
            path = keep_private(made)
            self.stdout.write(f"quickstart: {made['domain']} is set up; the passwords are in {path}")


def first_records(domain: str) -> dict[str, Any]:
    """Make what is missing, in the caller's transaction; secrets of what was there already are ``None``."""
    home, _made = Domain.objects.get_or_create(name=domain)
    admin = User.objects.filter(is_superuser=True, is_active=True).order_by("pk").first()
    admin_password = None
    if admin is None:
        admin, admin_password = _make_user(f"admin@{domain}", username="admin", is_staff=True, is_superuser=True)
    mailbox = User.objects.filter(domain=home, is_superuser=False).order_by("pk").first()
    mailbox_password = None
    if mailbox is None:
        mailbox, mailbox_password = _make_user(f"user@{domain}")
    secret = None
    if not ApiKey.objects.exists():
        _key, secret = ApiKey.issue("quickstart", list(ApiKey.PERMISSIONS), expires_at=latest_expiry(timezone.now()))
    return {
        "domain": home.name,
        "admin": {"username": admin.username, "password": admin_password},
        "mailbox": {"address": mailbox.email, "password": mailbox_password},
        "api_key": secret,
    }


def _make_user(address: str, username: str = "", **fields: Any) -> tuple[User, str]:
    password = secrets.token_urlsafe(15)
    user = User(username=username or address, email=address, **fields)
    user.set_password(password)
    save_within_limits(user)
    return user, password


def for_people(made: dict[str, Any]) -> str:
    """Return what is new in lines; it is shown this one time."""
    shown = [f"quickstart: {made['domain']} is set up. This is shown once:"]
    if made["admin"]["password"]:
        shown.append(f"  administrator  {made['admin']['username']}  password {made['admin']['password']}")
    if made["mailbox"]["password"]:
        shown.append(f"  mailbox        {made['mailbox']['address']}  password {made['mailbox']['password']}")
    if made["api_key"]:
        shown.append(f"  API key        {made['api_key']}")
    return "\n".join(shown)


def keep_private(made: dict[str, Any]) -> Path:
    """Write the secrets to a file of mode 0600 in the data directory, in place of an older one."""
    path = private_directory(current().data_dir) / FILE_NAME
    temporary = path.with_name(f".{FILE_NAME}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(made, file, indent=1)
    temporary.replace(path)
    return path
