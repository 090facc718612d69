"""Pages of tables that grow without end: they are never counted to the end."""

from typing import Any, cast

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.utils.functional import cached_property

# Rows that one can page through; who looks for something older searches for it.
MOST = 10_000


class BoundedPaginator(Paginator):  # type: ignore[type-arg]
    """Counts at most ``MOST`` rows."""

    @cached_property
    def count(self) -> int:
        """Return how many rows there are, or ``MOST`` when there are more."""
        # Without an order, or the database would sort everything before it takes the first.
        rows = cast("QuerySet[Any]", self.object_list)
        return rows.order_by()[:MOST].count()
