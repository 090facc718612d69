"""Which hosts take mail for a domain, and at which addresses (RFC 5321 section 5.1).

    hosts = await mail_hosts(resolver, "example.com", ourselves)

Answers in the order to try. Does not connect, and knows no routes: who has a route for a domain does not ask here.
"""

import ipaddress
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from twisted.internet.defer import Deferred, gatherResults

from mailcore.resolver.answers import Answer, DnsFailureError, NoSuchNameError, name_text
from mailcore.resolver.stub import Resolver

# Who publishes more gets the best ones tried; nobody shall make us ask for thousands of addresses.
HOST_LIMIT = 16
ADDRESS_LIMIT = 8


class NoMailHostError(Exception):
    """Nobody takes mail for this domain (permanent), or nobody can say now who does (temporary).

    ``status`` is the enhanced status code (RFC 3463); its first digit tells which of the two it is.
    """

    def __init__(self, status: str, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text

    @property
    def permanent(self) -> bool:
        """Say whether trying again would be in vain."""
        return self.status.startswith("5")


@dataclass(frozen=True, slots=True)
class MailHost:
    """One host to try. ``authentic``: DNSSEC proves all that led to it."""

    name: str
    addresses: tuple[str, ...]
    preference: int = 0
    authentic: bool = False
    canonical: str = ""  # what the name is a CNAME for, if it is one


@dataclass(frozen=True, slots=True)
class Ourselves:
    """By which names and addresses this server itself would be met; connecting to them would be a loop."""

    names: frozenset[str] = frozenset()  # lower case
    addresses: frozenset[str] = frozenset()
    # Loopback belongs to us, too, unless mail goes to a port where somebody else listens (tests).
    loopback: bool = True

    def include(self, name: str, addresses: tuple[str, ...]) -> bool:
        """Say whether a host is this server."""
        return name in self.names or any(self.has_address(address) for address in addresses)

    def has_address(self, address: str) -> bool:
        """Say whether connecting to this address would reach this machine. 0.0.0.0 and :: do that, too."""
        ip = ipaddress.ip_address(address)
        return address in self.addresses or (self.loopback and (ip.is_loopback or ip.is_unspecified))


@dataclass(frozen=True, slots=True)
class Addresses:
    """The addresses of a host; none, and no ``failure``, when it has none."""

    texts: tuple[str, ...] = ()
    authentic: bool = False
    failure: str = ""  # why one kind of them could not be asked for just now
    canonical: str = ""  # whose addresses they are, where a CNAME led elsewhere


@dataclass(frozen=True, slots=True)
class _Host:
    """A host of the MX list on the way to become a ``MailHost``."""

    preference: int
    name: str
    addresses: tuple[str, ...] = ()
    authentic: bool = False
    canonical: str = ""
    failure: str = field(default="", compare=False)  # why its addresses could not be asked for just now


async def mail_hosts(
    resolver: Resolver,
    domain: str,
    ourselves: Ourselves,
    shuffle: Callable[[list[_Host]], None] = random.shuffle,
) -> list[MailHost]:
    """Return the hosts for a domain or an address literal (``[192.0.2.1]``), at least one; the best first.

    Raises ``NoMailHostError``. A DNS that cannot answer is always temporary (4.4.3): it never bounces mail.
    """
    if domain.startswith("["):
        return [_literal(domain, ourselves)]
    try:
        answer = await resolver.resolve(domain, "MX")
    except NoSuchNameError as error:
        raise NoMailHostError("5.1.2", f"the domain {domain} does not exist") from error
    except DnsFailureError as error:
        raise NoMailHostError("4.4.3", f"cannot look up the mail hosts of {domain}: {error.reason}") from error
    listed = _listed(domain, answer, shuffle)
    found = await gatherResults([Deferred.fromCoroutine(_with_addresses(resolver, host)) for host in listed])
    usable = _before_ourselves(domain, found, ourselves)
    hosts = [
        MailHost(host.name, host.addresses, host.preference, answer.authentic and host.authentic, host.canonical)
        for host in usable
        if host.addresses
    ]
    if not hosts:
        raise _nowhere(domain, usable)
    return hosts


def _listed(domain: str, answer: Answer, shuffle: Callable[[list[_Host]], None]) -> list[_Host]:
    """Return the MX list in the order to try, equals at random; the domain itself when there is none."""
    hosts = [_Host(preference, name) for preference, name in answer.exchanges]
    if not hosts:
        return [_Host(0, domain.lower().rstrip("."))]
    named = [host for host in hosts if host.name]
    if not named:
        # RFC 7505 section 4.2; a "." beside real hosts is a mistake and only skipped (section 3).
        raise NoMailHostError("5.1.10", f"the domain {domain} takes no mail")
    shuffle(named)
    return sorted(named, key=lambda host: host.preference)[:HOST_LIMIT]


async def _with_addresses(resolver: Resolver, host: _Host) -> _Host:
    found = await find_addresses(resolver, host.name)
    return replace(
        host,
        addresses=found.texts,
        authentic=found.authentic,
        canonical=found.canonical if found.canonical != host.name else "",
        failure=found.failure,
    )


async def find_addresses(resolver: Resolver, name: str) -> Addresses:
    """Look up both kinds of addresses and mix them, so that one kind that is cut off costs one attempt, not all."""
    both = [Deferred.fromCoroutine(_addresses(resolver, name, kind)) for kind in ("AAAA", "A")]
    six, four = await gatherResults(both)
    mixed = [address for pair in itertools.zip_longest(six.texts, four.texts) for address in pair if address]
    return Addresses(
        tuple(mixed[:ADDRESS_LIMIT]),
        authentic=six.authentic and four.authentic,
        failure=six.failure or four.failure,
        canonical=four.canonical or six.canonical,
    )


async def _addresses(resolver: Resolver, name: str, kind: str) -> Addresses:
    try:
        answer = await resolver.resolve(name, kind)
    except NoSuchNameError as error:
        return Addresses(authentic=error.authentic)
    except DnsFailureError as error:
        return Addresses(failure=f"{name}: {error.reason}")
    canonical = name_text(answer.name) if answer.name is not None else ""
    return Addresses(tuple(answer.addresses), authentic=answer.authentic, canonical=canonical)


def _before_ourselves(domain: str, hosts: list[_Host], ourselves: Ourselves) -> list[_Host]:
    """Drop ourselves and all that are not better than we: they would only give it back (RFC 5321 section 5.1)."""
    own = [host.preference for host in hosts if ourselves.include(host.name, host.addresses)]
    better = [host for host in hosts if not own or host.preference < min(own)]
    if not better:
        raise NoMailHostError("5.4.6", f"mail for {domain} loops back to this server")
    return better


def _nowhere(domain: str, hosts: list[_Host]) -> NoMailHostError:
    failures = [host.failure for host in hosts if host.failure]
    if failures:
        return NoMailHostError("4.4.3", f"cannot look up the mail hosts of {domain}: {failures[0]}")
    return NoMailHostError("5.4.4", f"no mail host of {domain} has an address")


def _literal(domain: str, ourselves: Ourselves) -> MailHost:
    """Read ``[192.0.2.1]`` or ``[IPv6:2001:db8::1]`` (RFC 5321 section 4.1.3)."""
    text = domain.removeprefix("[").removesuffix("]")
    is_six = text[:5].lower() == "ipv6:"
    try:
        ip = ipaddress.IPv6Address(text[5:]) if is_six else ipaddress.IPv4Address(text)
    except ValueError as error:
        raise NoMailHostError("5.1.2", f"{domain} is no address literal") from error
    address = str(ip)
    if ourselves.has_address(address):
        raise NoMailHostError("5.4.6", f"mail for {domain} loops back to this server")
    return MailHost(domain, (address,))
