"""How long to wait between two attempts. Pure arithmetic; ``env.py`` has the figures."""

import random
from collections.abc import Callable
from datetime import datetime, timedelta

# Each pause is up to this much shorter or longer, so that what failed together does not come back together.
JITTER = 0.1


def pause(
    attempts: int, first: float, longest: float, uniform: Callable[[float, float], float] = random.uniform
) -> float:
    """Return the seconds to wait after so many attempts, at least one: ``first``, doubled each time to ``longest``."""
    doubled = min(first * float(1 << min(attempts - 1, 30)), longest)
    return doubled * uniform(1 - JITTER, 1 + JITTER)


def next_attempt(now: datetime, seconds: float, expires_at: datetime) -> datetime:
    """Return when to try again: the last attempt is made at the end of the lifetime, not before it."""
    then = now + timedelta(seconds=seconds)
    return min(then, expires_at) if expires_at > now else then


def longest_pause(longest: float) -> timedelta:
    """Return the longest pause there can be: what is due later than that was put there by a clock that was wrong."""
    return timedelta(seconds=longest * (1 + JITTER))
