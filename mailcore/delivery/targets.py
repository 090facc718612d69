"""From a nexthop to addresses to connect to, in the order to try, and never to this server itself."""

import ipaddress
import time
from collections.abc import Iterable, Sequence

import psutil
from twisted.internet.defer import Deferred, gatherResults

from a3mailer_site.env import Env
from a3mailer_site.figures import figures
from mailcore.delivery.connection import CERTIFICATE, DANE, MTA_STS, Target
from mailcore.delivery.dane import Dane, find_dane
from mailcore.delivery.jobs import Nexthop
from mailcore.delivery.mta_sts import StsPolicies
from mailcore.delivery.sts_policy import Mode
from mailcore.resolver.answers import DnsFailureError
from mailcore.resolver.mail_hosts import MailHost, NoMailHostError, Ourselves, find_addresses, mail_hosts
from mailcore.resolver.stub import Resolver
from mailcore.smtp.client import ClientPolicy, Tls

# As many addresses are tried for one message in one attempt; each may cost the time of a connection that hangs.
TARGET_LIMIT = 5
SUBMISSIONS_PORT = 465


def ourselves(env: Env, port: int) -> Ourselves:
    """Say how this server would be met at ``port``: only by its name where somebody else listens there."""
    names = frozenset({env.host_name.lower()})
    own_ports = {25} | {where[1] for name in ("smtp", "submission", "submissions") for where in env.listen(name)}
    if port not in own_ports:
        return Ourselves(names, loopback=False)
    found = (address.address for addresses in psutil.net_if_addrs().values() for address in addresses)
    return Ourselves(names, frozenset(_plain(found)))


def _plain(texts: Iterable[str]) -> Iterable[str]:
    for text in texts:
        try:
            yield str(ipaddress.ip_address(text.partition("%")[0]))
        except ValueError:
            continue  # a hardware address


async def find_targets(
    nexthop: Nexthop, resolver: Resolver, env: Env, policies: StsPolicies | None = None, *, verified: bool = False
) -> list[Target]:
    """Return where to connect, at most ``TARGET_LIMIT`` addresses; raises ``NoMailHostError``.

    ``verified``: only hosts that prove that they are the ones that are meant (RFC 8689 section 4.2.1).
    """
    us = ourselves(env, nexthop.port)
    enforced = False
    if nexthop.domain:
        hosts = await mail_hosts(resolver, nexthop.domain, us)
        if policies is not None and env.mta_sts and not nexthop.domain.startswith("["):
            hosts, enforced = await _by_policy(hosts, nexthop.domain, policies)
        hosts = hosts[:TARGET_LIMIT]
        proofs = await _find_proofs(hosts, nexthop, resolver, env)
    else:
        hosts = [await _route_host(nexthop, resolver, us)]
        proofs = {}
    targets = [
        Target(
            host.name,
            address,
            nexthop.port,
            ClientPolicy(
                hostname=env.host_name,
                tls=Tls.REQUIRED if enforced or verified or proofs.get(host.name) else nexthop.tls,
                login=nexthop.login,
                plaintext_auth_ok=ipaddress.ip_address(address).is_loopback,
            ),
            implicit_tls=nexthop.port == SUBMISSIONS_PORT and not nexthop.domain,
            dane=proofs.get(host.name),
            proof=_proof(nexthop, host, proofs.get(host.name), enforced=enforced, verified=verified),
        )
        for host in hosts
        for address in host.addresses
        if host.name in proofs or not nexthop.domain
    ][:TARGET_LIMIT]
    if not verified:
        return targets
    usable = [target for target in targets if target.proof]
    if not usable:
        raise NoMailHostError(
            "5.7.30", f"nothing proves who takes mail for {nexthop}, as this message asks (REQUIRETLS)"
        )
    return usable


def _proof(nexthop: Nexthop, host: MailHost, dane: Dane | None, *, enforced: bool, verified: bool) -> str:
    """Say how this host has to prove that it is the one that is meant. DANE goes first (RFC 8461 section 2)."""
    if not nexthop.domain:
        return CERTIFICATE if nexthop.tls is Tls.REQUIRED else ""
    if dane is not None and dane.records:
        return DANE
    if enforced:
        return MTA_STS
    # DNSSEC proves the host's name, and a certificate the rest. That is asked for only where somebody wants it.
    return CERTIFICATE if verified and host.authentic else ""


async def _by_policy(hosts: list[MailHost], domain: str, policies: StsPolicies) -> tuple[list[MailHost], bool]:
    """Return the hosts that the domain's policy lets us use, and whether they have to prove it (RFC 8461 section 5).

    Raises ``NoMailHostError`` when there are none.
    """
    policy = await policies.find(domain, time.time())
    if policy is None or policy.mode is Mode.NONE:
        return hosts, False
    named = [host for host in hosts if policy.names(host.name)]
    if policy.mode is Mode.TESTING:
        if len(named) < len(hosts):
            figures.count("delivery.mta_sts.only_testing")
        return hosts, False
    if not named:
        figures.count("delivery.mta_sts.no_host")
        others = ", ".join(host.name for host in hosts[:3])
        raise NoMailHostError("4.7.0", f"the MTA-STS policy of {domain} does not name its mail hosts ({others})")
    return named, True


async def _find_proofs(
    hosts: Sequence[MailHost], nexthop: Nexthop, resolver: Resolver, env: Env
) -> dict[str, Dane | None]:
    """Look up what each host has to prove; hosts of which that cannot be known are left out (RFC 7672 section 2.1).

    Raises ``NoMailHostError`` when none is left.
    """
    if not env.dane or nexthop.domain.startswith("["):
        return dict.fromkeys(host.name for host in hosts)
    found: dict[str, Dane | None] = {}
    failures: list[str] = []

    async def look_up(host: MailHost) -> None:
        try:
            found[host.name] = await find_dane(resolver, host, nexthop.port, nexthop.domain)
        except DnsFailureError as error:
            failures.append(f"{host.name}: {error.reason}")

    await gatherResults([Deferred.fromCoroutine(look_up(host)) for host in hosts])
    if not found:
        raise NoMailHostError("4.4.3", f"cannot look up the TLSA records of {failures[0]}")
    return found


async def _route_host(nexthop: Nexthop, resolver: Resolver, us: Ourselves) -> MailHost:
    """Find the addresses of a route's host. What is wrong here is ours to put right, so the mail waits."""
    name = nexthop.host.strip("[]").lower()
    addresses = await _route_addresses(name, resolver)
    if not addresses:
        raise NoMailHostError("4.4.4", f"the route's host {nexthop.host} has no address")
    if any(us.has_address(address) for address in addresses):
        raise NoMailHostError("4.4.6", f"the route to {nexthop} leads back to this server")
    return MailHost(nexthop.host, tuple(addresses))


async def _route_addresses(name: str, resolver: Resolver) -> list[str]:
    if name == "localhost":
        # RFC 6761 section 6.3: not a question for the DNS.
        return ["127.0.0.1", "::1"]
    try:
        return [str(ipaddress.ip_address(name))]
    except ValueError:
        pass
    found = await find_addresses(resolver, name)
    if found.failure and not found.texts:
        raise NoMailHostError("4.4.3", f"cannot look up the route's host {found.failure}")
    return list(found.texts)
