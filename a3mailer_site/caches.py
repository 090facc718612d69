"""Caches with a limit in bytes, which is changed while the server runs, and figures that say how well they do.

``cache_size`` is what all caches of the whole server may take. Each process has its part of it, each kind of cache its
share of that:

    ADDRESSES = Allotment("user", 0.5, lambda: [known])   # figures cache.user.hits, .misses, .bytes, …
    known: Cache[str, int] = Cache(ADDRESSES, size_of)

Who looks something up says what came of it (``hit``, ``miss``): what one lookup is, only the user of a cache knows. The
oldest entries go first. Nothing here reads the database or knows when an entry is no longer true.
"""

import itertools
import threading
from collections.abc import Callable, Hashable, Iterable
from sys import getsizeof
from time import perf_counter
from typing import Any, Generic, TypeVar

from a3mailer_site.env import current
from a3mailer_site.figures import figures

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

# Bytes that an entry costs beside its key and value: its place in a dictionary that grows by doubling.
SLOT = 130
# Of so many lookups one is timed.
SAMPLE = 64
# Entries that are thrown out before others may have the lock.
_AT_ONCE = 1000
# The part of the server's memory for caches that each kind of process has: mail asks most, by far.
_PARTS = {"mail": 0.6, "web": 0.2, "worker": 0.2}

_absent: Any = object()
_allotments: list["Allotment"] = []


def part_of(process: str, mail_processes: int) -> float:
    """Return the part of ``cache_size`` that a process of this name has; none of the server's has little."""
    return _PARTS.get(process, 0.2) / (max(1, mail_processes) if process == "mail" else 1)


class Allotment:
    """A kind of cache: its name, its share (0 to 1) of the process's memory for caches, and what happens in it.

    ``stores`` gives the caches that are in use; together they have ``capacity`` bytes, each its ``portion``.
    """

    def __init__(self, name: str, share: float, stores: Callable[[], Iterable["Cache[Any, Any]"]]) -> None:
        self.name = name
        self.share = share
        self.stores = stores
        self.capacity = int(share * _in_force)
        self._turns = itertools.count()
        _allotments.append(self)
        figures.gauge(f"cache.{name}.capacity", lambda: self.capacity)
        figures.gauge(f"cache.{name}.bytes", lambda: sum(store.bytes for store in self.stores()))
        figures.gauge(f"cache.{name}.entries", lambda: sum(len(store) for store in self.stores()))

    def begin(self) -> float:
        """Begin a lookup; give what this returns to ``hit`` or ``miss``. Only one in ``SAMPLE`` is timed."""
        return 0.0 if next(self._turns) % SAMPLE else perf_counter()

    def hit(self, begun: float = 0.0) -> None:
        """Count a lookup that was answered from memory."""
        figures.count(f"cache.{self.name}.hits")
        if begun:
            figures.observe(f"cache.{self.name}.lookup", perf_counter() - begun)

    def miss(self, begun: float = 0.0) -> None:
        """Count a lookup for which the database had to be asked."""
        figures.count(f"cache.{self.name}.misses")
        if begun:
            figures.observe(f"cache.{self.name}.lookup", perf_counter() - begun)


class Cache(Generic[K, V]):
    """A dictionary that has its ``portion`` (0 to 1) of the allotment; ``size_of`` estimates an entry in bytes.

    ``get`` takes no lock and is for every thread, the reactor's too.
    """

    def __init__(self, allotment: Allotment, size_of: Callable[[K, V], int], portion: float = 1.0) -> None:
        self._allotment = allotment
        self._size_of = size_of
        self._portion = portion
        self._lock = threading.Lock()
        self._entries: dict[K, V] = {}
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: K) -> bool:
        return key in self._entries

    def __getitem__(self, key: K) -> V:
        return self._entries[key]

    def get(self, key: K, default: V | None = None) -> V | None:
        """Return the value, or ``default``."""
        return self._entries.get(key, default)

    @property
    def limit(self) -> int:
        """The most bytes that the entries may take."""
        return int(self._allotment.capacity * self._portion)

    def put(self, key: K, value: V) -> None:
        """Keep a value; the oldest go when there is no room. What is larger than the whole cache is not kept."""
        size = self._size_of(key, value)
        limit = self.limit
        with self._lock:
            old = self._entries.pop(key, _absent)
            if old is not _absent:
                self.bytes -= self._size_of(key, old)
            if size > limit:
                return
            self._entries[key] = value
            self.bytes += size
            evicted = self._make_room(limit, _AT_ONCE) if self.bytes > limit else 0
        figures.count(f"cache.{self._allotment.name}.insertions")
        if evicted:
            figures.count(f"cache.{self._allotment.name}.evictions", evicted)

    def trim(self) -> None:
        """Throw out what is beyond the limit; it may have been lowered."""
        while self.bytes > self.limit:
            with self._lock:
                evicted = self._make_room(self.limit, _AT_ONCE)
            figures.count(f"cache.{self._allotment.name}.evictions", evicted)
            if not evicted:
                return

    def _make_room(self, limit: int, most: int) -> int:
        evicted = 0
        while self.bytes > limit and self._entries and evicted < most:
            key = next(iter(self._entries))
            self.bytes -= self._size_of(key, self._entries.pop(key))
            evicted += 1
        return evicted


def text_size(text: str) -> int:
    """Return the bytes that a string takes."""
    return getsizeof(text)


def resize(total: int) -> None:
    """Give all caches of this process together so many bytes, at once. Takes a while: not for the reactor's thread."""
    global _in_force  # noqa: PLW0603
    _in_force = total
    for allotment in _allotments:
        allotment.capacity = int(allotment.share * total)
    for allotment in _allotments:
        for store in allotment.stores():
            store.trim()


def in_force() -> int:
    """Return how many bytes all caches of this process may take."""
    return _in_force


_in_force = int(current().cache_size * part_of("", 1))
figures.gauge("cache.capacity", in_force)
