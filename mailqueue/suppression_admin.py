"""The suppression list in the web administration: who is written to no more, and why."""

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from a3mailer_site.ids import to_text
from a3mailer_site.paging import BoundedPaginator
from domains.models import Domain
from mailqueue import suppressions
from mailqueue.models import Suppression
from security.audited import AuditedAdmin


class SuppressionForm(forms.ModelForm):  # type: ignore[type-arg] # no subscript at run time
    """An address to be entered by hand."""

    domain = forms.ModelChoiceField(
        label=_("Sending domain"), queryset=Domain.objects.order_by("name"), to_field_name="name"
    )

    class Meta:
        model = Suppression
        fields = ["domain", "address", "reply"]

    def clean_domain(self) -> str:
        """Keep its name."""
        return str(self.cleaned_data["domain"].name)

    def clean_address(self) -> str:
        """Bring it into the form in which addresses are compared."""
        try:
            return suppressions.canonical(str(self.cleaned_data["address"]))
        except ValueError as error:
            raise ValidationError(gettext("This is not a mail address.")) from error


@admin.register(Suppression)
class SuppressionAdmin(AuditedAdmin):
    """Addresses that are written to no more. Deleting one lets mail go there again."""

    form = SuppressionForm
    paginator = BoundedPaginator
    list_display = ["address", "domain", "reason", "at", "reply", "because_of"]
    list_filter = ["reason"]
    search_fields = ["address__startswith", "=domain"]
    list_display_links = None

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        """Nobody: it is entered, or deleted."""
        return False

    @admin.display(description=_("message"))
    def because_of(self, row: Suppression) -> str:
        """Link to the message that came back."""
        if row.message is None:
            return "–"
        queue_id = to_text(row.message)
        return format_html(
            '<a href="{}">{}</a>', reverse("admin:mailqueue_messagetrace_timeline", args=[queue_id]), queue_id
        )
