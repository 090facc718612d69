"""Custom metrics in the web administration: to look at, and to delete. Their values come over the API only."""

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import Count, Max, Model, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.admin import TabularInline

from monitoring.models import CustomMetric, CustomSeries
from security.audited import AuditedAdmin


class CustomSeriesInline(TabularInline):  # type: ignore[misc] # unfold has no types
    """The values of a metric."""

    model = CustomSeries
    fields: ClassVar[list[str]] = ["labels", "value", "updated_at"]
    readonly_fields: ClassVar[list[str]] = ["labels", "value", "updated_at"]
    extra = 0
    per_page = 50
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:  # noqa: ARG002
        """Nobody."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:  # noqa: ARG002
        """Nobody."""
        return False


@admin.register(CustomMetric)
class CustomMetricAdmin(AuditedAdmin):
    """What others store here."""

    list_display: ClassVar[list[str]] = ["name", "kind", "series_count", "updated_at"]
    list_filter: ClassVar[list[str]] = ["kind"]
    search_fields: ClassVar[list[str]] = ["name"]
    inlines: ClassVar[list[Any]] = [CustomSeriesInline]

    def get_queryset(self, request: HttpRequest) -> QuerySet[CustomMetric]:
        """Count the series with the metrics."""
        found: QuerySet[CustomMetric] = super().get_queryset(request)
        return found.annotate(_series=Count("series"), _updated=Max("series__updated_at"))

    @admin.display(description=_("series"), ordering="_series")
    def series_count(self, metric: Any) -> int:
        """Return how many sets of labels it has."""
        return int(metric._series)

    @admin.display(description=_("updated at"), ordering="_updated")
    def updated_at(self, metric: Any) -> Any:
        """Return when a value last came in."""
        return metric._updated

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002
        """Nobody."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:  # noqa: ARG002
        """Nobody."""
        return False
