"""Who is on the other side of an HTTP request, proxies taken into account."""

import ipaddress
from functools import lru_cache

from django.http import HttpRequest

from a3mailer_site.env import current, networks

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# What proxies add to a request that they pass on (RFC 7239 and its forerunners).
_FORWARDED = ("HTTP_FORWARDED", "HTTP_X_FORWARDED_FOR", "HTTP_X_REAL_IP")


def client_address(request: HttpRequest) -> str:
    """Return the client's IP address in canonical form.

    ``X-Forwarded-For`` counts only when a configured proxy sent it, and then its right-most entry that is no such
    proxy: what stands before it was written by the client and may be anything.
    """
    peer = _parsed(request.META.get("REMOTE_ADDR", ""))
    if peer is None:
        return "127.0.0.1"  # a Unix socket: only this machine can reach it
    hops = [_parsed(text.strip()) for text in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")]
    while _is_proxy(peer) and hops:
        hop = hops.pop()
        if hop is None:
            break
        peer = hop
    return str(peer)


def comes_by_proxy(request: HttpRequest) -> bool:
    """Say whether a configured proxy passed this request on, so that its headers may be believed."""
    peer = _parsed(request.META.get("REMOTE_ADDR", ""))
    return peer is not None and _is_proxy(peer)


def is_loopback(request: HttpRequest) -> bool:
    """Say whether the request came from this machine, and not through a proxy on it."""
    return not comes_by_stranger(request) and ipaddress.ip_address(client_address(request)).is_loopback


def is_among(request: HttpRequest, listed: str) -> bool:
    """Say whether the client's address is in one of these networks (separated by commas), and is certain."""
    if comes_by_stranger(request):
        return False
    client = ipaddress.ip_address(client_address(request))
    return any(client in network for network in networks(listed))


def comes_by_stranger(request: HttpRequest) -> bool:
    """Say whether a proxy that nobody has configured passed this request on: who is behind it may be anywhere.

    It gives itself away by its headers.
    """
    peer = _parsed(request.META.get("REMOTE_ADDR", ""))
    return (peer is None or not _is_proxy(peer)) and any(header in request.META for header in _FORWARDED)


@lru_cache(maxsize=4096)
def _parsed(text: str) -> Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _is_proxy(address: Address) -> bool:
    return any(address in network for network in networks(current().trusted_proxies))
