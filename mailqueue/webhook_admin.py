"""Webhooks in the web administration."""

from collections.abc import Mapping
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from a3mailer_site.paging import BoundedPaginator
from domains.models import Domain
from mailqueue import outbox
from mailqueue.models import Webhook, WebhookDelivery
from mailqueue.webhooks import check_url, name_of, new_secret
from security.audited import AuditedAdmin, ReadOnlyAdmin


class WebhookForm(forms.ModelForm):  # type: ignore[type-arg] # no subscript at run time
    """A webhook. Its secret is made here and shown once."""

    events = forms.MultipleChoiceField(
        label=_("events"),
        choices=[each for each in Webhook.Event.choices if each[0] != Webhook.Event.TEST],
        widget=forms.CheckboxSelectMultiple,
    )
    domains = forms.ModelMultipleChoiceField(
        label=_("domains"),
        queryset=Domain.objects.order_by("name"),
        to_field_name="name",
        required=False,
        help_text=_("Only mail from and to these domains is told. None chosen: all mail."),
    )

    class Meta:
        model = Webhook
        fields = ["url", "description", "events", "domains", "enabled"]

    def clean_url(self) -> str:
        """One that events may be sent to."""
        return check_url(str(self.cleaned_data["url"]).strip())

    def clean_domains(self) -> list[str] | None:
        """Keep their names; none stands for all."""
        return [domain.name for domain in self.cleaned_data["domains"]] or None


@admin.register(Webhook)
class WebhookAdmin(AuditedAdmin):
    """Programs that are told what happens to mail, and how that goes."""

    form = WebhookForm
    list_display = ["url", "events_shown", "enabled", "waiting", "last_success_at", "failing_since", "last_error"]
    list_filter = ["enabled"]
    actions = ["test", "rotate_secret"]
    readonly_fields = ["last_success_at", "failing_since", "last_error", "not_before"]

    def facts(self, instance: Model) -> Mapping[str, Any]:
        """Leave out what is only how it goes."""
        return {name: getattr(instance, name) for name in WebhookForm.Meta.fields}

    @admin.display(description=_("events"))
    def events_shown(self, webhook: Webhook) -> str:
        """Name the events."""
        return ", ".join(str(Webhook.Event(name).label) for name in webhook.events if name in Webhook.Event.values)

    @admin.display(description=_("waiting"))
    def waiting(self, webhook: Webhook) -> int:
        """Say how many events it has not been told yet."""
        return outbox.waiting([webhook.pk])[webhook.pk]

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Make a secret for a new one; try a changed one at once."""
        secret = "" if change else new_secret(obj, timezone.now())
        obj.not_before = None
        if "enabled" in form.changed_data:
            obj.failing_since, obj.failures = None, 0
        super().save_model(request, obj, form, change)
        if secret:
            self._show(request, secret)

    def _show(self, request: HttpRequest, secret: str) -> None:
        text = gettext("The secret that signs what is sent, shown this one time: %(secret)s") % {"secret": secret}
        self.message_user(request, text, messages.WARNING)

    @admin.action(description=_("Send a test event"), permissions=["change"])
    def test(self, request: HttpRequest, queryset: QuerySet[Webhook]) -> None:
        """Put a test event into the boxes of the selected webhooks."""
        for webhook in queryset.filter(enabled=True):
            outbox.put_test(webhook, timezone.now())
        self.message_user(request, gettext("It is sent within a second. Look again whether it was taken."))

    @admin.action(description=_("New secret"), permissions=["change"])
    def rotate_secret(self, request: HttpRequest, queryset: QuerySet[Webhook]) -> None:
        """Give the selected webhooks new secrets."""
        for webhook in queryset:
            secret = new_secret(webhook, timezone.now())
            webhook.save(update_fields=["secret_encrypted", "old_secret_encrypted", "old_secret_until"])
            self.write_down(request, "secret_rotated", webhook, {})
            self._show(request, secret)


@admin.register(WebhookDelivery)
class WebhookDeliveryAdmin(ReadOnlyAdmin):
    """What webhooks have not taken."""

    paginator = BoundedPaginator
    list_display = ["at", "event", "webhook", "attempts", "next_attempt_at", "last_error", "failed_at", "replayed"]
    list_display_links = None
    list_filter = [("failed_at", admin.EmptyFieldListFilter)]
    list_select_related = ["webhook"]

    @admin.display(description=_("event"))
    def event(self, row: WebhookDelivery) -> str:
        """Name it."""
        name = name_of(row.kind, row.detail)
        return str(Webhook.Event(name).label) if name else row.kind
