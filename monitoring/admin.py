"""Custom metrics and what was tuned, in the web administration: to look at, to delete, to take back."""

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.db.models import Count, Max, Model, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.admin import TabularInline

from a3mailer_site.api.errors import ConflictError
from monitoring import tuning
from monitoring.models import CustomMetric, CustomSeries, Optimization
from security.audited import AuditedAdmin, ReadOnlyAdmin


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


@admin.register(Optimization)
class OptimizationAdmin(ReadOnlyAdmin):
    """The history. A row is never edited; its value is taken back, which is a row's one change."""

    list_display = ["kind", "previous", "value", "applied_at", "applied_by", "reverted_at", "reverted_by"]
    list_filter = ["kind"]
    actions = ["revert"]

    def has_revert_permission(self, request: HttpRequest) -> bool:
        """Who may do everything may do this."""
        return bool(request.user.is_active and request.user.is_superuser)

    @admin.action(description=_("Take back"), permissions=["revert"])
    def revert(self, request: HttpRequest, queryset: QuerySet[Optimization]) -> None:
        """Put the values before in force again, the newest first, so that one does not stand in another's way."""
        for row in queryset.order_by("-pk"):
            try:
                tuning.revert(row, request)
            except ConflictError as error:
                self.message_user(request, f"{row}: {error.detail}", messages.WARNING)
            else:
                self.message_user(request, _("%(change)s is taken back.") % {"change": row}, messages.SUCCESS)
