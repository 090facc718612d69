"""What may not be blocked, because whoever blocks it would lock out themselves, the server or its friends.

One function says so, for the API, the web administration and the command line alike.
"""

import ipaddress
import socket
from collections.abc import Iterator

import psutil
from django.utils.translation import gettext as _

from a3mailer_site.env import DEVELOPMENT_LISTEN, Network, current
from security.blocklist import ALWAYS_ALLOWED
from security.models import AllowedNetwork
from security.networks import overlap, parse_address, parse_network, trusted_proxies, within

_LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1"))


def objection(
    network: Network, *, caller: str | None = None, force: bool = False, loopback: bool = False
) -> str | None:
    """Say why this network may not be blocked; ``None`` when it may.

    ``caller`` is the address of whoever asks, which ``force`` gives up. With ``loopback`` loopback addresses may be
    blocked, but for 127.0.0.1 and ::1: for tests, and only from the command line.
    """
    widest = current().block_prefix_v4 if network.version == 4 else current().block_prefix_v6
    if network.prefixlen < widest:
        return _("A network may not be wider than /%(prefix)s.") % {"prefix": widest}
    if network.network_address.is_unspecified or network.is_multicast:
        return _("Nobody connects from this address.")
    kept = [parse_network(text) for text in ALWAYS_ALLOWED] if loopback else _LOOPBACK
    if any(overlap(network, each) for each in kept):
        return _("This is a loopback address: the server itself comes from there.")
    if any(overlap(network, each) for each in _own() if not each.is_loopback):
        return _("This is an address of this server.")
    if any(overlap(network, each) for each in trusted_proxies()):
        return _("This is a trusted proxy: everybody behind it would be locked out.")
    if caller is not None and not force and overlap(network, parse_network(caller)):
        return _('This is your own address. Say "force": true to block it all the same.')
    for allowed in AllowedNetwork.objects.values_list("network", flat=True):
        if within(network, parse_network(allowed)):
            return _("%(allowed)s is on the allow-list, which wins over every block.") % {"allowed": allowed}
    return None


def _own() -> Iterator[Network]:
    """Give the addresses of this machine's interfaces, and those that we listen on."""
    for addresses in psutil.net_if_addrs().values():
        for each in addresses:
            if each.family in {socket.AF_INET, socket.AF_INET6}:
                yield ipaddress.ip_network(parse_address(each.address.partition("%")[0]))
    for name in DEVELOPMENT_LISTEN:
        for host, _port in current().listen(name):
            try:
                address = parse_address(host)
            except ValueError:
                continue  # a name; its addresses are those of an interface
            if not address.is_unspecified:
                yield ipaddress.ip_network(address)
