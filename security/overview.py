"""How secure the server is, in one answer: what was measured, over which time, and from where.

Nothing here is kept: every figure is counted from rows when somebody asks, over indexes of time.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Max

from a3mailer_site.api.switches import Source
from security import tallies
from security.blocklist import read
from security.models import NOTABLE, AuditEntry, BlockedAddress, LoginFailure, PostureResult, Tally
from security.posture import registered, score

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
# Failed logins from one address in the last hour from which it counts as an attacker.
ATTACKER_FAILURES = 10
# From how many failed logins in the last hour, attackers, and attackers that nobody has blocked on a level is reached.
THRESHOLDS = {"critical": (1000, 50, 10), "high": (200, 10, 3), "medium": (50, 3, 1)}
_LIMITS = (Tally.Kind.GLOBAL, Tally.Kind.PER_IP, Tally.Kind.PER_USER, Tally.Kind.COSTLY)


@dataclass(frozen=True, slots=True)
class Attacks:
    """The last hour: failed logins, addresses with many of them, and those of them that are not blocked."""

    failures: int
    attackers: int
    unblocked: int

    @property
    def level(self) -> str:
        """Return low, medium, high or critical."""
        seen = (self.failures, self.attackers, self.unblocked)
        for level, thresholds in THRESHOLDS.items():
            if any(number >= threshold for number, threshold in zip(seen, thresholds, strict=True)):
                return level
        return "low"


def _thresholds() -> str:
    return "; ".join(f"{level} from {' or '.join(map(str, numbers))}" for level, numbers in THRESHOLDS.items())


def attacks(now: datetime) -> Attacks:
    """Count the attacks of the last hour."""
    lately = LoginFailure.objects.since(now - HOUR).order_by()
    sources = lately.values("address").annotate(count=Count("pk")).filter(count__gte=ATTACKER_FAILURES)
    addresses = list(sources.values_list("address", flat=True))
    blocks = read(now) if addresses else None
    unblocked = [one for one in addresses if blocks is None or not blocks.covering(one, now.timestamp())]
    return Attacks(lately.count(), len(addresses), len(unblocked))


def overview(now: datetime) -> dict[str, Any]:
    """Return the body of ``GET /api/v1/security/overview``."""
    refused = tallies.since(now - DAY)
    lately = attacks(now)
    return {
        "security_score": score(),
        "threat_level": lately.level,
        "active_threats": lately.unblocked,
        "blocked_ips": BlockedAddress.objects.in_force(now).count(),
        "failed_auth_attempts": LoginFailure.objects.since(now - DAY).count() + refused.get(Tally.Kind.API_LOGIN, 0),
        "rate_limit_violations": sum(refused.get(kind, 0) for kind in _LIMITS),
        "last_security_scan": PostureResult.objects.aggregate(at=Max("ran_at"))["at"],
        "security_events": security_events(now),
        "window": {
            "threat_level": int(HOUR.total_seconds()),
            "active_threats": int(HOUR.total_seconds()),
            "failed_auth_attempts": int(DAY.total_seconds()),
            "rate_limit_violations": int(DAY.total_seconds()),
        },
    }


def security_events(now: datetime) -> dict[str, int]:
    """Count entries of the audit log from warning on. Each row of the index is looked at once."""
    notable = AuditEntry.objects.filter(severity__in=NOTABLE)
    day, week, month = now - DAY, now - timedelta(days=7), now - timedelta(days=30)
    last_24h = notable.filter(at__gte=day).count()
    last_7d = last_24h + notable.filter(at__gte=week, at__lt=day).count()
    last_30d = last_7d + notable.filter(at__gte=month, at__lt=week).count()
    return {"last_24h": last_24h, "last_7d": last_7d, "last_30d": last_30d}


def sources(answer: dict[str, Any]) -> dict[str, Source]:
    """Say of each number where it comes from (``?explain=1``)."""
    hour, day = HOUR.total_seconds(), DAY.total_seconds()
    events = answer["security_events"]
    return {
        "security_score": Source("weight of the posture checks that passed / of those with a result", samples=known()),
        "threat_level": Source(f"failed logins, attackers, unblocked attackers; {_thresholds()}", hour),
        "active_threats": Source(
            f"addresses with {ATTACKER_FAILURES} or more failed logins that no block covers", hour
        ),
        "blocked_ips": Source("rows of the block list in force"),
        "failed_auth_attempts": Source(
            "failed logins (SMTP, IMAP, POP3, web) and API keys that do not hold", day, answer["failed_auth_attempts"]
        ),
        "rate_limit_violations": Source("requests answered 429", day, answer["rate_limit_violations"]),
        "last_security_scan": Source("the newest result of a posture check"),
        "security_events.last_24h": Source("audit log, severity warning or worse", day, events["last_24h"]),
        "security_events.last_7d": Source("audit log, severity warning or worse", 7 * day, events["last_7d"]),
        "security_events.last_30d": Source("audit log, severity warning or worse", 30 * day, events["last_30d"]),
    }


def known() -> int:
    """Return how many posture checks have a result that counts."""
    results = PostureResult.objects.filter(check_id__in=registered())
    return results.exclude(status=PostureResult.Status.UNKNOWN).count()
