"""Queue, routes and message log in the web administration."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminPasswordWidget

from a3mailer_site.api.errors import ConflictError
from a3mailer_site.ids import to_text
from a3mailer_site.paging import BoundedPaginator
from a3mailer_site.trash import restorable_until
from domains.names import to_ascii
from mailqueue import (  # noqa: F401 - three register themselves
    destination_admin,
    interventions,
    purging,
    suppression_admin,
    webhook_admin,
)
from mailqueue.auditing import into_audit
from mailqueue.interventions import Noted
from mailqueue.models import MessageTrace, QueueEntry, QueuePurge, Route
from mailqueue.querysets import queue_id, search_log, search_queue
from mailqueue.timeline import timeline
from security.audited import AuditedAdmin, ReadOnlyAdmin


def timeline_link(message: int) -> str:
    """Return a link to the timeline of a message, named by its queue id."""
    text = to_text(message)
    return format_html('<a href="{}">{}</a>', reverse("admin:mailqueue_messagetrace_timeline", args=[text]), text)


def _purge(entries: QuerySet[QueueEntry], now: datetime, by: str, noted: Noted) -> int:
    return purging.purge(entries, now, by, noted=noted).entries


@admin.register(QueueEntry)
class QueueEntryAdmin(AuditedAdmin):
    """What still has somewhere to go, one row a recipient."""

    paginator = BoundedPaginator
    list_select_related = ["message"]
    list_display = [
        "queue_link",
        "recipient",
        "state",
        "last_reply_short",
        "attempts",
        "next_attempt_at",
        "sender",
        "destination",
    ]
    list_display_links = None
    list_filter = ["state", "message__lane"]
    search_fields = ["recipient"]
    search_help_text = _("Queue id, destination, or how the sender's or recipient's address begins.")
    actions = ["retry", "hold", "release"]
    ordering = ["next_attempt_at"]

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002
        """Nobody: mail comes in by SMTP."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: QueueEntry | None = None) -> bool:
        """Say whether the actions are there; an entry itself is not edited."""
        return obj is None and super().has_change_permission(request)

    def get_queryset(self, request: HttpRequest) -> QuerySet[QueueEntry]:
        """Leave out what is in the trash."""
        rows: QuerySet[QueueEntry] = super().get_queryset(request)
        return rows.exclude(state=QueueEntry.State.PURGED)

    def get_search_results(
        self,
        request: HttpRequest,  # noqa: ARG002
        queryset: QuerySet[QueueEntry],
        search_term: str,
    ) -> tuple[QuerySet[QueueEntry], bool]:
        """Search on indexes only."""
        text = search_term.strip()
        return (search_queue(queryset, text) if text else queryset), False

    @admin.display(description=_("message"), ordering="message_id")
    def queue_link(self, entry: QueueEntry) -> str:
        """Link to the message's timeline."""
        return timeline_link(entry.message_id)

    @admin.display(description=_("sender"))
    def sender(self, entry: QueueEntry) -> str:
        """Say who sent it; bounces have no sender."""
        return entry.message.sender or "<>"

    @admin.display(description=_("last reply"))
    def last_reply_short(self, entry: QueueEntry) -> str:
        """Give the beginning of the other server's last words."""
        reply = entry.last_reply if len(entry.last_reply) <= 120 else f"{entry.last_reply[:119]}…"
        return format_html('<span class="a3-reply">{}</span>', reply)

    @admin.action(description=_("Try now"), permissions=["change"])
    def retry(self, request: HttpRequest, queryset: QuerySet[QueueEntry]) -> None:
        """Let the selected entries be tried at once."""
        self._intervene(request, queryset, interventions.retry)

    @admin.action(description=_("Hold"), permissions=["change"])
    def hold(self, request: HttpRequest, queryset: QuerySet[QueueEntry]) -> None:
        """Keep the selected entries from being tried."""
        self._intervene(request, queryset, interventions.hold)

    @admin.action(description=_("Release"), permissions=["change"])
    def release(self, request: HttpRequest, queryset: QuerySet[QueueEntry]) -> None:
        """Let the selected held entries be tried again."""
        self._intervene(request, queryset, interventions.release)

    def delete_model(self, request: HttpRequest, obj: QueueEntry) -> None:
        """Take one entry out of the queue."""
        self.delete_queryset(request, QueueEntry.objects.filter(pk=obj.pk))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[QueueEntry]) -> None:
        """Take entries out of the queue, into the trash; what a worker has in hand stays."""
        self._intervene(request, queryset, _purge)

    def _intervene(
        self,
        request: HttpRequest,
        entries: QuerySet[QueueEntry],
        act: Callable[[QuerySet[QueueEntry], datetime, str, Noted], int],
    ) -> None:
        wanted = QueueEntry.objects.filter(pk__in=list(entries.values_list("pk", flat=True)))
        asked = wanted.count()
        noted = into_audit(f"queue_{act.__name__.strip('_')}", request, by="web admin")
        changed = act(wanted, timezone.now(), request.user.get_username(), noted)
        text = ngettext("%(count)d entry changed.", "%(count)d entries changed.", changed) % {"count": changed}
        if changed < asked:
            text += " " + gettext("The others are being delivered just now, or not in a state for this.")
        self.message_user(request, text, messages.SUCCESS if changed == asked else messages.WARNING)


@admin.register(QueuePurge)
class QueuePurgeAdmin(ReadOnlyAdmin):
    """The queue's trash: what was taken out of the queue, by whom, and the way back."""

    list_display = ["deleted_at", "queue_shown", "messages", "by", "undo_until", "undone_at", "emptied_at"]
    list_display_links = None
    list_filter = ["queue"]
    actions = ["undo"]

    def has_undo_permission(self, request: HttpRequest) -> bool:
        """Say whether the action is there: for those who may change the queue."""
        return bool(request.user.has_perm("mailqueue.change_queueentry"))

    @admin.display(description=_("lane"))
    def queue_shown(self, act: QueuePurge) -> str:
        """Name the lane, or link to the message that was chosen."""
        if act.message is not None:
            return timeline_link(act.message)
        return str(act.get_queue_display()) if act.queue else gettext("chosen messages")

    @admin.display(description=_("can be undone until"))
    def undo_until(self, act: QueuePurge) -> datetime:
        """Say when it goes for good."""
        return restorable_until(act.deleted_at)

    @admin.action(description=_("Put back into the queue"), permissions=["undo"])
    def undo(self, request: HttpRequest, queryset: QuerySet[QueuePurge]) -> None:
        """Undo the selected purges."""
        restored = 0
        for act in queryset:
            noted = into_audit("queue_purge_undone", request, by="web admin", purge_id=str(act))
            try:
                restored += purging.undo(act, timezone.now(), request.user.get_username(), noted=noted)
            except ConflictError as error:
                self.message_user(request, f"{act}: {error.detail}", messages.WARNING)
        text = ngettext("%(count)d message put back.", "%(count)d messages put back.", restored)
        self.message_user(request, text % {"count": restored}, messages.SUCCESS)


class RouteForm(forms.ModelForm):  # type: ignore[type-arg] # no subscript at run time
    """A route. The password is written and never shown."""

    password = forms.CharField(
        label=_("password"),
        required=False,
        strip=False,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
        help_text=_("Kept encrypted. Leave it empty to keep the one that is there; without a user name there is none."),
    )

    class Meta:
        model = Route
        fields = ["domain", "host", "port", "tls", "username", "enabled"]

    def clean_domain(self) -> str:
        """Bring the domain into its one form."""
        text = str(self.cleaned_data["domain"]).strip()
        try:
            return text if text == "*" else to_ascii(text)
        except ValueError as error:
            raise ValidationError(_("This is not a domain name.")) from error

    def clean(self) -> dict[str, Any]:
        """A user name needs a password; without one the password goes."""
        cleaned = super().clean() or self.cleaned_data
        password = cleaned.get("password")
        if cleaned.get("username") and not password and not self.instance.password_encrypted:
            raise ValidationError({"password": _("A user name needs a password.")})
        if password or not cleaned.get("username"):
            self.instance.password = password if cleaned.get("username") else ""
        return cleaned


@admin.register(Route)
class RouteAdmin(AuditedAdmin):
    """Where mail goes instead of to its MX hosts."""

    form = RouteForm
    list_display = ["domain", "host", "port", "tls", "username", "enabled"]
    list_filter = ["enabled", "tls"]
    search_fields = ["domain", "host"]


@admin.register(MessageTrace)
class MessageTraceAdmin(ReadOnlyAdmin):
    """The message log. Each row leads to the message's timeline."""

    paginator = BoundedPaginator
    list_display = ["at", "queue_link", "sender_shown", "recipient", "subject", "status", "direction"]
    list_display_links = None
    list_filter = ["status", "direction"]
    search_fields = ["recipient"]
    search_help_text = _("Queue id, <Message-ID>, or how the sender's or recipient's address begins.")
    ordering = ["-id"]

    def get_search_results(
        self,
        request: HttpRequest,  # noqa: ARG002
        queryset: QuerySet[MessageTrace],
        search_term: str,
    ) -> tuple[QuerySet[MessageTrace], bool]:
        """Search on indexes only."""
        text = search_term.strip()
        return (search_log(queryset, text) if text else queryset), False

    @admin.display(description=_("message"))
    def queue_link(self, trace: MessageTrace) -> str:
        """Link to the message's timeline."""
        return timeline_link(trace.message)

    @admin.display(description=_("sender"))
    def sender_shown(self, trace: MessageTrace) -> str:
        """Say who sent it; bounces have no sender."""
        return trace.sender or "<>"

    def get_urls(self) -> list[URLPattern]:
        """Add the timeline page."""
        name = "mailqueue_messagetrace_timeline"
        own = path("timeline/<str:text>", self.admin_site.admin_view(self.timeline_view), name=name)
        return [own, *super().get_urls()]

    def timeline_view(self, request: HttpRequest, text: str) -> HttpResponse:
        """Show what happened to one message."""
        if not self.has_view_permission(request):
            raise Http404
        number = queue_id(text)
        found = timeline(number) if number is not None else None
        if found is None:
            raise Http404
        title = gettext("Message %(id)s") % {"id": found.queue_id}
        context = {**self.admin_site.each_context(request), "title": title, "timeline": found, "opts": self.opts}
        return TemplateResponse(request, "admin/mailqueue/messagetrace/timeline.html", context)
