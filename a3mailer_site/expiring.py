"""A small memory: values that are forgotten after a while, and the oldest of them when there are too many."""

import threading
import time
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Expiring(Generic[K, V]):
    """A dictionary whose entries last ``seconds`` from when they were put, at most ``limit`` of them. For all threads.

    ``known: Expiring[str, int] = Expiring(60.0, 1000); known.put("a", 1); known.get("a")``
    """

    def __init__(self, seconds: float, limit: int) -> None:
        self._seconds = seconds
        self._limit = limit
        self._lock = threading.Lock()
        self._entries: dict[K, tuple[float, V]] = {}

    def get(self, key: K) -> V | None:
        """Return the value, or ``None`` when it was never put or is over."""
        with self._lock:
            entry = self._entries.get(key)
        return entry[1] if entry is not None and entry[0] > time.monotonic() else None

    def put(self, key: K, value: V) -> None:
        """Keep a value; its time begins anew."""
        with self._lock:
            self._entries.pop(key, None)
            self._entries[key] = (time.monotonic() + self._seconds, value)
            if len(self._entries) > self._limit:
                del self._entries[next(iter(self._entries))]

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._entries.clear()
