"""Limits that need to know who calls: of a user or key, of all who are authenticated, and of costly operations.

The REST framework asks them once it knows the caller (``DEFAULT_THROTTLE_CLASSES``); ``middleware.py`` has counted the
address before. A view of a costly operation says how often one caller may have it, by action or method:

    costly = {"post": (5, 60)}      # five calls in a minute
"""

import time
from typing import Any

from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from a3mailer_site.api.peers import is_loopback
from a3mailer_site.api.permissions import granted
from security import ratelimits, tallies
from security.budgets import Pass, pass_of, spend_authenticated
from security.callers import caller_of
from security.models import Tally
from security.ratelimits import Limit, Spending, Verdict


class CallerThrottle(BaseThrottle):
    """Counts the call for its user or key, and for all who are authenticated."""

    _wait: int | None = None

    def allow_request(self, request: Request, view: Any) -> bool:
        """Say whether the call may go on."""
        given = pass_of(request._request)
        if given is None:
            return True  # outside the API, or the cache is away
        caller = caller_of(request._request)
        if caller is not None:
            spend_authenticated(given, caller, time.time())
        refused = given.verdict if given.verdict is not None and given.verdict.refused else None
        if refused is None or _breaks_glass(request, view):
            given.forgiven = refused is not None
            return True
        given.count_refusal()
        self._wait = refused.reset
        return False

    def wait(self) -> int | None:
        """Return after how many seconds it may be tried again."""
        return self._wait


class CostlyThrottle(BaseThrottle):
    """Holds a view to its own ``costly``."""

    _wait: int | None = None

    def allow_request(self, request: Request, view: Any) -> bool:
        """Say whether the call may go on."""
        action = getattr(view, "action", None) or (request.method or "").lower()
        bound = getattr(view, "costly", {}).get(action)
        given: Pass | None = pass_of(request._request)
        if bound is None or given is None:
            return True
        whose = f"{caller_of(request._request) or given.address}:{type(view).__name__}.{action}"
        try:
            verdict: Verdict = ratelimits.spend([Spending("costly", whose, Limit(*bound))], time.time())
        except Exception as error:  # noqa: BLE001 - Redis' errors are of no common class; the log is told
            ratelimits.broken.tell(error)
            return True
        if not verdict.refused:
            return True
        given.verdict = verdict.tighter(given.verdict)
        tallies.count(Tally.Kind.COSTLY)
        self._wait = verdict.reset
        return False

    def wait(self) -> int | None:
        """Return after how many seconds it may be tried again."""
        return self._wait


def _breaks_glass(request: Request, view: Any) -> bool:
    """Say whether an administrator on this machine is about to mend limits that are too tight (S14)."""
    return bool(getattr(view, "break_glass", False) and is_loopback(request._request) and "admin" in granted(request))
