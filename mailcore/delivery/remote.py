"""Hands mail to one nexthop: connections, how many of them, and what is tried in which order.

A ``Destination`` has the jobs of one nexthop. It opens more connections while they go well and fewer while they do
not, keeps a connection for a few seconds for what may come next, and when nobody there can be reached puts off
everything that waits, at the price of one attempt.
"""

from bisect import insort
from collections.abc import Iterable
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any

import structlog
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from a3mailer_site.env import current
from a3mailer_site.figures import figures
from mailcore.delivery.connection import ConnectError, OutboundConnection, Reactor, Target, connect
from mailcore.delivery.content import Content
from mailcore.delivery.jobs import AwayError, Contact, Entry, Job, Nexthop, Reach, Result, own_outcome
from mailcore.delivery.mta_sts import StsPolicies
from mailcore.delivery.pool import ConnectionPool
from mailcore.delivery.targets import find_targets
from mailcore.dialogue import UnavailableError
from mailcore.resolver.mail_hosts import NoMailHostError
from mailcore.resolver.stub import Resolver
from mailcore.smtp.client import Outcome, Phase, Tls, Verdict

log = structlog.get_logger("mailcore.delivery.remote")

# Connections to a destination that we know nothing of yet.
FIRST_CONNECTIONS = 3
# Jobs that have to go well before another connection is tried, after one was too many.
JOBS_BEFORE_MORE = 20
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
    connections: ConnectionPool
    policies: StsPolicies


def surroundings(reactor: Reactor, doors: Any, resolver: Resolver) -> Surroundings:
    """Make the surroundings of a process."""
    policies = StsPolicies(reactor, doors, resolver, port=current().remote_https_port)
    return Surroundings(reactor, doors, resolver, ConnectionPool(current().connection_pool_size), policies)


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A job that nobody has begun."""

    job: Job
    answer: Deferred[list[Result]]
    written_down: Deferred[None]

    @property
    def turn(self) -> int:
        """Whose turn comes first."""
        return self.job.turn


class Destination:
    """One nexthop. ``deliver`` may be called as often as one likes; the jobs wait for a connection."""

    def __init__(self, nexthop: Nexthop, around: Surroundings) -> None:
        self.nexthop = nexthop
        self.limit = min(FIRST_CONNECTIONS, current().destination_concurrency)
        self.active = 0  # connections at work, or being opened
        self._to_prove = 0  # jobs that have to go well before there may be more
        self._around = around
        self._waiting: list[_Waiting] = []  # in the order of their turns
        self._idle: list[OutboundConnection] = []

    @property
    def quiet(self) -> bool:
        """Whether there is nothing here any more."""
        return not (self.active or self._waiting or self._idle)

    def deliver(self, job: Job, written_down: "Deferred[None]") -> "Deferred[list[Result]]":
        """Deliver a job; fires with a result for each entry. Fails only with an error of ours.

        The connection goes on when ``written_down`` has fired: whatever kills us, a message is repeated at most once
        for each connection.
        """
        answer: Deferred[list[Result]] = Deferred()
        insort(self._waiting, _Waiting(job, answer, written_down), key=attrgetter("turn"))
        self._start()
        return answer

    def withdraw(self) -> list[Job]:
        """Take back the jobs that nobody has begun, and let the idle connections go. Their answers never fire."""
        jobs = [each.job for each in self._waiting]
        self._waiting.clear()
        for connection in list(self._idle):
            connection.quit()
        return jobs

    def _start(self) -> None:
        if self._waiting and self.active < self.limit:
            self.active += 1
            Deferred.fromCoroutine(self._serve(self._waiting[0].turn)).addErrback(self._broke)

    async def _serve(self, turn: int) -> None:
        """Deliver job after job over one connection, as long as there are any."""
        await self._around.connections.acquire(turn)
        attempt = _Attempt(self._around)
        try:
            while self._waiting and self.active <= self.limit:
                if self._around.connections.crowded and attempt.used:
                    break  # there may be fewer connections than there were a moment ago; this one has done its part
                each = self._waiting.pop(0)
                if attempt.connection is None:
                    attempt.connection = self._take_idle()
                try:
                    results = await attempt.deliver(each.job)
                except Exception:  # noqa: BLE001 - whoever waits for the job is told
                    attempt.drop()
                    each.answer.errback(Failure())  # type: ignore[no-untyped-call]
                else:
                    if attempt.unreachable is not None and (self.active > 1 or self._idle):
                        # One connection too many, perhaps: another one takes the job.
                        self._slow_down()
                        insort(self._waiting, each, key=attrgetter("turn"))
                        break
                    self._learn(attempt.unreachable, results)
                    each.answer.callback(results)
                    await each.written_down
        finally:
            self._around.connections.release()
            self.active -= 1
            self._keep(attempt.connection)
        self._start()

    def _broke(self, failure: Failure) -> None:
        log.error("a destination met an error of our own", nexthop=str(self.nexthop), exc_info=failure.value)

    def _learn(self, unreachable: Outcome | None, results: Iterable[Result]) -> None:
        """Open more connections while it goes well; when nobody is there, do not let everything try in vain."""
        if unreachable is not None:
            self._slow_down()
            waiting, self._waiting = self._waiting, []
            for each in waiting:
                each.answer.errback(AwayError(unreachable))
        elif any(_is_too_much(result.outcome) for result in results):
            self._slow_down()
        elif self._to_prove:
            self._to_prove -= 1
        else:
            self.limit = min(self.limit + 1, current().destination_concurrency)
            self._start()

    def _slow_down(self) -> None:
        self.limit = max(1, self.limit - 1)
        self._to_prove = JOBS_BEFORE_MORE

    # Idle connections.

    def _take_idle(self) -> OutboundConnection | None:
        while self._idle:
            connection = self._idle.pop()
            self._around.connections.take(connection)
            if connection.usable:
                return connection
        return None

    def _keep(self, connection: OutboundConnection | None) -> None:
        if connection is None or not connection.usable:
            return
        if connection.messages >= MESSAGES_A_CONNECTION:
            connection.quit()
            return
        if not self._around.connections.keep(connection):
            return
        self._idle.append(connection)
        timer = self._around.reactor.callLater(IDLE_SECONDS, self._let_go, connection)
        connection.gone.addCallback(lambda _: self._is_gone(connection, timer))

    def _let_go(self, connection: OutboundConnection) -> None:
        if connection in self._idle:
            self._idle.remove(connection)
            self._around.connections.take(connection)
            connection.quit()

    def _is_gone(self, connection: OutboundConnection, timer: Any) -> None:
        if connection in self._idle:
            self._idle.remove(connection)
        if timer.active():
            timer.cancel()


class _Attempt:
    """Says one message after another to whoever takes it, over one connection at a time."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self.connection: OutboundConnection | None = None
        self.used = False  # for at least one job
        self.unreachable: Outcome | None = None  # why nobody could be spoken to at all, in the last job
        self._started = 0.0
        self._results: dict[int, Result] = {}  # by entry

    def drop(self) -> None:
        """Give up the connection, whatever it is doing."""
        if self.connection is not None:
            self.connection.hang_up()
            self.connection = None

    async def deliver(self, job: Job) -> list[Result]:
        """Deliver one job; returns a result for each entry.

        Raises ``UnavailableError`` when our own database is away and nobody has the message.
        """
        self.unreachable = None
        self.used = True
        self._started = self._around.reactor.seconds()
        self._results = {}
        try:
            left = job
            if (connection := self._at_hand(job)) is not None:
                # An idle connection may be dead without our knowing; then what it said is no verdict.
                left, _lost = await self._say(job, connection)
            if left.entries:
                await self._try_all(left)
        except UnavailableError:
            if not self._results:
                raise
            self.drop()
            left = replace(job, entries=tuple(entry for entry in job.entries if entry.id not in self._results))
            self._settle(left, own_outcome(Verdict.DEFERRED, "4.3.0", "the message could not be read"), Contact())
        return [self._results[entry.id] for entry in job.entries]

    def _at_hand(self, job: Job) -> OutboundConnection | None:
        """Return the connection that is there if this message may go over it; let go of one that will not do."""
        connection = self.connection
        if connection is None or not connection.usable:
            return None
        if job.mail.requiretls and not connection.target.proof:
            connection.quit()
            self.connection = None
            return None
        return connection

    async def _try_all(self, job: Job) -> None:
        """Try the hosts of the nexthop one after another, until each recipient has an answer."""
        try:
            around, verified = self._around, job.mail.requiretls
            targets = await find_targets(job.nexthop, around.resolver, current(), around.policies, verified=verified)
        except NoMailHostError as error:
            verdict = Verdict.FAILED if error.permanent else Verdict.DEFERRED
            outcome = own_outcome(verdict, error.status, error.text)
            # That nobody could be asked concerns every message; that nobody proves himself, those that ask for it.
            reach = Reach.UNKNOWN if verified else Reach.THERE if error.permanent or self._results else Reach.NOBODY
            self.unreachable = outcome if reach is Reach.NOBODY else None
            self._settle(job, outcome, Contact(), reach)
            return
        sessions = 0
        last, contact = _NOBODY, Contact()
        for target in targets:
            try:
                self.connection = await self._open(target)
            except ConnectError as error:
                last, contact = _deferred(error.outcome), Contact(target.host, target.address)
                figures.count("delivery.connect_failed")
                self._around.connections.failed()
                continue
            sessions += 1
            job, lost = await self._say(job, self.connection)
            if lost is not None:
                last, contact = lost, _contact(self.connection)
            if not job.entries or sessions == SESSION_LIMIT:
                break
        if not sessions and not self._results:
            self.unreachable = last
        self._settle(job, last, contact, Reach.THERE if self.unreachable is None else Reach.NOBODY)

    async def _open(self, target: Target) -> OutboundConnection:
        """Connect; in the clear when TLS was offered but does not work and was only better than nothing."""
        figures.count("delivery.connections")
        try:
            return await self._timed(target)
        except ConnectError as error:
            if error.outcome.phase is not Phase.TLS or target.policy.tls is not Tls.OPPORTUNISTIC:
                raise
            log.info("TLS does not work, going on without", host=target.host, reason=error.outcome.text)
            figures.count("delivery.tls_failed")
            self._around.connections.failed()
            return await self._timed(replace(target, policy=replace(target.policy, tls=Tls.NEVER)))

    async def _timed(self, target: Target) -> OutboundConnection:
        began = self._around.reactor.seconds()
        opening = connect(self._around.reactor, target)
        self._around.connections.opening(opening, began)
        try:
            connection = await opening
        except CancelledError:
            log.info("given up, because other mail waits for a connection", host=target.host, address=target.address)
            raise ConnectError(_TOO_SLOW) from None
        self._around.connections.opened(connection, self._around.reactor.seconds() - began)
        return connection

    async def _say(self, job: Job, connection: OutboundConnection) -> tuple[Job, Outcome | None]:
        """Say the message over this connection, to so many recipients at a time as the server takes (RFC 9422).

        Returns what may be tried elsewhere at once, and why there is any.
        """
        most = connection.session.limit("RCPTMAX") or len(job.entries)
        elsewhere: list[Entry] = []
        lost: Outcome | None = None
        for start in range(0, len(job.entries), most):
            part = replace(job, entries=job.entries[start : start + most])
            if start and not connection.usable:
                lost = lost or _NOT_TOLD
            else:
                part, lost = await self._say_once(part, connection)
            elsewhere += part.entries
        return replace(job, entries=tuple(elsewhere)), lost

    async def _say_once(self, job: Job, connection: OutboundConnection) -> tuple[Job, Outcome | None]:
        content = Content(self._around.doors, job.mail.body_id)
        again = connection.messages > 0
        try:
            outcomes = await connection.deliver(job.envelope, content)
        finally:
            content.close()
        self._count_use(connection, outcomes, again=again)
        if (most := connection.session.limit("MAILMAX")) and connection.messages >= most:
            connection.quit()
        elsewhere: list[Entry] = []
        lost: Outcome | None = None
        for entry, outcome in zip(job.entries, outcomes, strict=True):
            if _is_lost(outcome):
                elsewhere.append(entry)
                lost = outcome
            else:
                self._settle(replace(job, entries=(entry,)), outcome, _contact(connection))
        return replace(job, entries=tuple(elsewhere)), lost

    def _count_use(self, connection: OutboundConnection, outcomes: Iterable[Outcome], *, again: bool) -> None:
        lost = any(_is_lost(outcome) for outcome in outcomes)
        self._around.connections.used(again=again, lost=lost)
        if lost and not connection.usable:
            self._around.connections.failed()

    def _settle(self, job: Job, outcome: Outcome, contact: Contact, reach: Reach = Reach.THERE) -> None:
        duration_ms = int((self._around.reactor.seconds() - self._started) * 1000)
        for entry in job.entries:
            self._results[entry.id] = Result(entry, outcome, replace(contact, duration_ms=duration_ms), reach=reach)


_NOT_TOLD = own_outcome(Verdict.DEFERRED, "4.4.2", "the connection ended before it was this recipient's turn")

_TOO_SLOW = own_outcome(Verdict.DEFERRED, "4.4.2", "the host takes too long to begin while other mail waits")

# Never seen: there is always a target, or an error that says why there is none.
_NOBODY = own_outcome(Verdict.DEFERRED, "4.4.1", "no host was tried")


def _is_lost(outcome: Outcome) -> bool:
    """Say whether the server never came to a verdict, and certainly has not taken the message."""
    lost = outcome.code is None or outcome.code == 421
    return lost and outcome.verdict is Verdict.DEFERRED and outcome.phase is not Phase.END_OF_DATA


def _is_too_much(outcome: Outcome) -> bool:
    """Say whether a server may want less of us at a time: it closes, or puts off more than a recipient."""
    return outcome.verdict is Verdict.DEFERRED and (outcome.code == 421 or outcome.phase is not Phase.RCPT)


def _deferred(outcome: Outcome) -> Outcome:
    """Make a greeting of "5xx" temporary: it is about us or that host, not about the recipient, and may pass."""
    return replace(outcome, verdict=Verdict.DEFERRED, status=f"4{outcome.status[1:]}")


def _contact(connection: OutboundConnection) -> Contact:
    session, target = connection.session, connection.target
    tls = f"{session.tls.version} {session.tls.cipher}" if session.tls else ""
    if tls and target.proof:
        tls += f", proved by {target.proof}"
    return Contact(target.host, target.address, tls, "DSN" in session.offers)


class Destinations:
    """All destinations that something goes to at the moment."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._all: dict[Nexthop, Destination] = {}

    def deliver(self, job: Job, written_down: "Deferred[None]") -> "Deferred[list[Result]]":
        """Deliver a job; see ``Destination.deliver``."""
        destination = self._all.get(job.nexthop)
        if destination is None:
            destination = self._all[job.nexthop] = Destination(job.nexthop, self._around)
        return destination.deliver(job, written_down)

    def forget_quiet_ones(self) -> None:
        """Let go of destinations where nothing happens; what was learnt of their pace is forgotten with them."""
        self._all = {nexthop: one for nexthop, one in self._all.items() if not one.quiet}

    def resize(self, limit: int) -> None:
        """Allow so many connections in all, from now on."""
        self._around.connections.resize(limit)

    def hurry(self) -> None:
        """Let nobody wait for hosts that take long to begin."""
        self._around.connections.hurry(self._around.reactor.seconds())

    def withdraw(self) -> list[Job]:
        """Take back all jobs that nobody has begun."""
        return [job for destination in self._all.values() for job in destination.withdraw()]

    @property
    def connections(self) -> int:
        """Connections at work."""
        return sum(destination.active for destination in self._all.values())
