"""How much waits in the queue, as the queue itself counts it; ``None`` when it cannot be asked."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

# What the queue's counts have.
STATES = ("total", "active", "deferred", "bounced")
LANES = ("incoming", "outgoing", "retry", "bounce")


def counts() -> Mapping[str, int] | None:
    """Return the number of messages by state and by lane."""
    try:
        read: Callable[[], Mapping[str, Any]] = import_module("mailqueue.counts").counts
    except ModuleNotFoundError:
        return None
    return read()
