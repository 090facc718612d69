"""Webhooks: who wants to be told what happens to mail, and with which secret it is signed.

Which webhooks there are is remembered in each process (generation ``webhooks``), so that mail costs nothing more where
there are none. Secrets have the form of Standard Webhooks: ``whsec_`` and Base64.
"""

import base64
import ipaddress
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from a3mailer_site.env import current, networks
from a3mailer_site.generations import Watch, listen
from a3mailer_site.keys import decrypt, encrypt
from mailqueue.models import MessageEvent, Webhook
from security.networks import is_public

Kind = MessageEvent.Kind
Event = Webhook.Event

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - the beginning of all of them
# How long the secret before the last one still signs.
OVERLAP: Final = timedelta(hours=24)
TEST_KIND: Final = "test"

# Which event of the timeline is told as what; ``RECEIVED`` and ``RETURNED`` are told apart by their details.
_NAMES: Mapping[str, str] = {
    Kind.DELIVERED: Event.DELIVERED,
    Kind.SENT: Event.DELIVERED,
    Kind.DEFERRED: Event.DEFERRED,
    Kind.FAILED: Event.BOUNCED,
    Kind.COMPLAINED: Event.COMPLAINED,
    TEST_KIND: Event.TEST,
}


def name_of(kind: str, detail: Mapping[str, Any]) -> str:
    """Return what an event of the timeline is told as; empty when nobody is told."""
    if kind == Kind.RETURNED:
        return Event.BOUNCED if detail.get("proved") and detail.get("action") == "failed" else ""
    if kind != Kind.RECEIVED:
        return _NAMES.get(kind, "")
    if "notice_about" in detail:
        return ""  # written by this server
    return Event.ACCEPTED if detail.get("login") else Event.RECEIVED


# Where nobody rings for it the database is asked each time, once in a transaction: an event that is left out is lost.
_watch = Watch("webhooks", 0.0)
# By the name of an event the webhooks that want it.
_known: dict[str, tuple[int, ...]] | None = None


def forget() -> None:
    """Read anew at the next use which webhooks there are."""
    global _known  # noqa: PLW0603
    _known = None


listen("webhooks", forget)


def in_force() -> Mapping[str, Sequence[int]]:
    """Return by the name of an event the ids of the webhooks that want to be told."""
    global _known  # noqa: PLW0603
    _watch.look()
    known = _known
    if known is None:
        known = {}
        for number, events in Webhook.objects.filter(enabled=True).order_by("pk").values_list("pk", "events"):
            for name in events:
                known[name] = (*known.get(name, ()), number)
        _known = known
    return known


def new_secret(webhook: Webhook, now: datetime) -> str:
    """Give a webhook (not saved) another secret; the one that it had signs for a while too."""
    secret = SECRET_PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()
    if webhook.secret_encrypted:
        webhook.old_secret_encrypted, webhook.old_secret_until = webhook.secret_encrypted, now + OVERLAP
    webhook.secret_encrypted = encrypt(secret)
    return secret


def secrets_of(webhook: Webhook, now: datetime) -> tuple[str, ...]:
    """Return the secrets that sign now, the newest first."""
    found = [decrypt(webhook.secret_encrypted)]
    if webhook.old_secret_encrypted and webhook.old_secret_until is not None and webhook.old_secret_until > now:
        found.append(decrypt(webhook.old_secret_encrypted))
    return tuple(found)


def check_url(url: str) -> str:
    """Return a URL that events may be sent to; raises ``ValidationError``. The address is looked at when it is used."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ValidationError(_("This is not a URL.")) from error
    host = parts.hostname or ""
    if not url.isascii() or not url.isprintable() or " " in url or not host or port == 0:
        raise ValidationError(_("This is not a URL."))
    if parts.username is not None or parts.fragment:
        raise ValidationError(_("A URL with a user name or a fragment cannot be used here."))
    if parts.scheme == "http" and not current().webhook_targets:
        raise ValidationError(_("Only https is allowed: the events say who writes to whom."))
    if parts.scheme not in {"http", "https"}:
        raise ValidationError(_("This must begin with https://."))
    if not _may_be(host):
        raise ValidationError(_("This address is in a private network, which A3MAILER_WEBHOOK_TARGETS does not allow."))
    return url


def _may_be(host: str) -> bool:
    try:
        return may_be_sent_to(str(ipaddress.ip_address(host)), encrypted=True)
    except ValueError:
        return True  # a name: its addresses are looked at each time


def may_be_sent_to(address: str, *, encrypted: bool) -> bool:
    """Say whether events may go to this IP address: to a public one over TLS, to one that is named in any way."""
    ip = ipaddress.ip_address(address)
    named = any(ip in network for network in networks(current().webhook_targets))
    return named or (encrypted and is_public(address))
