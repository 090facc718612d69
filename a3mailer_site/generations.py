"""Who wants to know that a generation moved, and who tells them.

A cache listens under the name of its generation and forgets when it hears. Three tell: ``Generation.objects.bump`` in
the process that writes, at once and again after commit; the poller of ``mailcore/store/notices.py`` in the mail
process; and in processes without that poller the cache itself, by asking ``Watch.moved`` before each use.
"""

import threading
import time
from collections.abc import Callable

# PostgreSQL's NOTIFY channel on which the commit of a new generation is heard.
CHANNEL = "a3mailer_generations"
# Seconds that a process without a poller may go on with what it knows.
_AGE = 1.0

_listeners: dict[str, list[Callable[[], None]]] = {}
_polled = False


def listen(name: str, forget: Callable[[], None]) -> None:
    """Have ``forget`` called, in whatever thread finds out, each time that the generation ``name`` may have moved."""
    _listeners.setdefault(name, []).append(forget)


def names() -> list[str]:
    """Return the generations that somebody in this process listens to."""
    return list(_listeners)


def announce(name: str) -> None:
    """Tell everybody in this process who listens under ``name``."""
    for forget in _listeners.get(name, ()):
        forget()


def announce_all() -> None:
    """Tell every listener; after a lost connection nobody knows what moved meanwhile."""
    for name in list(_listeners):
        announce(name)


def rely_on_poller(polled: bool = True) -> None:
    """Say that a poller in this process calls ``announce`` within moments of every change, so nobody else need ask."""
    global _polled  # noqa: PLW0603
    _polled = polled


class Watch:
    """When to look at a generation, for a cache in a process that may have no poller."""

    def __init__(self, name: str, age: float | None = None) -> None:
        """``age``: seconds that may pass between two looks; a second unless said otherwise."""
        self._name = name
        self._age = age
        self._lock = threading.Lock()
        self._value: int | None = None
        self._looked = float("-inf")

    @property
    def fresh(self) -> bool:
        """Say whether what is cached may be used without asking the database."""
        return _polled or time.monotonic() - self._looked < (_AGE if self._age is None else self._age)

    def look(self) -> None:
        """Ask the database when it is time to, and ``announce`` when the generation moved."""
        if self.fresh:
            return
        from a3mailer_site.models import Generation  # noqa: PLC0415 - the models import this module

        now = time.monotonic()
        value = Generation.objects.filter(name=self._name).values_list("value", flat=True).first() or 0
        with self._lock:
            moved, self._value, self._looked = self._value not in {None, value}, value, now
        if moved:
            announce(self._name)
