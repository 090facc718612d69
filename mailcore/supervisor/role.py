"""A role that must always be filled: starts its process, fills it again after a crash, and replaces it unnoticed."""

from collections import deque
from collections.abc import Callable
from typing import Any

import structlog
from twisted.internet.defer import Deferred, inlineCallbacks, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from a3mailer_site.control import ControlError
from mailcore.supervisor.process import Process

log = structlog.get_logger("mailcore.supervisor.role")

# Seconds until a new process must be ready (on a crowded machine a start takes ten times as long; killing it then
# would only make it worse), and for an old one to finish its work.
READY_PATIENCE = 60.0
DRAIN_PATIENCE = 30.0
# Pauses before the next try after a crash; so many crashes within WINDOW seconds, and it stays down for RETRY seconds.
PAUSES = (0.1, 0.5, 1.0, 2.0)
CRASHES = 5
WINDOW = 60.0
RETRY = 60.0


class Role:
    """One of the server's processes, whoever fills it at the moment."""

    def __init__(
        self, name: str, clock: IReactorTime, spawn: Callable[[], Process], retire: Callable[[int], None]
    ) -> None:
        self.name = name
        self.restarts = 0  # after crashes; replacements on request do not count
        self.last_ending = ""
        self.current: Process | None = None
        self.first_ready: Deferred[None] = Deferred()
        self._clock = clock
        self._spawn = spawn
        self._retire = retire
        self._crashes: deque[float] = deque(maxlen=CRASHES)
        self._next_try: IDelayedCall | None = None
        self._deadline: IDelayedCall | None = None
        self._down = False
        self._stopping = False
        self._coming: Process | None = None  # the one that is to take over

    @property
    def state(self) -> str:
        """``starting``, ``ready``, ``draining``, ``restarting`` (a crash was a moment ago), ``down`` or ``stopped``."""
        if self.current is not None:
            return self.current.state
        if self._stopping:
            return "stopped"
        return "down" if self._down else "restarting"

    def start(self) -> None:
        """Fill the role."""
        self._next_try = None
        if self._stopping or self.current is not None:
            return
        process = self.current = self._spawn()
        self._deadline = self._clock.callLater(READY_PATIENCE, self._too_slow, process)
        process.ready.addCallback(self._is_ready)
        process.gone.addCallback(self._ended)

    def _is_ready(self, process: Process) -> Process:
        self._cancel_deadline()
        self._down = False
        log.info("process is ready", role=self.name, child=process.pid, listening=process.listening)
        if not self.first_ready.called:
            self.first_ready.callback(None)
        return process

    def _too_slow(self, process: Process) -> None:
        self._deadline = None
        log.error("process did not become ready and is killed", role=self.name, child=process.pid)
        process.kill()

    def _ended(self, process: Process) -> Process:
        self._retire(process.pid)
        if process is self.current:
            self.current = None
            self.last_ending = process.ending
            self._cancel_deadline()
            if self._wanted():
                self._try_again(process)
        return process

    def _try_again(self, process: Process) -> None:
        """Fill the role again after a crash: soon, then later, and after many crashes once a minute."""
        now = self._clock.seconds()
        self._crashes.append(now)
        self.restarts += 1
        recent = sum(1 for at in self._crashes if now - at < WINDOW)
        self._down = recent >= CRASHES or self._down
        pause = RETRY if self._down else PAUSES[min(recent, len(PAUSES)) - 1]
        log.error("process crashed", role=self.name, child=process.pid, ending=process.ending, next_try_in=pause)
        if self._down:
            log.critical("process keeps crashing and stays down for a while", role=self.name, crashes=recent)
        self._next_try = self._clock.callLater(pause, self.start)

    @inlineCallbacks
    def replace(self) -> Any:
        """Put a new process in the place of the old one; nobody is refused meanwhile.

        Fires when the old one is gone. Fails with ``ControlError``, and keeps the old one, when the new one does not
        become ready.
        """
        if not self._wanted() or self._coming is not None:
            raise ControlError(f"{self.name} is being replaced or stopped already")
        if self.current is None:
            self._start_now()
            return None
        new = self._coming = self._spawn()
        new.gone.addCallback(self._ended)
        try:
            yield _within(READY_PATIENCE, new.ready, self._clock)
        except Exception as error:
            new.kill()
            log.exception("replacement failed, the old process stays", role=self.name, ending=new.ending)
            raise ControlError(f"the new {self.name} process did not become ready; the old one stays") from error
        finally:
            self._coming = None
        if not self._wanted():  # the server was told to stop meanwhile
            new.kill()
            return None
        self._cancel_next_try()  # the old one may have crashed while the new one started
        self._cancel_deadline()
        old, self.current = self.current, new
        log.info("process replaced", role=self.name, child=new.pid, old=old.pid if old else None)
        if old is not None and old.state != "gone":
            yield _retire_process(old, self._clock)
        return None

    def _start_now(self) -> None:
        self._cancel_next_try()
        self._crashes.clear()
        self._down = False
        self.start()

    def stop(self) -> Deferred[Any]:
        """Let the process finish its work and go, for good."""
        self._stopping = True
        self._cancel_next_try()
        self._cancel_deadline()
        if self._coming is not None:
            self._coming.kill()
        if self.current is None:
            return succeed(None)
        return _retire_process(self.current, self._clock)

    def _wanted(self) -> bool:
        return not self._stopping

    def _cancel_next_try(self) -> None:
        if self._next_try is not None and self._next_try.active():
            self._next_try.cancel()
        self._next_try = None

    def _cancel_deadline(self) -> None:
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        self._deadline = None


def _retire_process(process: Process, clock: IReactorTime) -> Deferred[Any]:
    """SIGTERM, and SIGKILL to one that takes too long. Fires when it is gone."""
    process.terminate()
    kill = clock.callLater(DRAIN_PATIENCE, process.kill)
    gone: Deferred[Any] = Deferred()

    def ended(ended_process: Process) -> Process:
        if kill.active():
            kill.cancel()
        gone.callback(None)
        return ended_process

    process.gone.addCallback(ended)
    return gone


def _within(seconds: float, ready: Deferred[Any], clock: IReactorTime) -> Deferred[Any]:
    """Wait for another one's Deferred without using it up; fails with ``ControlError`` after ``seconds``."""
    waiting: Deferred[Any] = Deferred()
    timer = clock.callLater(seconds, waiting.errback, ControlError(f"not ready within {seconds:g} s"))

    def passed(result: Any) -> Any:
        if timer.active():
            timer.cancel()
            if isinstance(result, Failure):
                waiting.errback(result)
                return None
            waiting.callback(result)
        return result

    ready.addBoth(passed)
    return waiting
