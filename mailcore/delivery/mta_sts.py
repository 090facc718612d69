"""MTA-STS: domains that say over HTTPS which hosts take their mail, and that these must prove it (RFC 8461).

A policy is kept until its end in the database, so that neither a restart nor somebody who stands between us and the
domain makes us forget it. The TXT record of the domain is asked for each time (the resolver remembers it for a while);
a new id in it means a new policy. Without a policy, and whenever it cannot be had, mail goes as it always did.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import structlog
from twisted.internet.defer import Deferred

from a3mailer_site.figures import figures
from mailcore.delivery.https import PORT, FetchError, fetch
from mailcore.delivery.sts_policy import POLICY_LIMIT, Mode, Policy, PolicyError, read_id, read_policy
from mailcore.dialogue import UnavailableError
from mailcore.resolver.answers import DnsFailureError, NoSuchNameError
from mailcore.resolver.stub import Resolver
from mailqueue.models import StsPolicy

log = structlog.get_logger("mailcore.delivery.mta_sts")

# Domains that are remembered in this process; 0.5 KiB each.
REMEMBERED = 5000
# Seconds after a failure before a policy is fetched again (section 3.3).
FETCH_AGAIN_AFTER = 300.0


@dataclass(slots=True)
class _Known:
    """What is known of one domain."""

    policy_id: str = ""
    policy: Policy | None = None
    ends: float = 0.0  # seconds since 1970
    not_before: float = 0.0  # no new attempt to fetch it


class StsPolicies:
    """The policies of all domains; one for each worker process."""

    def __init__(self, reactor: Any, doors: Any, resolver: Resolver, *, port: int = PORT) -> None:
        self._reactor = reactor
        self._doors = doors
        self._resolver = resolver
        self._port = port
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._flights: dict[str, list[Deferred[None]]] = {}

    async def find(self, domain: str, now: float) -> Policy | None:
        """Return the policy in force for a domain (A-labels), ``None`` if there is none. ``now``: since 1970."""
        known = await self._remember(domain)
        current = await self._current_id(domain)
        if current is not None and (current != known.policy_id or known.ends <= now) and known.not_before <= now:
            known = await self._renew(domain, known, current, now)
        return known.policy if known.ends > now else None

    async def _remember(self, domain: str) -> _Known:
        known = self._known.get(domain)
        if known is not None:
            self._known.move_to_end(domain)
            return known
        known = _Known()
        try:
            row = await self._doors.database(StsPolicy.objects.find, domain)
        except UnavailableError:
            return self._known.get(domain, known)  # not remembered: the next one asks again
        if row is not None:
            known.policy_id, mode, hosts, max_age, known.ends = row
            known.policy = Policy(Mode(mode), tuple(hosts), max_age)
        # Another may have asked the database at the same time, and may know more by now.
        return self._keep(domain, self._known.get(domain, known))

    def _keep(self, domain: str, known: _Known) -> _Known:
        self._known[domain] = known
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return known

    async def _current_id(self, domain: str) -> str | None:
        try:
            answer = await self._resolver.resolve(f"_mta-sts.{domain}", "TXT")
        except (NoSuchNameError, DnsFailureError):
            # A policy that is in force stays so (section 3.3): somebody may be holding the record back.
            return None
        return read_id(answer.texts)

    async def _renew(self, domain: str, known: _Known, policy_id: str, now: float) -> _Known:
        """Fetch the policy, and return what is known then; many who want it at once wait for one attempt."""
        waiting = self._flights.get(domain)
        if waiting is not None:
            landed: Deferred[None] = Deferred()
            waiting.append(landed)
            await landed
            return self._known.get(domain, known)
        self._flights[domain] = []
        try:
            await self._fetch(domain, known, policy_id, now)
        finally:
            for each in self._flights.pop(domain):
                each.callback(None)
        return known

    async def _fetch(self, domain: str, known: _Known, policy_id: str, now: float) -> None:
        host = f"mta-sts.{domain}"
        try:
            text = await fetch(
                self._reactor, self._resolver, host, "/.well-known/mta-sts.txt", limit=POLICY_LIMIT, port=self._port
            )
            policy = read_policy(text)
        except (FetchError, PolicyError) as error:
            known.not_before = now + FETCH_AGAIN_AFTER
            figures.count("delivery.mta_sts.not_fetched")
            log.warning("a domain's MTA-STS policy cannot be had", domain=domain, reason=str(error))
            return
        figures.count("delivery.mta_sts.fetched")
        known.policy_id, known.policy, known.ends, known.not_before = policy_id, policy, now + policy.max_age, 0.0
        self._keep(domain, known)  # it may not have been, while the database was away
        try:
            await self._doors.database(StsPolicy.objects.keep, domain, policy_id, *policy, known.ends)
        except UnavailableError as error:
            log.warning("an MTA-STS policy could not be kept", domain=domain, reason=str(error))
