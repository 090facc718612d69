"""When a call is tried again, and after how long. Decides only; waits nowhere and reads no clock."""

import random
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from a3mailer_sdk.errors import (
    A3MailerError,
    APIError,
    ConflictError,
    ConnectionFailedError,
    RateLimitedError,
    ServiceUnavailableError,
)

_PASSING = (ConnectionFailedError, RateLimitedError, ServiceUnavailableError)


@dataclass(frozen=True)
class Retries:
    """Up to ``most`` further tries, ``first`` seconds after the first failure, each twice as long after the one before.

    No wait is longer than ``longest`` seconds. When the server asks for more (``Retry-After``), the error is raised at
    once: to come back earlier than asked would only be refused again.
    """

    most: int = 3
    first: float = 0.5
    longest: float = 60

    def pause(self, tries: int, error: A3MailerError) -> float | None:
        """Return the seconds to wait after so many tries, ``None`` to give up."""
        asked = error.retry_after if isinstance(error, APIError) else None
        # A conflict that passes: the first try of a POST is still running, and its answer will be ours.
        passes = isinstance(error, _PASSING) or (isinstance(error, ConflictError) and asked is not None)
        if tries > self.most or not passes:
            return None
        if asked is not None:
            return asked if asked <= self.longest else None
        # Half of it by chance, so that many clients do not come back together.
        pause = min(self.first * 2.0 ** (tries - 1), self.longest)
        return pause * random.uniform(0.5, 1)  # noqa: S311 - no secret


def retry_after(text: str | None, now: datetime) -> float | None:
    """Read a ``Retry-After`` header, seconds or a date (RFC 9110 section 10.2.3); what is neither says nothing."""
    text = (text or "").strip()
    if text.isdecimal():
        return float(text)
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, (when.replace(tzinfo=when.tzinfo or UTC) - now).total_seconds())
