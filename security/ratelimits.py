"""How many requests the API answers: in all, from one address, and for one user or key.

Requests are counted in Django's cache ``limits``: in the process where there is one web process, in Redis where there
are more. A window slides: of the fixed window before this one counts the share that still lies within the last
``window_seconds``. What is refused is not counted, so who waits for ``Retry-After`` gets in.

The budget of all is shared in two. Requests that nobody has signed for may use at most ``1 - RESERVED`` of it, and who
is authenticated may use what they leave: a flood of strangers (or of wrong keys) never takes the last share (S15).

    verdict = spend([Spending("per_ip", "192.0.2.1", limits.per_ip)], time.time())
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

import structlog
from django.core.cache import caches
from django.db import DatabaseError, InterfaceError

from a3mailer_site.expiring import Expiring
from a3mailer_site.figures import figures
from a3mailer_site.live import live

log = structlog.get_logger("security.ratelimits")

SETTING = "rate_limits"
# The share of the whole budget that only authenticated callers may use.
RESERVED = 0.5

Scope: TypeAlias = Literal["global", "per_ip", "per_user"]


@dataclass(frozen=True, slots=True)
class Limit:
    """At most so many requests in so many seconds."""

    max_requests: int
    window_seconds: int


@dataclass(frozen=True, slots=True)
class Limits:
    """The three limits in force."""

    everybody: Limit
    per_ip: Limit
    per_user: Limit

    def as_json(self) -> dict[str, dict[str, int]]:
        """Return them as the API reference has them."""
        return {"global": asdict(self.everybody), "per_ip": asdict(self.per_ip), "per_user": asdict(self.per_user)}


DEFAULTS = Limits(Limit(1000, 60), Limit(100, 60), Limit(500, 60))
# Bounds (S14): below the least nobody could work, and above the most there would be no limit.
LEAST: Mapping[str, int] = {"global": 60, "per_ip": 10, "per_user": 10}
MOST_REQUESTS = 10_000_000
MOST_SECONDS = 3600

_last_known = DEFAULTS
# Counts of windows that are over. Their keys have the window in them and never come again.
_past: Expiring[str, int] = Expiring(2.0 * MOST_SECONDS, 20_000)


def limits() -> Limits:
    """Return the limits in force. Never raises: without a database the last known ones hold."""
    global _last_known  # noqa: PLW0603
    try:
        _last_known = read(live(SETTING, None))
    except (DatabaseError, InterfaceError) as error:
        log.warning("the rate limits cannot be read; the last known ones hold", reason=str(error))
    return _last_known


def read(stored: Any) -> Limits:
    """Read what is stored; what is missing or out of bounds (an older version wrote it) is the default."""
    if stored is None:
        return DEFAULTS
    return Limits(
        _read_one(stored, "global", DEFAULTS.everybody),
        _read_one(stored, "per_ip", DEFAULTS.per_ip),
        _read_one(stored, "per_user", DEFAULTS.per_user),
    )


def _read_one(stored: Any, scope: str, default: Limit) -> Limit:
    try:
        limit = Limit(int(stored[scope]["max_requests"]), int(stored[scope]["window_seconds"]))
    except (KeyError, TypeError, ValueError):
        return default
    fine = LEAST[scope] <= limit.max_requests <= MOST_REQUESTS and 1 <= limit.window_seconds <= MOST_SECONDS
    return limit if fine else default


@dataclass(frozen=True, slots=True)
class Spending:
    """A request, taken from one budget: of what kind, whose, and how large it is."""

    kind: str
    whose: str
    limit: Limit


@dataclass(frozen=True, slots=True)
class Verdict:
    """How it stands with the tightest budget: what is left, and when there is more (seconds)."""

    kind: str
    limit: int
    remaining: int
    reset: int
    refused: bool = False

    def tighter(self, other: "Verdict | None") -> "Verdict":
        """Return the one that a client has to look at."""
        if other is None or (self.refused, -self.remaining) >= (other.refused, -other.remaining):
            return self
        return other


def spend(spendings: Sequence[Spending], now: float, extra: Mapping[str, float] | None = None) -> Verdict:
    """Take one request from every budget, or from none: where one is used up the others get theirs back.

    ``now`` in seconds of Unix time. ``extra`` says by kind what others have used of a budget.
    """
    cache = caches["limits"]
    worst: Verdict | None = None
    taken: list[str] = []
    for each in spendings:
        key = _key(each, now)
        used = _add(cache, key, each.limit.window_seconds)
        taken.append(key)
        earlier = _counted_before(cache, each, now)
        worst = _judge(each, used, earlier, now, (extra or {}).get(each.kind, 0)).tighter(worst)
        if worst.refused:
            break
    assert worst is not None  # noqa: S101 - there is at least one spending
    if worst.refused:
        for key in taken:
            _give_back(cache, key)
    return worst


def used(spending: Spending, now: float) -> float:
    """Return how many requests of this budget lie within its window."""
    cache = caches["limits"]
    count = cache.get(_key(spending, now), 0)
    return float(count + _counted_before(cache, spending, now) * (1 - _share(spending.limit, now)))


def _judge(spending: Spending, count: int, earlier: int, now: float, extra: float) -> Verdict:
    """Say how it stands after a request that made ``count`` of this window; ``earlier`` are those of the last one."""
    limit, share = spending.limit, _share(spending.limit, now)
    seconds = limit.window_seconds
    total = count + earlier * (1 - share) + extra
    left = (1 - share) * seconds
    # A hair's breadth for what floating point makes of whole numbers.
    if total <= limit.max_requests + 1e-6:
        remaining = int(limit.max_requests - total + 1e-6)
        return Verdict(spending.kind, limit.max_requests, remaining, max(1, math.ceil(left)))
    room = limit.max_requests - extra
    if count <= room and earlier:
        # Within this window, once enough of the last one is past.
        wait = (1 - share - (room - count) / earlier) * seconds
    else:
        # In the next one, in which this one (without the request that is refused) fades in its turn.
        fades = 1 - (room - 1) / (count - 1) if count > 1 and room >= 1 else 1.0
        wait = left + max(0.0, fades) * seconds
    wait = max(1, math.ceil(wait))
    return Verdict(spending.kind, limit.max_requests, 0, wait, refused=True)


def _share(limit: Limit, now: float) -> float:
    """Return how much of the window that ``now`` lies in is past, from 0 to 1."""
    return (now % limit.window_seconds) / limit.window_seconds


def _key(spending: Spending, now: float, step: int = 0) -> str:
    seconds = spending.limit.window_seconds
    return f"{spending.kind}:{spending.whose}:{seconds}:{int(now // seconds) + step}"


def _counted_before(cache: Any, spending: Spending, now: float) -> int:
    """Return what was counted in the window before this one, which is over: it is asked for once."""
    key = _key(spending, now, -1)
    count = _past.get(key)
    if count is None:
        count = int(cache.get(key, 0))
        _past.put(key, count)
    return count


def forget() -> None:
    """Forget what was counted (tests)."""
    caches["limits"].clear()
    _past.clear()


def _add(cache: Any, key: str, seconds: int) -> int:
    try:
        return int(cache.incr(key))
    except ValueError:
        # The first of its window. It is asked for during the next one, too.
        return 1 if cache.add(key, 1, 2 * seconds + 1) else int(cache.incr(key))


def _give_back(cache: Any, key: str) -> None:
    try:
        cache.decr(key)
    except ValueError:
        return  # its window is over


class Broken:
    """Tells once a minute that the cache does not answer: without it nobody is counted, and nobody is locked out."""

    def __init__(self) -> None:
        self._told = float("-inf")

    def tell(self, error: Exception) -> None:
        """Count it, and say so in the log now and then."""
        figures.count("http.limits_unavailable")
        if time.monotonic() - self._told > 60:
            self._told = time.monotonic()
            log.error("requests cannot be counted, so no rate limit is in force", reason=str(error))


broken = Broken()
