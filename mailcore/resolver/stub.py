"""The resolver: a caching stub that asks the configured servers without ever blocking.

One for each process. It believes what its servers say, so it does no recursion and checks no signatures; it makes
sure that an answer belongs to its question, asks the next server when one is silent, asks the same thing only once at a
time, and remembers.

    answer = await resolver.resolve("example.com", "MX")
"""

from collections.abc import Awaitable, Callable
from typing import TypeAlias, cast

import dns.exception
import dns.message
import dns.name
import dns.rcode
import structlog
from dns.flags import Flag
from dns.message import Message, QueryMessage
from dns.name import Name
from dns.rdata import Rdata
from dns.rdatatype import RdataType
from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.internet.defer import TimeoutError as TimedOutError
from twisted.python.failure import Failure

from mailcore.resolver.answers import Answer, NoSuchNameError
from mailcore.resolver.cache import Cache, Kind, Outcome, Question
from mailcore.resolver.exchange import ExchangeError, Reactor, ask
from mailcore.resolver.servers import Server, in_order

# Seconds for one question, whatever it needs: servers that are silent, TCP, the links of a CNAME chain.
DEADLINE = 5.0
# Seconds to wait for one server before the next is asked; the second round is more patient.
PATIENCE = (1.2, 2.5)
# CNAMEs that we follow by asking anew; a recursive server follows them itself and sends the whole chain.
CHAIN_LIMIT = 8
# Questions on their way at once, each with a socket of its own. The others wait, within their deadline.
FLIGHT_LIMIT = 256

log = structlog.get_logger("mailcore.resolver")

Ask: TypeAlias = Callable[[Reactor, Server, Question], Awaitable[Message]]


class Resolver:
    """Answers questions to the DNS. The counters only grow; they are read by the metrics."""

    def __init__(self, reactor: Reactor, servers: list[Server], *, ask: Ask = ask, deadline: float = DEADLINE) -> None:
        self._reactor = reactor
        self._servers = servers
        self._ask = ask
        self._deadline = deadline
        self._cache = Cache()
        self._flights: dict[Question, list[Deferred[Outcome]]] = {}
        self._sockets = DeferredSemaphore(FLIGHT_LIMIT)
        self.hits = 0  # questions answered from memory
        self.misses = 0  # questions that were not, joined to a flight or not
        self.queries = 0  # queries sent to a server
        self.failures = 0  # questions that nobody answered

    async def resolve(self, name: str | Name, rdtype: str | RdataType) -> Answer:
        """Return the records of a name; the type is ``"MX"`` or dnspython's constant.

        An international name may be given as it is written. Raises ``NoSuchNameError`` (permanent) and
        ``DnsFailureError`` (temporary); a name without records of that type is an empty answer.
        """
        question = Question(absolute(name), RdataType.make(rdtype))
        known = self._cache.get(question, self._reactor.seconds())
        if known is not None:
            self.hits += 1
            outcome, age = known
            return outcome.answer(question, age)
        self.misses += 1
        return (await self._join(question)).answer(question)

    def use(self, servers: list[Server]) -> None:
        """Ask these servers from now on, and forget what the others said."""
        self._servers = servers
        self._cache.clear()

    def _join(self, question: Question) -> "Deferred[Outcome]":
        """Wait for the flight of this question, or start it. Who stops waiting does not stop the flight."""
        waiter: Deferred[Outcome] = Deferred(lambda gone: self._leave(question, gone))
        waiters = self._flights.get(question)
        if waiters is not None:
            waiters.append(waiter)
            return waiter
        self._flights[question] = [waiter]
        flight = Deferred.fromCoroutine(self._fly(question))
        flight.addTimeout(self._deadline, self._reactor)
        flight.addErrback(_grounded)
        flight.addCallback(self._land, question)
        return waiter

    def _leave(self, question: Question, waiter: "Deferred[Outcome]") -> None:
        waiters = self._flights.get(question, [])
        if waiter in waiters:
            waiters.remove(waiter)

    def _land(self, outcome: Outcome, question: Question) -> None:
        if outcome.kind is Kind.FAILED:
            self.failures += 1
        self._cache.put(question, outcome, self._reactor.seconds())
        for waiter in self._flights.pop(question):
            waiter.callback(outcome)

    async def _fly(self, question: Question) -> Outcome:
        """Ask, and go on asking at the end of each CNAME chain that the server left open."""
        name = question.name
        authentic = True
        ttl = float("inf")
        for _link in range(CHAIN_LIMIT + 1):
            reply, server = await self._ask_round(Question(name, question.rdtype))
            outcome, following = _understand(reply)
            authentic = authentic and server.trusted and bool(reply.flags & Flag.AD)
            ttl = min(ttl, outcome.ttl)
            if following is None:
                return Outcome(outcome.kind, ttl, outcome.records, authentic, outcome.name, outcome.reason)
            name = following
        return _failed("a chain of too many CNAMEs")

    async def _ask_round(self, question: Question) -> tuple[Message, Server]:
        """Ask server after server until one answers; raises ``ExchangeError`` with the last reason."""
        reason = "no DNS server is configured"
        hopeless: set[int] = set()
        for patience in PATIENCE:
            for server in in_order(self._servers, self._reactor.seconds()):
                if id(server) in hopeless:
                    continue
                try:
                    reply = await self._ask_server(server, question, patience)
                except TimedOutError:
                    server.failed(self._reactor.seconds())
                    reason = f"{server.host}: no answer"
                except ExchangeError as error:
                    server.failed(self._reactor.seconds())
                    reason = str(error)
                else:
                    if reply.rcode() in {dns.rcode.NOERROR, dns.rcode.NXDOMAIN}:
                        server.succeeded()
                        return reply, server
                    # It is there but will not say, and would not if asked again: SERVFAIL, REFUSED.
                    hopeless.add(id(server))
                    reason = f"{server.host}: {dns.rcode.to_text(reply.rcode())}"
        raise ExchangeError(reason)

    async def _ask_server(self, server: Server, question: Question, patience: float) -> Message:
        await self._sockets.acquire()
        try:
            self.queries += 1
            asked = Deferred.fromCoroutine(_awaited(self._ask(self._reactor, server, question)))
            return await asked.addTimeout(patience, self._reactor)
        finally:
            self._sockets.release()


def absolute(name: str | Name) -> Name:
    """Return an absolute name; raises ``NoSuchNameError`` for what can be no name (a label too long, an empty one)."""
    if isinstance(name, Name):
        return name if name.is_absolute() else name.derelativize(dns.name.root)
    try:
        return dns.name.from_text(name, dns.name.root, dns.name.IDNA_2008_Practical)
    except (dns.exception.DNSException, UnicodeError) as error:
        raise NoSuchNameError(name, "no domain name") from error


def _understand(reply: Message) -> tuple[Outcome, Name | None]:
    """Return what a reply says, and the name to ask next when its CNAME chain leads out of it."""
    try:
        chain = cast("QueryMessage", reply).resolve_chaining()
    except dns.exception.DNSException:
        return _failed("the answer contradicts itself"), None
    ttl = float(chain.minimum_ttl)
    if chain.answer is not None:
        return Outcome(Kind.ANSWERED, ttl, tuple(chain.answer), name=chain.canonical_name), None
    if reply.rcode() == dns.rcode.NXDOMAIN:
        return Outcome(Kind.NO_SUCH_NAME, ttl, name=chain.canonical_name), None
    nothing = Outcome(Kind.ANSWERED, ttl, _NO_RECORDS, name=chain.canonical_name)
    proven_empty = any(rrset.rdtype == RdataType.SOA for rrset in reply.authority)
    return nothing, chain.canonical_name if chain.cnames and not proven_empty else None


_NO_RECORDS: tuple[Rdata, ...] = ()


def _failed(reason: str) -> Outcome:
    return Outcome(Kind.FAILED, 0, reason=reason)


def _grounded(failure: Failure) -> Outcome:
    """Say why a flight failed; whoever waits must hear something, even of an error of our own."""
    if isinstance(failure.value, TimedOutError):
        return _failed("no answer in time")
    if not isinstance(failure.value, ExchangeError):
        log.error("a DNS question met an error of our own", exc_info=failure.value)
    return _failed(failure.getErrorMessage())


async def _awaited(waiting: Awaitable[Message]) -> Message:
    return await waiting
