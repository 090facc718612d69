"""Writes settlements down, many in one transaction, and does not give up: what was sent must never be sent again.

One transaction is on its way at a time; what is settled meanwhile waits for the next one.
"""

from collections import deque
from typing import Any

import structlog
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from mailcore.delivery.settlement import Settlement, Settlements
from mailcore.dialogue import UnavailableError
from mailqueue.bodies import delete_file

log = structlog.get_logger("mailcore.delivery.recorder")

# Settlements in a transaction. Measured: so many take 13 ms, of the 20 that a transaction may.
AT_ONCE = 25
# Seconds until the next try when the database cannot take anything.
AGAIN_AFTER = 1.0


class Recorder:
    """``record`` from the reactor; the Deferred fires once the settlement is on disk."""

    def __init__(self, reactor: Any, doors: Any) -> None:
        self._reactor = reactor
        self._doors = doors
        self._waiting: deque[tuple[Settlement, Deferred[None]]] = deque()
        self._writing = False

    def record(self, settlement: Settlement) -> "Deferred[None]":
        """Write a settlement down. Fails only when it can never be written, by an error of ours."""
        answer: Deferred[None] = Deferred()
        self._waiting.append((settlement, answer))
        if not self._writing:
            self._writing = True
            Deferred.fromCoroutine(self._write_all()).addErrback(self._broke)
        return answer

    async def _write_all(self) -> None:
        try:
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(AT_ONCE, len(self._waiting)))]
                await self._write(batch)
        finally:
            self._writing = False

    async def _write(self, batch: list[tuple[Settlement, "Deferred[None]"]]) -> None:
        while True:
            try:
                files: list[int] = await self._doors.commit(Settlements([settlement for settlement, _ in batch]))
            except UnavailableError as error:
                log.warning("what was delivered cannot be written down yet", reason=str(error), waiting=len(batch))
                await deferLater(self._reactor, AGAIN_AFTER)
            except Exception as error:  # noqa: BLE001 - one of them is bad: it fails alone, and who waits is told
                if len(batch) == 1:
                    batch[0][1].errback(error)
                    return
                for each in batch:
                    await self._write([each])
                return
            else:
                for _settlement, answer in batch:
                    answer.callback(None)
                await self._delete_files(files)
                return

    async def _delete_files(self, bodies: list[int]) -> None:
        for body in bodies:
            try:
                await self._doors.database(delete_file, body)
            except (OSError, UnavailableError) as error:
                log.warning("a body's file stays behind", body=body, reason=str(error))  # prunebodies takes it

    def _broke(self, failure: Any) -> None:
        log.error("the recorder met an error of our own", exc_info=failure.value)
