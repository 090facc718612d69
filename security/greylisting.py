"""Whether the first message of a host, from this sender to this recipient, has to come a second time.

Honest servers try again, most junk does not (RFC 6647). A host is known by the network around it, because large
senders try again from another machine. Who has come again in time is remembered for 36 days from the last message on; a
network from which several senders have come again is let in at once, for whomever it brings something.

    (wait,) = check(network_of("192.0.2.1"), "ann@example.net", ["bob@example.com"], now, 300)

It asks the database twice for most messages and writes once for a first one; networks that are let in are remembered.
"""

import ipaddress
import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from a3mailer_site.expiring import Expiring
from security.models import Greylisted, GreylistedQuerySet

# Who does not come again within this time has given up, and begins anew.
COME_AGAIN_WITHIN = timedelta(days=2)
REMEMBERED = timedelta(days=36)
# So many senders have to come again before their network is let in at once.
SENDERS = 5
# A row is not written anew for each message.
_TOUCHED_EVERY = timedelta(days=1)
# Networks that are let in, remembered in the process for an hour.
_KNOWN: Expiring[str, bool] = Expiring(3600.0, 10_000)

_PREFIX_V4, _PREFIX_V6 = 24, 64
_LONGEST = 254
# Senders that are another one each time: "bounce-1234-ann=example.net@list.example", BATV ("prvs=0123abcdef=ann@…").
_NUMBERS = re.compile(r"\d+")
_BATV = re.compile(r"prvs=[0-9a-z]{10}=")


def network_of(address: str) -> str:
    """Return what a host is known by."""
    ip = ipaddress.ip_address(address)
    return str(ipaddress.ip_network((ip, _PREFIX_V4 if ip.version == 4 else _PREFIX_V6), strict=False))


def sender_key(sender: str) -> str:
    """Return what a sender is known by: without what mailing lists make different in each message."""
    local, at, domain = _BATV.sub("", sender.lower()).rpartition("@")
    return f"{_NUMBERS.sub('#', local)}{at}{domain}"[:_LONGEST]


def recipient_key(recipient: str) -> str:
    """Return what a recipient is known by."""
    return recipient.lower()[:_LONGEST]


def is_let_in(network: str) -> bool:
    """Say, without the database, whether the network is known to be let in at once."""
    return _KNOWN.get(network) is not None


def forget() -> None:
    """Forget what is remembered in this process (tests)."""
    _KNOWN.clear()


def check(network: str, sender: str, recipients: Sequence[str], now: datetime, seconds: int) -> list[int]:
    """Return for each recipient how many seconds the message has to wait still; 0 where it may come in.

    ``seconds`` is how long a first message waits. Writes down that it came.
    """
    if _let_in(network, now):
        return [0] * len(recipients)
    sender = sender_key(sender)
    keys = [recipient_key(recipient) for recipient in recipients]
    rows = {row.recipient: row for row in Greylisted.objects.filter(network=network, sender=sender, recipient__in=keys)}
    waits = {key: _wait(rows.get(key), now, seconds) for key in keys}
    new = [key for key in waits if _begins(rows.get(key), now)]
    _write_new(network, sender, [key for key in new if key not in rows], now)
    _update([rows[key] for key in new if key in rows], first_at=now, last_at=now, passed_at=None)
    come = [row for key, row in rows.items() if not waits[key]]
    _update([row for row in come if row.passed_at is None], passed_at=now, last_at=now)
    _update([row for row in come if row.passed_at and now - row.last_at > _TOUCHED_EVERY], last_at=now)
    return [waits[key] for key in keys]


def outlived(now: datetime) -> GreylistedQuerySet:
    """Rows that nobody looks at any more."""
    return Greylisted.objects.outlived(now - REMEMBERED, now - COME_AGAIN_WITHIN)


def _begins(row: Greylisted | None, now: datetime) -> bool:
    """Say whether this message is the first of its kind, or the first after too long."""
    if row is None:
        return True
    if row.passed_at is not None:
        return now - row.last_at > REMEMBERED
    return now - row.first_at > COME_AGAIN_WITHIN


def _wait(row: Greylisted | None, now: datetime, seconds: int) -> int:
    if row is None or _begins(row, now):
        return seconds
    if row.passed_at is not None:
        return 0
    # At least one where there is any: 0 would let it in.
    left = seconds - (now - row.first_at).total_seconds()
    return max(1, int(left)) if left > 0 else 0


def _write_new(network: str, sender: str, keys: Iterable[str], now: datetime) -> None:
    rows = [Greylisted(network=network, sender=sender, recipient=key, first_at=now, last_at=now) for key in keys]
    if rows:
        # Another process may have written the same in this moment.
        Greylisted.objects.bulk_create(rows, ignore_conflicts=True)


def _update(rows: Sequence[Greylisted], **changes: datetime | None) -> None:
    if rows:
        Greylisted.objects.filter(pk__in=[row.pk for row in rows]).update(**changes)


def _let_in(network: str, now: datetime) -> bool:
    """Say whether several senders of this network have come again lately; its rows then last on."""
    if is_let_in(network):
        return True
    passed = Greylisted.objects.filter(network=network, passed_at__isnull=False, last_at__gt=now - REMEMBERED)
    if len(passed.order_by().values_list("sender", flat=True).distinct()[:SENDERS]) < SENDERS:
        return False
    passed.filter(last_at__lt=now - _TOUCHED_EVERY).update(last_at=now)
    _KNOWN.put(network, True)
    return True
