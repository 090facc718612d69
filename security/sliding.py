"""How often something happened lately, by key: in memory, bounded, and without a clock of its own.

A window slides as in ``ratelimits.py``: of the fixed window before this one counts the share that still lies within the
last ``seconds``. When there are too many keys the one that was quiet for longest is forgotten.

    counts = SlidingCounts(10_000)
    counts.add("192.0.2.1", 1, now=time.monotonic(), seconds=600)
    counts.count("192.0.2.1", now=time.monotonic(), seconds=600)
"""

from collections import OrderedDict


class SlidingCounts:
    """Counts of one kind. Belongs to one thread."""

    def __init__(self, limit: int) -> None:
        """``limit``: the most keys that are remembered."""
        self._limit = limit
        # By key: which window was counted last, how much in it, and how much in the one before.
        self._entries: OrderedDict[str, tuple[int, int, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, key: str, amount: int, *, now: float, seconds: int) -> None:
        """Count ``amount`` more. ``now`` in seconds of any clock that only goes forward."""
        window = int(now // seconds)
        this, before = self._both(key, window)
        self._entries[key] = (window, this + amount, before)
        self._entries.move_to_end(key)
        if len(self._entries) > self._limit:
            self._entries.popitem(last=False)

    def count(self, key: str, *, now: float, seconds: int) -> float:
        """Return how much was counted in the last ``seconds``."""
        window, elapsed = divmod(now, seconds)
        this, before = self._both(key, int(window))
        return this + before * (1 - elapsed / seconds)

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()

    def _both(self, key: str, window: int) -> tuple[int, int]:
        """Return what was counted in a window and in the one before it."""
        last, this, before = self._entries.get(key, (window, 0, 0))
        if last == window:
            return this, before
        return 0, this if last == window - 1 else 0
