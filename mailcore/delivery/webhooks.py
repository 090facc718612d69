"""Takes what waits in the outbox, tells it to the webhooks, and has written down what came of it.

A webhook is in one worker's hands at a time, by a lease. Several messages are told at once, the events of one message
one after another. One that does not answer is left alone for a while, and then tried with a single event.
"""

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any

import structlog
from django.utils import timezone
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import LoopingCall

from a3mailer_site.figures import figures
from mailcore.delivery.https import FetchError, post
from mailcore.delivery.signature import signed
from mailcore.dialogue import UnavailableError
from mailcore.resolver.stub import Resolver
from mailqueue import outbox
from mailqueue.outbox import Answer, Target, Told
from mailqueue.webhooks import may_be_sent_to

log = structlog.get_logger("mailcore.delivery.webhooks")

LOOK_EVERY = 0.5
# Events that are told to one webhook at once, each over a connection of its own.
AT_ONCE = 8
# The longest that a webhook may ask us to wait, in seconds.
LONGEST_WAIT = 3600.0

_GONE = 410
# He cannot now, whatever it is about: 408, 425, 429 and all of 5xx.
_NOT_NOW = {408, 425, 429}


class Teller:
    """One for each worker process."""

    def __init__(
        self,
        reactor: Any,
        doors: Any,
        resolver: Resolver,
        owner: str,
        now: Callable[[], datetime] = timezone.now,
    ) -> None:
        self._reactor = reactor
        self._doors = doors
        self._resolver = resolver
        self._owner = owner
        self._now = now
        self._running: dict[int, Deferred[None]] = {}
        self._draining = False
        self._look = LoopingCall(self._turn)
        self._look.clock = reactor

    def start(self) -> None:
        """Look at the outbox again and again."""
        self._look.start(LOOK_EVERY)

    async def drain(self) -> None:
        """Begin nothing more; what is being told is told to its end."""
        self._draining = True
        if self._look.running:
            self._look.stop()
        await gatherResults(list(self._running.values()))

    def _turn(self) -> "Deferred[None]":
        return Deferred.fromCoroutine(self._calmly(self._begin()))

    async def _calmly(self, work: Any) -> None:
        try:
            await work
        except UnavailableError as error:
            log.warning("webhooks wait for the database", reason=str(error))
        except Exception:
            # The log is told; the next look comes all the same.
            log.exception("webhooks met an error of our own")

    async def _begin(self) -> None:
        targets: list[Target] = await self._doors.database(outbox.lease, self._owner, self._now(), list(self._running))
        for target in targets:
            if not self._draining:
                done = Deferred.fromCoroutine(self._calmly(self._serve(target)))
                self._running[target.id] = done
                done.addBoth(partial(self._end, target.id))

    def _end(self, number: int, _done: object) -> None:
        self._running.pop(number, None)

    async def _serve(self, target: Target) -> None:
        """Tell one webhook what waits for it, until nothing does or it does not answer."""
        most = 1 if target.failing else AT_ONCE
        while not self._draining:
            told: list[Told] = await self._doors.database(outbox.take, target, self._now(), most)
            if not told:
                break
            answers: Sequence[Answer] = await gatherResults(
                [Deferred.fromCoroutine(self._tell(target, each)) for each in told]
            )
            if not await self._doors.database(outbox.settle, target, answers, self._now()):
                break
            most = AT_ONCE
            if not await self._doors.database(outbox.renew, self._owner, target.id, self._now()):
                break
        await self._doors.database(outbox.let_go, self._owner, target.id)

    async def _tell(self, target: Target, told: Told) -> Answer:
        began = time.monotonic()
        fields = signed(target.secrets, told.id, int(self._now().timestamp()), told.body)
        allowed = partial(may_be_sent_to, encrypted=target.url.startswith("https:"))
        try:
            status, headers = await post(
                self._reactor,
                self._resolver,
                target.url,
                told.body,
                {"Content-Type": "application/json", **fields},
                allowed=allowed,
            )
        except FetchError as error:
            answer = Answer(told.row, str(error), unreachable=True)
        else:
            answer = _answer(told.row, status, headers.get("retry-after", ""))
        figures.count("webhooks.failed" if answer.error else "webhooks.told")
        figures.observe("webhooks.seconds", time.monotonic() - began)
        if answer.error:
            log.info("a webhook does not take an event", webhook=target.id, told=told.id, reason=answer.error)
        return answer


def _answer(row: int, status: int, retry_after: str) -> Answer:
    """Say what a status means: 2xx that it was taken; a redirect is no answer, nobody follows it."""
    if 200 <= status < 300:
        return Answer(row)
    not_now = status in _NOT_NOW or status >= 500
    after = min(float(retry_after), LONGEST_WAIT) if not_now and retry_after.isdecimal() else 0.0
    return Answer(row, f"it answers {status}", unreachable=not_now, gone=status == _GONE, after=after)
