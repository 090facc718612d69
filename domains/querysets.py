"""Questions asked of the domains together with what belongs to them."""

import time
from collections.abc import Collection
from typing import Any

from django.apps import apps
from django.db.models import Count, F, OuterRef, QuerySet, Subquery, Sum, Value
from django.db.models.functions import Coalesce

from a3mailer_site.generations import listen
from domains.models import Domain

# Seconds for which the sums of all domains are believed: 100,000 users have to be read for them, which takes 35 ms.
_SUMS_AGE = 2.0
_sums: tuple[float, dict[int, int]] | None = None


def count_use(domains: Collection[Domain]) -> None:
    """Give each of these domains its ``user_count`` and ``used_quota`` (bytes), of the users that are not deleted.

    The count is exact; it is read from an index. The sum of one domain is exact too, those of several were read at most
    two seconds ago.
    """
    ids = [domain.pk for domain in domains]
    users = _users().filter(domain_id__in=ids).values("domain_id")
    counts = dict(users.annotate(n=Count("pk")).values_list("domain_id", "n")) if ids else {}
    if len(ids) == 1:
        sums = dict(users.annotate(used=Sum("used_quota")).values_list("domain_id", "used"))
    else:
        sums = _all_sums(time.monotonic()) if ids else {}
    for domain in domains:
        domain.user_count = counts.get(domain.pk, 0)  # type: ignore[attr-defined] # what serializers and pages show
        domain.used_quota = sums.get(domain.pk, 0)  # type: ignore[attr-defined]


def _all_sums(now: float) -> dict[int, int]:
    global _sums  # noqa: PLW0603
    known = _sums
    if known is None or now - known[0] > _SUMS_AGE:
        # The addition keeps SQLite from walking the index on domains, with a jump into the table for each user.
        rows = _users().filter(domain_id__isnull=False).values(home=F("domain_id") + 0).annotate(used=Sum("used_quota"))
        known = _sums = (now, dict(rows.values_list("home", "used")))
    return known[1]


def forget() -> None:
    """Forget the sums: users came or went."""
    global _sums  # noqa: PLW0603
    _sums = None


listen(Domain.cached_under, forget)


def _users() -> "QuerySet[Any]":
    # The users' rows are an upper app's; the relation is known here.
    return apps.get_model("accounts", "User")._default_manager.order_by()


def with_user_count(domains: "QuerySet[Domain]") -> "QuerySet[Domain]":
    """Add ``user_count`` in the query, to sort by; counted in the index alone."""
    users = _users().filter(domain=OuterRef("pk"))
    count = users.values("domain").annotate(n=Count("pk")).values("n")
    return domains.annotate(user_count=Coalesce(Subquery(count), Value(0)))
