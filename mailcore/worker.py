"""The worker process: what has to be done, but not while somebody waits for it.

It delivers what is in the queue, and keeps house. Every task runs by itself: one that fails is logged and comes again.
"""

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import structlog
from django.utils import timezone
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall

from a3mailer_site.env import current
from a3mailer_site.figures import figures
from a3mailer_site.models import KeptAnswer
from accounts import passwords
from mailcore.child import Child
from mailcore.database import DatabaseDoors
from mailcore.delivery.claims import owner_name
from mailcore.delivery.scheduler import Scheduler
from mailcore.delivery.webhooks import Teller
from mailcore.dialogue import UnavailableError
from mailcore.resolver.servers import configured
from mailcore.resolver.stub import Resolver
from mailcore.store.commit import Committer
from mailcore.store.eyes import forget_changes
from mailcore.store.history import forget_expunged
from mailcore.store.indexing import Indexer
from mailcore.threads import WayBack
from mailcore.tuning import Tuning
from mailqueue import counts, outbox, sending
from mailqueue.models import StsPolicy, Submission
from security import greylisting, posture, tallies
from security.sealing import HeadLog, seal

log = structlog.get_logger("mailcore.worker")

# Seconds between two rounds of each household task.
FORGET_CHANGES_EVERY = 20.0
FORGET_EXPUNGED_EVERY = 3600.0
SEAL_EVERY = 1.0
TELL_HEAD_EVERY = 60.0
FORGET_ANSWERS_EVERY = 600.0
FORGET_POLICIES_EVERY = 3600.0
FORGET_SUBMISSIONS_EVERY = 600.0
FORGET_EVENTS_EVERY = 3600.0
FORGET_SENDING_EVERY = 3600.0
FOLD_COUNTS_EVERY = 5.0
INDEX_EVERY = 0.25
SCAN_EVERY = 15 * 60.0
PURGE_TALLIES_EVERY = 3600.0
PURGE_GREYLIST_EVERY = 3600.0


class WorkerProcess:
    """The parts of the worker, and how they begin and end."""

    def __init__(self, reactor: Any) -> None:
        way_back = WayBack(reactor)
        self._committer = Committer(way_back)
        self._doors = DatabaseDoors(way_back, passwords.verify, self._committer)
        self._resolver = Resolver(reactor, configured(current()))
        self._scheduler = Scheduler(reactor, self._doors, self._resolver)
        self._teller = Teller(reactor, self._doors, self._resolver, owner_name())
        self._tuning = Tuning(reactor, way_back)
        self._tuning.follow("connection_pool_size", self._scheduler.resize_pool)
        self._indexer = Indexer(time.time())
        figures.gauge("index.lag_seconds", lambda: self._indexer.lag(time.time()))
        self.child = Child(reactor, "worker")
        self.child.on_start(self._start)
        self.child.on_drain(lambda: Deferred.fromCoroutine(self._scheduler.drain()))
        self.child.on_drain(lambda: Deferred.fromCoroutine(self._teller.drain()))
        self.child.on_reload(lambda env: self._resolver.use(configured(env)))
        self.child.on_reload(lambda _: self._tuning.look())
        self.child.command("wake", self._scheduler.wake)
        reactor.addSystemEventTrigger("during", "shutdown", self._close)

    def _start(self) -> None:
        self._committer.start()
        self._tuning.start()
        self._scheduler.start()
        self._teller.start()
        if catch_all := current().catch_all:
            log.warning("all mail goes into one mailbox and nothing is sent out", mailbox=catch_all)
        self._regularly(FORGET_CHANGES_EVERY, lambda: forget_changes(time.time()))
        self._regularly(FORGET_EXPUNGED_EVERY, lambda: forget_expunged(time.time()))
        self._regularly(SEAL_EVERY, seal)
        self._regularly(TELL_HEAD_EVERY, HeadLog().tell)
        self._regularly(FORGET_ANSWERS_EVERY, lambda: KeptAnswer.objects.forget_outlived(timezone.now()))
        self._regularly(FORGET_POLICIES_EVERY, lambda: StsPolicy.objects.forget_outlived(timezone.now()))
        self._regularly(FORGET_SUBMISSIONS_EVERY, lambda: Submission.objects.forget_outlived(current().submit_once))
        self._regularly(
            FORGET_EVENTS_EVERY, lambda: outbox.forget_failed(timezone.now() - timedelta(days=current().event_days))
        )
        self._regularly(FORGET_SENDING_EVERY, lambda: sending.forget(timezone.now() - timedelta(days=2)))
        self._regularly(FOLD_COUNTS_EVERY, counts.fold)
        self._regularly(INDEX_EVERY, lambda: self._indexer.turn(time.time()))
        self._regularly(SCAN_EVERY, posture.scan)
        self._regularly(PURGE_TALLIES_EVERY, lambda: tallies.purge(timezone.now()))
        self._regularly(PURGE_GREYLIST_EVERY, lambda: greylisting.outlived(timezone.now()).forget())

    def _regularly(self, seconds: float, work: Callable[[], Any]) -> None:
        """Do this in a database thread now and then, never twice at once."""

        def turn() -> Deferred[Any]:
            done = self._doors.database(work)
            done.addErrback(_task_failed)
            return done

        LoopingCall(turn).start(seconds)

    def _close(self) -> None:
        self._tuning.stop()
        self._indexer.stop()
        self._doors.close()
        self._committer.stop()


def _task_failed(failure: Any) -> None:
    """It comes again; the log says what happened."""
    figures.count("worker.task_failures")
    if failure.check(UnavailableError):
        log.warning("a task has to wait", reason=str(failure.value))
    else:
        log.error("a task failed", exc_info=failure.value)


def main() -> None:
    """Work until the supervisor says to end."""
    from twisted.internet import reactor  # noqa: PLC0415 - importing it installs it

    WorkerProcess(reactor).child.run()
