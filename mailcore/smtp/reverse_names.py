"""The names of hosts that bring mail, asked for in the background from the moment that they connect.

A question ends after two seconds, with an answer or without. Whoever needs the answer waits for that long at most, and
mostly not at all, because the client has been busy saying hello meanwhile.

    reverse_names.use(resolver, reactor)
    reverse_names.begin("192.0.2.1")
    reverse = await reverse_names.find("192.0.2.1")
"""

import ipaddress
from typing import Any

import structlog
from dns.reversename import from_address
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as TimedOutError
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from a3mailer_site.expiring import Expiring
from mailcore.resolver.answers import DnsFailureError, NoSuchNameError
from mailcore.resolver.stub import Resolver
from mailcore.smtp.suspicion import UNKNOWN, Reverse

log = structlog.get_logger("mailcore.smtp.reverse_names")

PATIENCE = 2.0
# Questions on their way at once; beyond that nothing is known of who comes.
FLIGHTS = 200
# An address may have many names; some are enough.
_NAMES = 4
# The resolver remembers each answer for as long as it holds; this spares the work of putting them together.
_REMEMBERED_FOR = 300.0
_REMEMBERED = 10_000


class ReverseNames:
    """What is known of addresses, and who is waiting for it. Belongs to the reactor's thread."""

    def __init__(self) -> None:
        self._resolver: Resolver | None = None
        self._clock: IReactorTime | None = None
        self._known: Expiring[str, Reverse] = Expiring(_REMEMBERED_FOR, _REMEMBERED)
        self._waiting: dict[str, list[Deferred[Reverse]]] = {}

    def use(self, resolver: Resolver | None, clock: IReactorTime | None) -> None:
        """Ask this resolver from now on; without one nothing is ever known."""
        self._resolver, self._clock = resolver, clock
        self._known.clear()

    def begin(self, address: str) -> None:
        """Start to find out, unless that is known or under way."""
        if self._resolver is None or self._clock is None or len(self._waiting) >= FLIGHTS:
            return
        if address in self._waiting or self._known.get(address) is not None:
            return
        self._waiting[address] = []
        flight = Deferred.fromCoroutine(_look_up(self._resolver, address))
        flight.addTimeout(PATIENCE, self._clock)
        flight.addErrback(_not_now)
        flight.addCallback(self._land, address)

    def known(self, address: str) -> Reverse:
        """Return what is known by now."""
        return self._known.get(address) or UNKNOWN

    async def find(self, address: str) -> Reverse:
        """Return what is known, after the time that a question under way still has."""
        waiting = self._waiting.get(address)
        if waiting is None:
            return self.known(address)
        answer: Deferred[Reverse] = Deferred()
        waiting.append(answer)
        return await answer

    def _land(self, reverse: Reverse, address: str) -> None:
        if reverse.known:
            self._known.put(address, reverse)
        for each in self._waiting.pop(address, []):
            each.callback(reverse)


async def _look_up(resolver: Resolver, address: str) -> Reverse:
    """Ask for the names of an address, and for the addresses of each (RFC 8499, "forward-confirmed reverse DNS")."""
    try:
        answer = await resolver.resolve(from_address(address), "PTR")
    except NoSuchNameError:
        return Reverse(known=True)
    names = tuple(answer.names[:_NAMES])
    kind = "AAAA" if ipaddress.ip_address(address).version == 6 else "A"
    unsure = False
    for name in names:
        try:
            found = await resolver.resolve(name, kind)
        except NoSuchNameError:
            continue
        except DnsFailureError:
            unsure = True
            continue
        if address in found.addresses:
            return Reverse(known=True, names=names, confirmed=name)
    # What nobody could say now is held against nobody.
    return UNKNOWN if unsure else Reverse(known=True, names=names)


def _not_now(failure: Failure) -> Any:
    if not isinstance(failure.value, TimedOutError | DnsFailureError):
        log.error("looking up the name of a host met an error of our own", exc_info=failure.value)
    return UNKNOWN


# Those of this process.
reverse_names = ReverseNames()
