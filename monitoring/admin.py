"""What was tuned, in the web administration: to look at, and to take back."""

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from a3mailer_site.api.errors import ConflictError
from monitoring import tuning
from monitoring.models import Optimization
from security.audited import ReadOnlyAdmin


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
