"""Domains in the web administration."""

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from domains.models import Domain
from domains.names import to_ascii, validate_domain
from security.audited import AuditedAdmin


class DomainForm(forms.ModelForm):  # type: ignore[type-arg] # no subscript at run time
    """Takes names in any spelling; the one that is stored must not be there yet."""

    class Meta:
        model = Domain
        fields = ["name", "enabled", "max_users", "max_quota", "separator"]

    def clean_name(self) -> str:
        """Bring the name into its one form."""
        name = str(self.cleaned_data["name"])
        validate_domain(name)
        if Domain.objects.filter(name=to_ascii(name)).exclude(pk=self.instance.pk or 0).exists():
            raise ValidationError(_("This domain is here already."))
        return to_ascii(name)


@admin.register(Domain)
class DomainAdmin(AuditedAdmin):
    """Domains and their limits."""

    form = DomainForm
    list_display = ["__str__", "enabled", "users", "max_users", "max_quota", "created_at"]
    list_filter = ["enabled"]
    search_fields = ["name"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Domain]:
        """Add how many users there are."""
        users = Count("users", filter=Q(users__deleted_at__isnull=True))
        return super().get_queryset(request).annotate(user_count=users)  # type: ignore[no-any-return]

    def get_readonly_fields(self, request: HttpRequest, obj: Domain | None = None) -> list[str]:  # noqa: ARG002
        """The name is what addresses are made of: it stays."""
        return ["name", "created_at"] if obj is not None else []

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        """Check the name only where it can be given."""
        return super().get_form(request, obj, change, **({**kwargs, "form": forms.ModelForm} if obj else kwargs))

    @admin.display(description=_("users"), ordering="user_count")
    def users(self, domain: Domain) -> int:
        """Say how many users the domain has."""
        return int(getattr(domain, "user_count", 0))
