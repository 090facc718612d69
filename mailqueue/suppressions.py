"""Addresses that a domain writes to no more: they bounced for good, their owners complained, or somebody has said so.

Kept for each domain that sends, by canonical address. Bounces and complaints are noted for domains that want it
(``Domain.track_bounces``); what somebody has put there by hand holds for any domain.
"""

from collections.abc import Collection, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Final

from domains.models import Domain
from domains.names import to_ascii
from mailqueue.models import Suppression

# Statuses (RFC 3463 section 3.2 and 3.3, RFC 7505) after which there is no use in writing again: the address is no
# mailbox. Full mailboxes, refused contents and refused senders are no such thing.
_HARD: Final = frozenset({"5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1"})


def is_hard(status: str) -> bool:
    """Say whether an enhanced status code says that there is no such mailbox."""
    return status in _HARD


def canonical(address: str) -> str:
    """Return the form in which addresses are compared here; raises ``ValueError`` when it is none."""
    local, at, domain = address.strip().rpartition("@")
    if not at or not local:
        raise ValueError("this is not of the form name@domain")
    return f"{local.casefold()}@{to_ascii(domain)}"


def tracks(sender: str) -> str:
    """Return the name of the sender's domain if it is one that notes who bounces; else empty."""
    name = sender.rpartition("@")[2]
    try:
        name = to_ascii(name)
    except ValueError:
        return ""
    return name if Domain.objects.enabled().filter(name=name, track_bounces=True).exists() else ""


def add(domain: str, address: str, reason: str, reply: str, message: int, now: datetime) -> None:
    """Put an address on the list of a domain, unless it is there already, or is an address literal."""
    try:
        name = canonical(address)
    except ValueError:
        return
    row = Suppression(domain=domain, address=name, reason=reason, reply=reply[:500], message=message, at=now)
    Suppression.objects.bulk_create([row], ignore_conflicts=True)


def find(sender: str, addresses: Collection[str]) -> Mapping[str, Suppression]:
    """Return, of these addresses, those that the sender's domain does not write to."""
    try:
        domain = to_ascii(sender.rpartition("@")[2])
    except ValueError:
        return {}
    by_form: dict[str, list[str]] = {}
    for address in addresses:
        with suppress(ValueError):  # what is no address is nobody's, and others say so
            by_form.setdefault(canonical(address), []).append(address)
    rows = Suppression.objects.filter(domain=domain, address__in=by_form)
    return {address: row for row in rows for address in by_form[row.address]}
