"""Addresses and networks in their one form: parsed, never compared as text.

An IPv4 address that is mapped into IPv6 (RFC 4291 section 2.5.5.2) is that IPv4 address. A single address is written
without a prefix length, a network as its first address with one: ``192.0.2.100``, ``192.0.2.0/24``, ``2001:db8::/32``.
"""

import ipaddress
import re
from collections.abc import Iterator

from a3mailer_site.api.peers import Address
from a3mailer_site.env import Network, current, networks

# Longer is no address. ipaddress would also take netmasks, and zones that mean nothing on another machine.
_FORM = re.compile(r"[0-9A-Fa-f:.]{2,45}(?:/[0-9]{1,3})?")
_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")
# IPv6 addresses with an IPv4 address in them, which may be anybody's: NAT64 (RFC 6052, RFC 8215) and 6to4 (RFC 3056).
_WITH_IPV4 = tuple(ipaddress.IPv6Network(text) for text in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16"))


def parse_address(text: str) -> Address:
    """Read an address; raises ``ValueError``."""
    address = ipaddress.ip_address(text)
    return getattr(address, "ipv4_mapped", None) or address


def parse_network(text: str) -> Network:
    """Read an address or a network in CIDR notation; raises ``ValueError`` for everything else."""
    if not _FORM.fullmatch(text):
        raise ValueError("neither an address nor a network")
    network = ipaddress.ip_network(text, strict=False)
    if isinstance(network, ipaddress.IPv6Network) and network.overlaps(_MAPPED):
        if network.prefixlen < _MAPPED.prefixlen:
            raise ValueError("a network with all of IPv4 in it")
        mapped = int(network.network_address) & 0xFFFFFFFF
        return ipaddress.IPv4Network((mapped, network.prefixlen - _MAPPED.prefixlen))
    return network


def written(network: Network) -> str:
    """Write a network in its one form."""
    return str(network.network_address) if network.prefixlen == network.max_prefixlen else str(network)


def around(address: Address) -> Iterator[str]:
    """Give every network that an address lies in, as they are written; the address itself first."""
    for prefix in range(address.max_prefixlen, -1, -1):
        yield written(ipaddress.ip_network((address, prefix), strict=False))


def overlap(one: Network, other: Network) -> bool:
    """Say whether two networks, of whatever version, have an address in common."""
    return one.version == other.version and one.overlaps(other)


def within(inner: Network, outer: Network) -> bool:
    """Say whether all of ``inner`` lies in ``outer``."""
    return inner.version == outer.version and inner.subnet_of(outer)  # type: ignore[arg-type] # of one version


def is_public(text: str) -> bool:
    """Say whether this address can be somebody else's on the Internet; raises ``ValueError`` for what is none."""
    address = parse_address(text)
    return address.is_global and not address.is_multicast and not any(address in network for network in _WITH_IPV4)


def trusted_proxies() -> tuple[Network, ...]:
    """Return the proxies whose headers are believed (the setting of that name)."""
    return networks(current().trusted_proxies)
