"""What may bound an API key: from where it is used, for which domains, and until when. For all who make keys.

``None`` stands for no bound, in the API as in the database; an empty list would be a key for nobody and is refused.
"""

import ipaddress
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from functools import lru_cache

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from a3mailer_site.env import Network, current
from domains.models import Domain
from domains.names import to_ascii
from security.networks import within

MOST_NETWORKS = 100
MOST_DOMAINS = 1000
# The first address of ::ffff:0:0/96, behind which IPv4 hides in IPv6 (RFC 4291 section 2.5.5.2).
_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")


def network(text: str) -> str:
    """Return an address or network in canonical form: ``192.0.2.7`` is ``192.0.2.7/32``. Raises ``ValidationError``."""
    try:
        # An address with a zone (RFC 4007 section 11) means something on one machine only.
        found: Network = ipaddress.ip_network(text.strip().replace("%", " "))
    except ValueError as error:
        raise ValidationError(
            _("%(text)s is no address and no network such as 192.0.2.0/24."), params={"text": text[:60]}
        ) from error
    if isinstance(found, ipaddress.IPv6Network) and found.subnet_of(_MAPPED):
        found = ipaddress.IPv4Network((found.network_address.packed[12:], found.prefixlen - 96))
    return str(found)


def networks(texts: Iterable[str]) -> list[str]:
    """Return networks in canonical form, each once. Raises ``ValidationError``."""
    found = list(dict.fromkeys(network(text) for text in texts))
    _check_length(found, MOST_NETWORKS)
    return found


def domain_names(texts: Iterable[str]) -> list[str]:
    """Return domains of this server as A-labels, each once. Raises ``ValidationError`` for one that is not here."""
    try:
        names = list(dict.fromkeys(to_ascii(text) for text in texts))
    except ValueError as error:
        raise ValidationError(_("This is not a domain name.")) from error
    _check_length(names, MOST_DOMAINS)
    here = set(Domain.objects.filter(name__in=names).values_list("name", flat=True))
    for name in names:
        if name not in here:
            raise ValidationError(_("There is no domain %(name)s here."), params={"name": name})
    return names


def _check_length(found: Sequence[str], most: int) -> None:
    if not found:
        raise ValidationError(_("An empty list would be a key for nobody."))
    if len(found) > most:
        raise ValidationError(_("There are more than %(most)s."), params={"most": most})


def covers(allowed: Iterable[str], text: str) -> bool:
    """Say whether an address or network lies in one of the allowed networks."""
    return any(within(_parsed(text), outer) for outer in map(_parsed, allowed))


@lru_cache(maxsize=4096)
def _parsed(text: str) -> Network:
    return ipaddress.ip_network(text)


def check_networks_within(wanted: Sequence[str] | None, makers: Sequence[str] | None) -> None:
    """Raise ``ValidationError`` when a new key could be used from where its maker's cannot."""
    if makers is not None and (wanted is None or not all(covers(makers, text) for text in wanted)):
        raise ValidationError(_("A key cannot be used from where its maker's key cannot."))


def check_domains_within(wanted: Sequence[str] | None, makers: Iterable[str] | None) -> None:
    """Raise ``ValidationError`` when a new key would reach domains that its maker's does not."""
    if makers is not None and (wanted is None or not set(wanted) <= set(makers)):
        raise ValidationError(_("A key cannot reach domains that its maker's key does not."))


def check_expiry(end: datetime | None, now: datetime) -> None:
    """Raise ``ValidationError`` when a key may not end then: too early, or beyond ``A3MAILER_API_KEY_MAX_DAYS``."""
    if end is not None and end <= now:
        raise ValidationError(_("This must be in the future."))
    latest = latest_expiry(now)
    if latest is not None and (end is None or end > latest):
        raise ValidationError(_("A key must end within %(days)s days."), params={"days": current().api_key_max_days})


def latest_expiry(now: datetime) -> datetime | None:
    """Return the latest moment at which a key made now may end; ``None`` when it may last for ever."""
    days = current().api_key_max_days
    # Beyond the year 9999 there are no dates; a cap as far as that is none.
    return now + timedelta(days=days) if 0 < days < 366 * 1000 else None
