"""Destinations that mail waits for, in the web administration: who is away, who is busy, and pauses."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin
from unfold.decorators import display

from mailqueue import pauses
from mailqueue.models import QueueDestination


class PauseForm(forms.ModelForm):  # type: ignore[type-arg] # no subscript at run time
    """A pause to be."""

    class Meta:
        model = QueueDestination
        fields = ["name", "paused_until", "reason"]
        help_texts = {
            "name": _("A domain. Its mail stays in the queue, and nobody tries it."),
            "paused_until": _("Empty: until somebody lets it go."),
        }

    def clean_name(self) -> str:
        """Bring the name into the form of the queue."""
        return pauses.destination_name(str(self.cleaned_data["name"]))

    def _post_clean(self) -> None:
        """Leave the row alone: a destination that is there already can be paused too."""


@admin.register(QueueDestination)
class QueueDestinationAdmin(ModelAdmin):  # type: ignore[misc] # unfold has no types
    """Why mail waits. Adding one is pausing it."""

    form = PauseForm
    list_display = ["name", "state_shown", "since", "waiting", "next_attempt_shown", "why"]
    list_filter = ["paused"]
    search_fields = ["name"]
    list_display_links = None
    actions = ["probe", "pause", "resume"]
    show_full_result_count = False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Say whether the actions are there; a row is not edited."""
        return obj is None and bool(super().has_change_permission(request))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        """Nobody: what waits for it would wait for nothing."""
        return False

    @display(description=_("state"), label={_("away"): "danger", _("busy"): "info", _("paused"): "warning"})  # type: ignore[untyped-decorator]
    def state_shown(self, row: QueueDestination) -> str:
        """Say why its mail waits."""
        return {"away": gettext("away"), "busy": gettext("busy"), "paused": gettext("paused")}[row.state]

    @admin.display(description=_("waiting"))
    def waiting(self, row: QueueDestination) -> int:
        """Count the recipients."""
        return pauses.waiting([row.name])[row.name]

    @admin.display(description=_("next attempt"))
    def next_attempt_shown(self, row: QueueDestination) -> Any:
        """Say when somebody looks again."""
        return row.paused_until if row.paused else row.next_attempt_at if row.failures else None

    @admin.display(description=_("because"))
    def why(self, row: QueueDestination) -> str:
        """Give the other server's last words, or those of who paused it."""
        if row.paused:
            return format_html("{} ({})", row.reason or "–", row.paused_by)
        return row.last_reply[:200]

    def save_model(self, request: HttpRequest, obj: QueueDestination, form: Any, change: bool) -> None:  # noqa: ARG002
        """Pause it."""
        given = form.cleaned_data
        pauses.pause(
            given["name"],
            timezone.now(),
            request.user.get_username(),
            until=given.get("paused_until"),
            reason=given.get("reason", ""),
            request=request,
        )
        obj.pk = given["name"]

    @admin.action(description=_("Look now whether it is back"), permissions=["change"])
    def probe(self, request: HttpRequest, queryset: QuerySet[QueueDestination]) -> None:
        """Try those that are away."""
        count = pauses.probe(list(queryset.values_list("pk", flat=True)), timezone.now())
        self._say(request, count)

    @admin.action(description=_("Pause"), permissions=["change"])
    def pause(self, request: HttpRequest, queryset: QuerySet[QueueDestination]) -> None:
        """Pause the selected destinations until somebody lets them go."""
        for row in queryset:
            pauses.pause(row.name, timezone.now(), request.user.get_username(), request=request)
        self._say(request, len(queryset))

    @admin.action(description=_("Let go"), permissions=["change"])
    def resume(self, request: HttpRequest, queryset: QuerySet[QueueDestination]) -> None:
        """End the pause of the selected destinations."""
        self._say(
            request,
            pauses.resume(list(queryset.values_list("pk", flat=True)), timezone.now(), request=request),
        )

    def _say(self, request: HttpRequest, count: int) -> None:
        self.message_user(
            request,
            ngettext("%(count)d destination changed.", "%(count)d destinations changed.", count) % {"count": count},
        )
