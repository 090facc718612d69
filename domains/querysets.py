"""Questions asked of the domains together with what belongs to them."""

from collections.abc import Collection

from django.apps import apps
from django.db.models import Count, F, OuterRef, Q, QuerySet, Subquery, Sum, Value
from django.db.models.functions import Coalesce

from domains.models import Domain


def count_use(domains: Collection[Domain]) -> None:
    """Give each of these domains its ``user_count`` and ``used_quota`` (bytes), of the users that are not deleted.

    One pass over the users for all of them: a join would sort every user for each list.
    """
    users = apps.get_model("accounts", "User")._default_manager.order_by()
    for domain in domains:
        domain.user_count = domain.used_quota = 0  # type: ignore[attr-defined] # what serializers and pages show
    if not domains:
        return
    by_id = {domain.pk: domain for domain in domains}
    # For more than one, the sum keeps SQLite from walking the index on domains, with a jump into the table each time:
    # 35 ms for 100,000 users instead of 105.
    home = F("domain_id") + 0 if len(by_id) > 1 else F("domain_id")
    wanted = Q(domain_id__isnull=False) if len(by_id) > 1 else Q(domain_id__in=by_id)
    rows = users.filter(wanted).values(home=home).annotate(count=Count("pk"), used=Sum("used_quota"))
    for pk, count, used in rows.values_list("home", "count", "used"):
        if pk in by_id:
            by_id[pk].user_count, by_id[pk].used_quota = count, used  # type: ignore[attr-defined]


def with_user_count(domains: "QuerySet[Domain]") -> "QuerySet[Domain]":
    """Add ``user_count`` in the query, to sort by; counted in the index alone."""
    users = apps.get_model("accounts", "User")._default_manager.filter(domain=OuterRef("pk")).order_by()
    count = users.values("domain").annotate(n=Count("pk")).values("n")
    return domains.annotate(user_count=Coalesce(Subquery(count), Value(0)))
