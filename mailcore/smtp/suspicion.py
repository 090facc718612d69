"""How much about a host that brings mail looks like a program that only sends junk: points, and the reasons for them.

Facts, not a verdict: honest servers have some of these faults, and nobody is refused for points alone. Pure values;
what the DNS says comes from ``reverse_names.py``.
"""

import ipaddress
import re
from collections.abc import Collection
from dataclasses import dataclass

# sub-domain = Let-dig [Ldh-str] (RFC 5321 section 4.1.2); underscores are seen in names of honest hosts.
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
# A name of several labels, the last of which is no number.
_QUALIFIED = re.compile(rf"(?:{_LABEL}\.)+(?!\d+\.?$){_LABEL}\.?")
# Words that providers put into the names of the addresses that they give to homes.
_OF_A_POOL = re.compile(
    r"(?:^|[.\d-])(?:dyn|dynamic|dynip|dhcp|dialup|dial|dsl|adsl|vdsl|ppp|pppoe|pool|pools|cable|catv|broadband|wifi)"
    r"(?=[.\d-])"
)
_NUMBERS = re.compile(r"\d+")
_HEX_ADDRESS = re.compile(r"[0-9a-f]{8,}")

POINTS = {
    "helo_not_qualified": 2,  # RFC 5321 section 4.1.4 wants a name of several labels, or an address in brackets
    "helo_is_ours": 4,  # it calls itself by a name or an address of this server
    "no_reverse_name": 3,
    "reverse_name_unconfirmed": 2,  # the name of the address does not lead back to it
    "reverse_name_dynamic": 2,  # it looks like that of a home
}


@dataclass(frozen=True, slots=True)
class Reverse:
    """What the DNS says of an address. ``known`` is false when it did not say so in time: then nothing follows."""

    known: bool
    names: tuple[str, ...] = ()
    confirmed: str = ""  # the first of the names that leads back to the address


UNKNOWN = Reverse(known=False)


@dataclass(frozen=True, slots=True)
class Ours:
    """What only this server may call itself."""

    host: str
    addresses: Collection[str] = ()
    domains: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class Suspicion:
    """The sum, and why: keys of ``POINTS``."""

    points: int
    reasons: tuple[str, ...]


def judge(helo: str, address: str, reverse: Reverse, ours: Ours) -> Suspicion:
    """Sum up. Never raises, whatever the client said."""
    reasons = [
        *(["helo_is_ours"] if is_ours(helo, ours) else [] if is_qualified(helo) else ["helo_not_qualified"]),
        *_reverse_reasons(address, reverse),
    ]
    return Suspicion(sum(POINTS[reason] for reason in reasons), tuple(reasons))


def _reverse_reasons(address: str, reverse: Reverse) -> list[str]:
    if not reverse.known:
        return []
    if not reverse.names:
        return ["no_reverse_name"]
    looks_dynamic = any(is_dynamic(name, address) for name in reverse.names)
    return [
        *([] if reverse.confirmed else ["reverse_name_unconfirmed"]),
        *(["reverse_name_dynamic"] if looks_dynamic else []),
    ]


def is_qualified(helo: str) -> bool:
    """Say whether this is a name of several labels or an address in brackets."""
    if helo.startswith("["):
        return _literal(helo) is not None
    return len(helo) <= 255 and _QUALIFIED.fullmatch(helo) is not None


def is_ours(helo: str, ours: Ours) -> bool:
    """Say whether a host elsewhere calls itself by what is ours."""
    literal = _literal(helo) or _literal(f"[{helo}]")
    if literal is not None:
        return literal in ours.addresses
    name = helo.lower().removesuffix(".")
    return name == ours.host.lower() or name in ours.domains


def is_dynamic(name: str, address: str) -> bool:
    """Say whether the name looks like one of thousands that a provider has made from addresses."""
    name = name.lower()
    return _OF_A_POOL.search(name) is not None or _has_address(name, address)


def _has_address(name: str, address: str) -> bool:
    """Say whether the address is spelled in the name: its numbers in either order, or all of it as one number."""
    ip = ipaddress.ip_address(address)
    hosts = name.split(".")[:-2]  # a provider's own domain may be full of numbers
    if any(f"{int(ip):x}" in found for host in hosts for found in _HEX_ADDRESS.findall(host)):
        return True
    if ip.version != 4:
        return False
    numbers = [int(number) for number in _NUMBERS.findall(".".join(hosts)) if len(number) < 10]
    octets = list(ip.packed)
    return any(_follow(numbers, wanted) for wanted in (octets, octets[::-1]))


def _follow(numbers: list[int], wanted: list[int]) -> bool:
    return any(numbers[at : at + len(wanted)] == wanted for at in range(len(numbers) - len(wanted) + 1))


def _literal(helo: str) -> str | None:
    """Read an address literal (RFC 5321 section 4.1.3) into the canonical form of its address."""
    if not (helo.startswith("[") and helo.endswith("]")):
        return None
    inner = helo[1:-1]
    if inner[:5].lower() == "ipv6:":
        inner = inner[5:]
    try:
        ip = ipaddress.ip_address(inner)
    except ValueError:
        return None
    return str(getattr(ip, "ipv4_mapped", None) or ip)
