"""Hands mail to one nexthop: connections, how many of them, and what is tried in which order.

A ``Destination`` has the jobs of one nexthop. It opens more connections while they go well and fewer while they do
not, keeps a connection for a few seconds for what may come next, and when nobody there can be reached puts off
everything that waits, at the price of one attempt.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import structlog
from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.python.failure import Failure

from a3mailer_site.env import current
from mailcore.delivery.connection import ConnectError, OutboundConnection, Reactor, Target, connect
from mailcore.delivery.content import Content
from mailcore.delivery.jobs import Contact, Job, Nexthop, Result, own_outcome
from mailcore.delivery.targets import find_targets
from mailcore.figures import figures
from mailcore.resolver.mail_hosts import NoMailHostError
from mailcore.resolver.stub import Resolver
from mailcore.smtp.client import Outcome, Phase, Tls, Verdict

log = structlog.get_logger("mailcore.delivery.remote")

# Connections at once, over all destinations.
CONNECTION_LIMIT = 100
# Connections to a destination that we know nothing of yet.
FIRST_CONNECTIONS = 3
# Seconds that a connection is kept for the next message, and messages after which it is not.
IDLE_SECONDS = 4.0
MESSAGES_A_CONNECTION = 100
# Hosts that one message is said to in one attempt, when the first one loses the connection.
SESSION_LIMIT = 2


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every destination needs."""

    reactor: Any  # IReactorTCP and IReactorTime, and what the resolver needs
    doors: Any
    resolver: Resolver
    connections: DeferredSemaphore


def surroundings(reactor: Reactor, doors: Any, resolver: Resolver) -> Surroundings:
    """Make the surroundings of a process."""
    return Surroundings(reactor, doors, resolver, DeferredSemaphore(CONNECTION_LIMIT))


class Destination:
    """One nexthop. ``deliver`` may be called as often as one likes; the jobs wait for a connection."""

    def __init__(self, nexthop: Nexthop, around: Surroundings) -> None:
        self.nexthop = nexthop
        self.limit = min(FIRST_CONNECTIONS, current().destination_concurrency)
        self.active = 0  # connections at work, or being opened
        self._around = around
        self._waiting: deque[tuple[Job, Deferred[list[Result]]]] = deque()
        self._idle: list[OutboundConnection] = []

    @property
    def quiet(self) -> bool:
        """Whether there is nothing here any more."""
        return not (self.active or self._waiting or self._idle)

    def deliver(self, job: Job) -> "Deferred[list[Result]]":
        """Deliver a job; fires with a result for each entry. Fails only with an error of ours."""
        answer: Deferred[list[Result]] = Deferred()
        self._waiting.append((job, answer))
        self._start()
        return answer

    def withdraw(self) -> list[Job]:
        """Take back the jobs that nobody has begun, and let the idle connections go. Their answers never fire."""
        jobs = [job for job, _answer in self._waiting]
        self._waiting.clear()
        for connection in list(self._idle):
            connection.quit()
        return jobs

    def _start(self) -> None:
        if self._waiting and self.active < self.limit:
            self.active += 1
            Deferred.fromCoroutine(self._serve()).addErrback(self._broke)

    async def _serve(self) -> None:
        """Deliver job after job over one connection, as long as there are any."""
        await self._around.connections.acquire()
        attempt = _Attempt(self._around, self._take_idle())
        try:
            while self._waiting and self.active <= self.limit:
                job, answer = self._waiting.popleft()
                try:
                    results = await attempt.deliver(job)
                except Exception:  # noqa: BLE001 - whoever waits for the job is told
                    attempt.drop()
                    answer.errback(Failure())  # type: ignore[no-untyped-call]
                else:
                    self._learn(attempt.unreachable)
                    answer.callback(results)
        finally:
            self._around.connections.release()
            self.active -= 1
            self._keep(attempt.connection)
        self._start()

    def _broke(self, failure: Failure) -> None:
        log.error("a destination met an error of our own", nexthop=str(self.nexthop), exc_info=failure.value)

    def _learn(self, unreachable: Outcome | None) -> None:
        """Open more connections while it goes well; when nobody is there, do not let everything try in vain."""
        if unreachable is None:
            self.limit = min(self.limit + 1, current().destination_concurrency)
            self._start()
            return
        self.limit = max(1, self.limit - 1)
        if self.active > 1:
            return  # another connection may be doing well
        waiting, self._waiting = self._waiting, deque()
        for job, answer in waiting:
            answer.callback([Result(entry, unreachable) for entry in job.entries])

    # Idle connections.

    def _take_idle(self) -> OutboundConnection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                return connection
        return None

    def _keep(self, connection: OutboundConnection | None) -> None:
        if connection is None or not connection.usable:
            return
        if connection.messages >= MESSAGES_A_CONNECTION:
            connection.quit()
            return
        self._idle.append(connection)
        timer = self._around.reactor.callLater(IDLE_SECONDS, self._let_go, connection)
        connection.gone.addCallback(lambda _: self._is_gone(connection, timer))

    def _let_go(self, connection: OutboundConnection) -> None:
        if connection in self._idle:
            self._idle.remove(connection)
            connection.quit()

    def _is_gone(self, connection: OutboundConnection, timer: Any) -> None:
        if connection in self._idle:
            self._idle.remove(connection)
        if timer.active():
            timer.cancel()


class _Attempt:
    """Says one message after another to whoever takes it, over one connection at a time."""

    def __init__(self, around: Surroundings, connection: OutboundConnection | None) -> None:
        self._around = around
        self.connection = connection
        self.unreachable: Outcome | None = None  # why nobody could be spoken to at all, in the last job

    def drop(self) -> None:
        """Give up the connection, whatever it is doing."""
        if self.connection is not None:
            self.connection.hang_up()
            self.connection = None

    async def deliver(self, job: Job) -> list[Result]:
        """Deliver one job; returns a result for each entry."""
        self.unreachable = None
        started = self._around.reactor.seconds()
        open_jobs, results = job, list[Result]()
        if self.connection is not None and self.connection.usable:
            # An idle connection may be dead without our knowing; then what it said is no verdict.
            open_jobs, results, _last = await self._say(job, self.connection, started)
        if open_jobs.entries:
            results += await self._try_all(open_jobs, started)
        places = {entry.id: place for place, entry in enumerate(job.entries)}
        return sorted(results, key=lambda result: places[result.entry.id])

    async def _try_all(self, job: Job, started: float) -> list[Result]:
        """Try the hosts of the nexthop one after another, until each recipient has an answer."""
        try:
            targets = await find_targets(job.nexthop, self._around.resolver, current())
        except NoMailHostError as error:
            verdict = Verdict.FAILED if error.permanent else Verdict.DEFERRED
            return self._same(job, own_outcome(verdict, error.status, error.text), Contact())
        results: list[Result] = []
        sessions = 0
        last, contact = _NOBODY, Contact()
        for target in targets:
            contact = Contact(target.host, target.address)
            try:
                self.connection = await self._open(target)
            except ConnectError as error:
                last = _deferred(error.outcome)
                figures.count("delivery.connect_failed")
                continue
            sessions += 1
            job, more, lost = await self._say(job, self.connection, started)
            results += more
            if lost is not None:
                last, contact = lost
            if not job.entries or sessions == SESSION_LIMIT:
                break
        if not sessions:
            self.unreachable = last
        return results + self._same(job, last, replace(contact, duration_ms=self._since(started)))

    async def _open(self, target: Target) -> OutboundConnection:
        """Connect; in the clear when TLS was offered but does not work and was only better than nothing."""
        figures.count("delivery.connections")
        try:
            return await connect(self._around.reactor, target)
        except ConnectError as error:
            if error.outcome.phase is not Phase.TLS or target.policy.tls is not Tls.OPPORTUNISTIC:
                raise
            log.info("TLS does not work, going on without", host=target.host, reason=error.outcome.text)
            figures.count("delivery.tls_failed")
            return await connect(self._around.reactor, replace(target, policy=replace(target.policy, tls=Tls.NEVER)))

    async def _say(
        self, job: Job, connection: OutboundConnection, started: float
    ) -> tuple[Job, list[Result], tuple[Outcome, Contact] | None]:
        """Say the message over this connection.

        Returns the job of those who may be tried elsewhere at once, the results of the others, and why there are any.
        """
        content = Content(self._around.doors, job.mail.body_id)
        try:
            outcomes = await connection.deliver(job.envelope, content)
        finally:
            content.close()
        contact = _contact(connection, self._since(started))
        again = [entry for entry, outcome in zip(job.entries, outcomes, strict=True) if _is_lost(outcome)]
        results = [
            Result(entry, outcome, contact)
            for entry, outcome in zip(job.entries, outcomes, strict=True)
            if not _is_lost(outcome)
        ]
        lost = next((outcome for outcome in outcomes if _is_lost(outcome)), None)
        return replace(job, entries=tuple(again)), results, (lost, contact) if lost else None

    def _same(self, job: Job, outcome: Outcome, contact: Contact) -> list[Result]:
        return [Result(entry, outcome, contact) for entry in job.entries]

    def _since(self, started: float) -> int:
        return int((self._around.reactor.seconds() - started) * 1000)


# Never seen: there is always a target, or an error that says why there is none.
_NOBODY = own_outcome(Verdict.DEFERRED, "4.4.1", "no host was tried")


def _is_lost(outcome: Outcome) -> bool:
    """Say whether the server never came to a verdict, and certainly has not taken the message."""
    lost = outcome.code is None or outcome.code == 421
    return lost and outcome.verdict is Verdict.DEFERRED and outcome.phase is not Phase.END_OF_DATA


def _deferred(outcome: Outcome) -> Outcome:
    """Make a greeting of "5xx" temporary: it is about us or that host, not about the recipient, and may pass."""
    return replace(outcome, verdict=Verdict.DEFERRED, status=f"4{outcome.status[1:]}")


def _contact(connection: OutboundConnection, duration_ms: int) -> Contact:
    session, target = connection.session, connection.target
    tls = f"{session.tls.version} {session.tls.cipher}" if session.tls else ""
    return Contact(target.host, target.address, tls, "DSN" in session.offers, duration_ms)


class Destinations:
    """All destinations that something goes to at the moment."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._all: dict[Nexthop, Destination] = {}

    def deliver(self, job: Job) -> "Deferred[list[Result]]":
        """Deliver a job; see ``Destination.deliver``."""
        destination = self._all.get(job.nexthop)
        if destination is None:
            destination = self._all[job.nexthop] = Destination(job.nexthop, self._around)
        return destination.deliver(job)

    def forget_quiet_ones(self) -> None:
        """Let go of destinations where nothing happens; what was learnt of their pace is forgotten with them."""
        self._all = {nexthop: one for nexthop, one in self._all.items() if not one.quiet}

    def withdraw(self) -> list[Job]:
        """Take back all jobs that nobody has begun."""
        return [job for destination in self._all.values() for job in destination.withdraw()]

    @property
    def connections(self) -> int:
        """Connections at work."""
        return sum(destination.active for destination in self._all.values())


Deliver = Callable[[Job], "Deferred[list[Result]]"]
