"""Blocking and allowing, and lifting both: what API, web administration and command line do alike, written down."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.http import HttpRequest

from a3mailer_site.env import Network
from security.audit import record
from security.models import AllowedNetwork, AuditEntry, BlockedAddress
from security.networks import written

# Seconds that a block lasts when nobody says how long, and at most (ten years; what is longer is permanent).
DEFAULT_DURATION = 3600
LONGEST_DURATION = 10 * 366 * 24 * 3600


class AlreadyError(Exception):
    """It is on the list already."""


def ends_at(now: datetime, duration: int | None, *, permanent: bool) -> datetime | None:
    """Return when a block ends: ``permanent`` wins over ``duration`` (seconds), and neither means an hour."""
    return None if permanent else now + timedelta(seconds=duration or DEFAULT_DURATION)


def block(
    network: Network,
    *,
    reason: str,
    source: BlockedAddress.Source,
    expires_at: datetime | None,
    now: datetime,
    request: HttpRequest | None = None,
) -> BlockedAddress:
    """Block a network that ``guards.objection`` has nothing against; raises ``AlreadyError`` when it is blocked."""
    name = written(network)
    with _once(name):
        BlockedAddress.objects.over(now).filter(network=name).delete()
        if BlockedAddress.objects.filter(network=name).exists():
            raise AlreadyError(name)
        row = BlockedAddress.objects.create(
            network=name, reason=reason, source=source, blocked_at=now, expires_at=expires_at
        )
        write_down("address_blocked", request, block_facts(row))
    return row


def lift(row: BlockedAddress, *, by: BlockedAddress.Source, request: HttpRequest | None = None) -> bool:
    """Lift a block; says ``False`` where somebody else has just done so."""
    facts = {**block_facts(row), "hits": row.hits, "source": by}
    with transaction.atomic():
        gone, _by_model = row.delete()
        if gone:
            write_down("address_unblocked", request, facts)
    return bool(gone)


def allow(network: Network, *, reason: str, request: HttpRequest | None = None) -> AllowedNetwork:
    """Put a network on the allow-list; raises ``AlreadyError`` when it is there."""
    name = written(network)
    with _once(name):
        if AllowedNetwork.objects.filter(network=name).exists():
            raise AlreadyError(name)
        row = AllowedNetwork.objects.create(network=name, reason=reason)
        write_down("network_allowed", request, {"ip_address": name, "reason": reason})
    return row


def disallow(row: AllowedNetwork, *, request: HttpRequest | None = None) -> bool:
    """Take a network off the allow-list: blocks hold for it again. ``False`` where somebody else has just done so."""
    facts = {"ip_address": row.network, "reason": row.reason}
    with transaction.atomic():
        gone, _by_model = row.delete()
        if gone:
            write_down("network_disallowed", request, facts)
    return bool(gone)


@contextmanager
def _once(name: str) -> Iterator[None]:
    """Open a transaction in which nobody else puts the same network on the list."""
    try:
        with transaction.atomic():
            yield
    except IntegrityError as error:
        raise AlreadyError(name) from error


def block_facts(row: BlockedAddress) -> dict[str, Any]:
    """Return what the audit log keeps of a block."""
    return {
        "ip_address": row.network,
        "reason": row.reason,
        "source": row.source,
        "expires_at": row.expires_at.strftime("%Y-%m-%dT%H:%M:%SZ") if row.expires_at else None,
    }


def write_down(action: str, request: HttpRequest | None, facts: Mapping[str, Any]) -> None:
    """Write into the audit log, in the transaction of the act."""
    record(action, AuditEntry.EventType.ADMINISTRATIVE, request=request, metadata=facts)
