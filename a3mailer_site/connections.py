"""How many database connections this process has. Django keeps one for each thread, and no list of them."""

import threading
from typing import Any
from weakref import WeakSet

from django.db.backends.signals import connection_created

from a3mailer_site.figures import figures

_lock = threading.Lock()
_known: WeakSet[Any] = WeakSet()


def open_now() -> int:
    """Count the connections that are open."""
    with _lock:
        return sum(each.connection is not None for each in _known)


def _opened(sender: Any, connection: Any, **kwargs: Any) -> None:  # noqa: ARG001 - Django passes them
    figures.count("database.connections_opened")
    with _lock:
        _known.add(connection)


def begin_counting() -> None:
    """Count from now on."""
    connection_created.connect(_opened, dispatch_uid="a3mailer_site.connections")
    figures.gauge("database.connections", open_now)
