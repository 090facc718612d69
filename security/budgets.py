"""What one request has taken from the budgets of ``ratelimits.py``, from its arrival to its answer.

Whoever shows no credentials is counted on arrival, for their address and among the strangers. Whoever shows some is
counted for their address; then either the REST framework authenticates them, and they are counted among the
authenticated and for themselves, or it does not, and they were strangers. When so many credentials turn out to be wrong
that strangers have used up the budget of everybody, only credentials that were right before are looked at.
"""

import ipaddress
import time
from dataclasses import dataclass

from django.conf import settings
from django.http import HttpRequest

from a3mailer_site.api.peers import client_address
from a3mailer_site.expiring import Expiring
from a3mailer_site.figures import figures
from security import ratelimits, tallies
from security.callers import caller_of
from security.models import Tally
from security.ratelimits import RESERVED, Limit, Limits, Spending, Verdict, limits, spend, used

# Counted as one: who has an IPv6 network has 2^64 addresses in it.
_V6_PREFIX = 64
# Credentials that were right within the hour: their (keyed) hash, in this process only.
_known: Expiring[int, bool] = Expiring(3600.0, 10_000)

_KINDS = {"per_ip": Tally.Kind.PER_IP, "per_user": Tally.Kind.PER_USER}


@dataclass(slots=True)
class Pass:
    """What a request is allowed, as far as it is known. ``verdict`` is that of the tightest budget."""

    address: str
    limits: Limits
    credentials: int | None  # a hash; None for a request without any
    verdict: Verdict | None = None
    strangers: float = 0.0
    counted: bool = False  # for its caller
    forgiven: bool = False

    def count_refusal(self) -> None:
        """Count that the request was refused."""
        figures.count("http.rate_limited")
        if self.verdict is not None:
            tallies.count(_KINDS.get(self.verdict.kind, Tally.Kind.GLOBAL))


def pass_of(request: HttpRequest) -> Pass | None:
    """Return the pass of a request; ``None`` where no limits apply."""
    return getattr(request, "rate_pass", None)


def arrive(request: HttpRequest, now: float, *, login: bool = False) -> Pass:
    """Count a request that has just come (``login``: one that carries a password in a form)."""
    given = Pass(_counted_as(client_address(request)), limits(), None if login else _credentials(request))
    spendings = [Spending("per_ip", given.address, given.limits.per_ip)]
    if given.credentials is None:
        # Forms have a budget of their own, so that a flood at the API leaves the way in open.
        kind = "logins" if login else "strangers"
        spendings.append(Spending(kind, "", _strangers_share(given.limits)))
    given.verdict = spend(spendings, now)
    if given.credentials is not None:
        given.strangers = used(Spending("strangers", "", _strangers_share(given.limits)), now)
        most = given.limits.everybody.max_requests
        if given.strangers >= most and not _known.get(given.credentials):
            window = given.limits.everybody.window_seconds
            given.verdict = Verdict("strangers", most, 0, max(1, int(window - now % window)), refused=True)
    return given


def spend_authenticated(given: Pass, caller: str, now: float) -> None:
    """Count a request whose caller is known now."""
    given.counted = True
    if given.credentials is not None:
        _known.put(given.credentials, True)
    by_strangers = min(given.strangers, _strangers_share(given.limits).max_requests)
    spendings = [
        Spending("authenticated", "", given.limits.everybody),
        Spending("per_user", caller, given.limits.per_user),
    ]
    try:
        given.verdict = spend(spendings, now, {"authenticated": by_strangers}).tighter(given.verdict)
    except Exception as error:  # noqa: BLE001 - Redis' errors are of no common class; the log is told
        ratelimits.broken.tell(error)


def leave(request: HttpRequest, given: Pass, status: int) -> None:
    """Count what is known only in the end: credentials that were wrong, and callers who were turned away before."""
    if given.credentials is None or given.counted:
        return
    now = time.time()
    caller = caller_of(request)
    if caller is not None:
        answered = given.verdict  # the answer is made, so that the count can no longer refuse it
        spend_authenticated(given, caller, now)
        given.verdict = answered
        return
    uncapped = Limit(ratelimits.MOST_REQUESTS, given.limits.everybody.window_seconds)
    spend([Spending("strangers", "", uncapped)], now)
    if status == 401 and "HTTP_AUTHORIZATION" in request.META:
        tallies.count(Tally.Kind.API_LOGIN)


def forget() -> None:
    """Forget whose credentials were right (tests)."""
    _known.clear()


def usage(given: Pass, caller: str | None, now: float) -> dict[str, dict[str, float | int | str | None]]:
    """Return what is used of the limits now: by all, from the caller's address, and by the caller."""
    everybody, per_ip, per_user = given.limits.everybody, given.limits.per_ip, given.limits.per_user
    strangers = used(Spending("strangers", "", _strangers_share(given.limits)), now)
    authenticated = used(Spending("authenticated", "", everybody), now)
    from_there = used(Spending("per_ip", given.address, per_ip), now)
    by_caller = used(Spending("per_user", caller or "", per_user), now)
    return {
        "global": {
            **_counted(strangers + authenticated, everybody),
            "authenticated": round(authenticated),
            "anonymous": round(strangers),
            "anonymous_max_requests": _strangers_share(given.limits).max_requests,
        },
        "per_ip": {**_counted(from_there, per_ip), "ip_address": given.address},
        "per_user": {**_counted(by_caller, per_user), "caller": caller},
    }


def _counted(requests: float, limit: Limit) -> dict[str, float | int | str | None]:
    return {"requests": round(requests), "remaining": max(0, int(limit.max_requests - requests))}


def _strangers_share(all_limits: Limits) -> Limit:
    everybody = all_limits.everybody
    return Limit(int(everybody.max_requests * (1 - RESERVED)), everybody.window_seconds)


def _credentials(request: HttpRequest) -> int | None:
    """Return a hash of the key or session cookie; ``None`` when there is neither."""
    key = request.META.get("HTTP_AUTHORIZATION")
    session = request.COOKIES.get(settings.SESSION_COOKIE_NAME)
    # Python's hash of text has a secret key: nobody can aim at somebody else's.
    return hash((key, session)) if key or session else None


def _counted_as(address: str) -> str:
    if ":" not in address:
        return address
    return str(ipaddress.ip_network((address, _V6_PREFIX), strict=False))
