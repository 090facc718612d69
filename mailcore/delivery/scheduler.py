"""The way out: takes what is due from the queue, has it delivered, and sees that the outcome is written down.

    scheduler = Scheduler(reactor, doors, resolver)
    scheduler.start()
    scheduler.wake()                      # something new is in the queue
    await scheduler.drain()               # finish what is in flight, give back the rest

Nothing here blocks the reactor. A job whose outcome cannot be written down stays leased until it can; one that makes
us stumble is put off, and set aside the third time, while the others go on.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from datetime import datetime
from typing import Any

import structlog
from django.utils import timezone
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.task import LoopingCall, deferLater

from a3mailer_site.env import current
from a3mailer_site.figures import figures
from a3mailer_site.ids import to_text
from mailcore.delivery import claims
from mailcore.delivery.jobs import AwayError, Job, Reach, Result, own_outcome
from mailcore.delivery.local import deliver_here
from mailcore.delivery.recorder import AGAIN_AFTER, Recorder
from mailcore.delivery.remote import Destinations, surroundings
from mailcore.delivery.settlement import Settlement, settle, settle_crash, without_extras
from mailcore.delivery.tally import tally
from mailcore.dialogue import UnavailableError
from mailcore.resolver.stub import Resolver
from mailcore.smtp.client import Outcome, Verdict

log = structlog.get_logger("mailcore.delivery.scheduler")

# Seconds between two looks at the queue, which cost a tenth of a millisecond; ``wake`` does not wait for the next.
LOOK_EVERY = 0.2
RENEW_EVERY = 10.0
TIDY_EVERY = 60.0
# Entries in hand, and claimed at once.
IN_HAND = 1000
# Of these, whose turn it is not yet.
IN_HAND_AHEAD = 500
CLAIM_AT_ONCE = 200
# Entries a minute that wait for a destination that is away, and whose sender is to hear of it.
OVERDUE_AT_ONCE = 500


class Scheduler:
    """One for each worker process."""

    def __init__(
        self, reactor: Any, doors: Any, resolver: Resolver, now: Callable[[], datetime] = timezone.now
    ) -> None:
        self._reactor = reactor
        self._doors = doors
        self._now = now
        self._owner = claims.owner_name()
        self._destinations = Destinations(surroundings(reactor, doors, resolver))
        self._recorder = Recorder(reactor, doors)
        self._jobs: dict[Job, Deferred[None]] = {}
        self._per_destination: Counter[str] = Counter()
        self._ahead = 0
        self._draining = False
        self._calls = {
            LOOK_EVERY: self._looping(self._look),
            RENEW_EVERY: self._looping(self._renew),
            TIDY_EVERY: self._looping(self._tidy),
        }
        figures.gauge("delivery.in_hand", lambda: self.in_hand)
        figures.gauge("delivery.connections_open", lambda: self._destinations.connections)

    @property
    def in_hand(self) -> int:
        """Entries that are leased to us and not settled yet."""
        return self._per_destination.total()

    def start(self) -> None:
        """Begin: take over what predecessors of this machine have left, then look at the queue again and again."""
        first = self._calmly("take over", self._in_database(claims.take_back_from_the_dead))
        first.addCallback(lambda _: self._start_looking())

    def _start_looking(self) -> None:
        if self._draining:
            return
        for seconds, call in self._calls.items():
            call.start(seconds, now=seconds == LOOK_EVERY)

    def wake(self) -> None:
        """Look at the queue now: something has become due."""
        look = self._calls[LOOK_EVERY]
        # While a look is under way there is no next call to bring forward; it goes on until nothing is due.
        if look.running and look.call is not None:
            look.call.reset(0)

    def resize_pool(self, limit: int) -> None:
        """Allow so many connections to other servers at once, from now on."""
        self._destinations.resize(limit)

    async def drain(self) -> None:
        """Take nothing more, finish what is in flight, give back what was not begun."""
        self._draining = True
        for call in self._calls.values():
            if call.running:
                call.stop()
        withdrawn = self._destinations.withdraw()
        flying = [done for job, done in self._jobs.items() if job not in set(withdrawn)]
        ids = [entry.id for job in withdrawn for entry in job.entries]
        await self._calmly("give back", self._in_database(claims.give_back, self._owner, ids))
        await DeferredList(flying)
        self._destinations.withdraw()

    # Looking.

    def _looping(self, work: Callable[[], Awaitable[None]]) -> LoopingCall:
        call = LoopingCall(lambda: self._calmly(work.__name__.strip("_"), work()))
        call.clock = self._reactor
        return call

    def _calmly(self, what: str, work: Awaitable[Any]) -> "Deferred[Any]":
        """Do something that may fail for a while without bringing the loop to an end."""

        async def calm() -> None:
            try:
                await work
            except UnavailableError as error:
                log.warning("delivery waits for the database", at=what, reason=str(error))
            except Exception:
                # The log is told; the delivery of everything else must not stop for it.
                log.exception("delivery met an error of our own", at=what)

        return Deferred.fromCoroutine(calm())

    async def _look(self) -> None:
        """Claim what is due and begin with it, as much as we can hold."""
        if current().catch_all:
            return  # nothing leaves this server, not even what was in the queue before
        while not self._draining:
            room = min(CLAIM_AT_ONCE, IN_HAND - self.in_hand)
            now, in_hand = self._now(), dict(self._per_destination)
            if room <= 0 or not await self._in_database(claims.any_due, now, in_hand):
                return
            ahead = max(0, IN_HAND_AHEAD - self._ahead)
            jobs = await self._in_database(claims.claim, self._owner, now, room, in_hand, ahead)
            for job in jobs:
                self._begin(job, self._work(job))
            if not jobs:
                return

    async def _renew(self) -> None:
        self._destinations.hurry()
        ids = [entry.id for job in self._jobs for entry in job.entries]
        await self._in_database(claims.renew, self._owner, ids, self._now())

    async def _tidy(self) -> None:
        self._destinations.forget_quiet_ones()
        mended = await self._in_database(claims.mend, self._now())
        if mended:
            log.warning("the clock has jumped; entries that stood in the future were moved", entries=mended)
        await self._in_database(claims.take_back_from_the_dead)
        await self._in_database(claims.resume_paused, self._now())
        if strays := await self._in_database(claims.unpark_strays, self._now()):
            log.warning("entries waited for a destination that nobody knows of", entries=strays)
        overdue = await self._in_database(claims.overdue, self._owner, self._now(), OVERDUE_AT_ONCE)
        for job, why in overdue:
            self._begin(job, self._tell(job, why))

    # Working.

    def _begin(self, job: Job, work: Coroutine[Any, Any, None]) -> None:
        for entry in job.entries:
            self._per_destination[entry.destination] += 1
        self._ahead += len(job.entries) if job.ahead else 0
        done = self._calmly("deliver", work)
        self._jobs[job] = done
        done.addBoth(lambda _: self._end(job))

    def _end(self, job: Job) -> None:
        self._jobs.pop(job, None)
        self._ahead -= len(job.entries) if job.ahead else 0
        for entry in job.entries:
            self._per_destination[entry.destination] -= 1
            if self._per_destination[entry.destination] == claims.IN_HAND_A_DESTINATION // 2:
                self.wake()  # there is room for what waits for it
            if not self._per_destination[entry.destination]:
                del self._per_destination[entry.destination]

    async def _work(self, job: Job) -> None:
        """Deliver one job and write down what came of it."""
        written_down: Deferred[None] = Deferred()
        try:
            settlement = await self._deliver_and_settle(job, written_down)
            await self._record(settlement)
        except AwayError as error:
            await self._wait_for(job, [entry.id for entry in job.entries], error.outcome)
            return
        finally:
            written_down.callback(None)
        tally(settlement, self._now())

    async def _wait_for(self, job: Job, untried: list[int], outcome: Outcome) -> None:
        """Leave a destination alone for a while, at which nobody could be spoken to."""
        names = sorted(job.destinations)
        news = await self._in_database(claims.shut, self._owner, untried, names, outcome.words, self._now())
        figures.count("delivery.away", news)

    async def _tell(self, job: Job, why: str) -> None:
        """Settle a job that nobody tries, because its destination is away or paused."""
        outcome = own_outcome(Verdict.DEFERRED, "4.4.1", why)
        results = [Result(entry, outcome, tried=False) for entry in job.entries]
        settlement = await self._persist(settle, job, results)
        await self._record(settlement)
        tally(settlement, self._now())

    async def _deliver_and_settle(self, job: Job, written_down: "Deferred[None]") -> Settlement:
        try:
            results = await self._deliver(job, written_down)
        except (UnavailableError, AwayError):
            # Our own database is away: nothing was sent, and the lease runs out by itself. Or nobody has tried.
            raise
        except Exception as error:
            # It is counted and written down, and the third time the message is set aside.
            log.exception("a message makes us stumble", message=to_text(job.mail.id), nexthop=str(job.nexthop))
            figures.count("delivery.crashed")
            return await self._persist(settle_crash, job, error)
        # What was delivered is written down whether or not it can be noted who is there.
        await self._calmly("learn", self._learn(job, results))
        return await self._persist(settle, job, results)

    async def _learn(self, job: Job, results: list[Result]) -> None:
        """Note whether anybody is there."""
        by_reach = {result.reach: result for result in results}
        if Reach.NOBODY in by_reach:
            await self._wait_for(job, [], by_reach[Reach.NOBODY].outcome)
        elif job.probe and by_reach.keys() == {Reach.UNKNOWN}:
            await self._in_database(claims.end_probe, sorted(job.destinations))
        elif job.probe:
            await self._in_database(claims.reopen, sorted(job.destinations), self._now())
            self.wake()

    async def _record(self, settlement: Settlement) -> None:
        """Write the outcome down; if need be without notices, and in the last resort as something to look at."""
        try:
            await self._recorder.record(settlement)
            return
        except Exception:
            log.exception("an outcome cannot be written down as it is", message=to_text(settlement.mail.id))
        try:
            await self._recorder.record(without_extras(settlement, self._now()))
        except Exception as error:
            log.exception("an outcome cannot be written down", message=to_text(settlement.mail.id))
            ids = [decision.entry.id for decision in settlement.decisions]
            await self._in_database(claims.set_aside, ids, f"outcome not written down: {error}")

    async def _deliver(self, job: Job, written_down: "Deferred[None]") -> list[Result]:
        if job.nexthop.local:
            here: list[Result] = await self._in_database(deliver_here, job)
            return here
        return await self._destinations.deliver(job, written_down)

    async def _persist(self, decide: Callable[..., Settlement], job: Job, came_of_it: Any) -> Settlement:
        """Decide what becomes of the entries; waits for the database as long as it takes."""
        while True:
            try:
                settlement: Settlement = await self._in_database(decide, job, came_of_it, self._now())
            except UnavailableError as error:
                log.warning("what was delivered cannot be settled yet", reason=str(error))
                await deferLater(self._reactor, AGAIN_AFTER)
            else:
                return settlement

    async def _in_database(self, function: Callable[..., Any], *args: Any) -> Any:
        return await self._doors.database(function, *args)
