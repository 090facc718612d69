"""A dictionary with a bound in bytes; what was not asked for longest goes first. Safe to use from every thread."""

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Remembered(Generic[K, V]):
    """Remembers values that nobody changes any more."""

    def __init__(self, limit: int) -> None:
        """``limit`` is in bytes."""
        self._limit = limit
        self._lock = threading.Lock()
        self._values: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._bytes = 0

    @property
    def bytes(self) -> int:
        """About what is remembered."""
        return self._bytes

    def get(self, key: K) -> V | None:
        """Return what is known."""
        with self._lock:
            known = self._values.get(key)
            if known is None:
                return None
            self._values.move_to_end(key)
            return known[0]

    def put(self, key: K, value: V, size: int) -> None:
        """Remember this in the place of what was known; ``size`` is in bytes. What is too large is not kept."""
        with self._lock:
            old = self._values.pop(key, None)
            self._bytes -= old[1] if old else 0
            if size > self._limit:
                return
            self._values[key] = value, size
            self._bytes += size
            while self._bytes > self._limit:
                _, (_, oldest) = self._values.popitem(last=False)
                self._bytes -= oldest

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._values.clear()
            self._bytes = 0
