"""Questions asked of the domains together with what belongs to them."""

from django.db.models import Count, QuerySet, Sum, Value
from django.db.models.functions import Coalesce

from domains.models import Domain


def with_use(domains: "QuerySet[Domain]") -> "QuerySet[Domain]":
    """Add ``user_count``, and ``used_quota`` in bytes, of all users of each domain."""
    return domains.annotate(user_count=Count("users"), used_quota=Coalesce(Sum("users__used_quota"), Value(0)))
