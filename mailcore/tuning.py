"""What is tuned while the server runs, put in force in one process: how large its caches are, and what follows besides.

    tuning = Tuning(reactor, way_back)
    tuning.follow("connection_pool_size", scheduler.resize_pool)     # called in the reactor's thread
    tuning.start()

The settings are rows (``a3mailer_site/live.py``); until somebody has set one, what ``env.py`` says holds. They are read
in a thread when the generation ``settings`` moves, and where nobody in the process watches generations, twice a second.
"""

from collections.abc import Callable
from typing import Any

import structlog
from django.conf import settings
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall

from a3mailer_site import caches, generations
from a3mailer_site.env import current
from a3mailer_site.models import Setting
from mailcore.database import in_database_thread
from mailcore.dialogue import UnavailableError
from mailcore.threads import Pool, WayBack

log = structlog.get_logger("mailcore.tuning")

LOOK_EVERY = 0.5  # seconds


class Tuning:
    """One for each process."""

    def __init__(self, reactor: Any, way_back: WayBack, *, polled: bool = False) -> None:
        """``polled``: somebody in this process announces generations, so only a look that failed comes again."""
        self._polled = polled
        self._fresh = False
        self._pool = Pool("tuning", way_back, threads=1, waiting=10, wrap=in_database_thread)
        self._followers: dict[str, Callable[[int], object]] = {}
        self._told: dict[str, int] = {}
        self._looking = False
        self._again = False
        self._loop = LoopingCall(self._tick)
        self._loop.clock = reactor
        generations.listen("settings", lambda: way_back.call(self.look))

    def follow(self, name: str, apply: Callable[[int], object]) -> None:
        """Call ``apply`` with the value of this setting when it is another one."""
        self._followers[name] = apply

    def start(self) -> None:
        """Begin to look."""
        self._loop.start(LOOK_EVERY)

    def stop(self) -> None:
        """Look no more."""
        if self._loop.running:
            self._loop.stop()
        self._pool.stop()

    def _tick(self) -> None:
        if not (self._polled and self._fresh):
            self.look()

    def look(self) -> None:
        """Read the settings now, and put in force what has changed."""
        if self._looking:
            self._again = True
            return
        self._looking = True
        done: Deferred[dict[str, Any]] = self._pool.submit(self._read)
        done.addCallback(self._apply)
        done.addErrback(self._failed)
        done.addCallback(self._looked)

    def _read(self) -> dict[str, Any]:
        """Read in the thread; the caches, which may have much to throw out, are changed there, too."""
        names = ["cache_size", *self._followers]
        values = {name: getattr(current(), name) for name in names}
        values |= dict(Setting.objects.filter(name__in=names).values_list("name", "value"))
        own = int(values.pop("cache_size") * caches.part_of(settings.PROCESS, current().mail_processes))
        if own != caches.in_force():
            caches.resize(own)
            log.info("caches are resized", bytes=own)
        return values

    def _apply(self, values: dict[str, Any]) -> None:
        self._fresh = True
        for name, value in values.items():
            if value != self._told.get(name):
                self._told[name] = value
                self._followers[name](value)

    def _failed(self, failure: Any) -> None:
        self._fresh = False
        if not failure.check(UnavailableError):
            log.error("a setting cannot be put in force", exc_info=failure.value)

    def _looked(self, _: Any) -> None:
        self._looking = False
        if self._again:
            self._again = False
            self.look()
