"""Domains in the web administration."""

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from a3mailer_site.api.errors import ConflictError
from domains import trash
from domains.models import DeletedDomain, Domain
from domains.names import to_ascii, validate_domain
from domains.querysets import with_user_count
from domains.trash_admin import ToTrashAdmin, TrashAdmin
from security.audit import record


class DomainForm(forms.ModelForm):  # type: ignore[type-arg] # no subscript at run time
    """Takes names in any spelling; the one that is stored must not be there yet."""

    class Meta:
        model = Domain
        fields = [
            "name",
            "enabled",
            "max_users",
            "max_quota",
            "send_limit_hour",
            "send_limit_day",
            "track_bounces",
            "greylisting",
            "separator",
        ]

    def clean_name(self) -> str:
        """Bring the name into its one form."""
        name = str(self.cleaned_data["name"])
        validate_domain(name)
        if Domain.objects.filter(name=to_ascii(name)).exclude(pk=self.instance.pk or 0).exists():
            raise ValidationError(_("This domain is here already."))
        return to_ascii(name)


@admin.register(Domain)
class DomainAdmin(ToTrashAdmin):
    """Domains and their limits."""

    form = DomainForm
    list_display = ["__str__", "enabled", "people", "max_users", "max_quota", "created_at"]
    list_filter = ["enabled"]
    search_fields = ["name"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Domain]:
        """Add how many users there are."""
        return with_user_count(super().get_queryset(request))

    def reason_to_stay(self, instance: Domain) -> str:
        """A domain with users stays."""
        return gettext("The domain still has users.") if trash.has_users(instance) else ""

    def delete_model(self, request: HttpRequest, obj: Domain) -> None:
        """Put into the trash, with the aliases."""
        try:
            with transaction.atomic():
                domain = trash.locked(obj.pk)
                self.write_down(request, "deleted", domain, {"before": self.facts(domain)})
                trash.delete(domain, timezone.now())
        except ConflictError as error:
            raise PermissionDenied(str(error)) from error

    def get_readonly_fields(self, request: HttpRequest, obj: Domain | None = None) -> list[str]:  # noqa: ARG002
        """The name is what addresses are made of: it stays."""
        return ["name", "created_at"] if obj is not None else []

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        """Check the name only where it can be given."""
        return super().get_form(request, obj, change, **({**kwargs, "form": forms.ModelForm} if obj else kwargs))

    @admin.display(description=_("users"), ordering="user_count")
    def people(self, domain: Domain) -> int:
        """Say how many users the domain has. Not called ``users``: one would sort by the relation of that name."""
        return int(getattr(domain, "user_count", 0))


@admin.register(DeletedDomain)
class DeletedDomainAdmin(TrashAdmin):
    """Domains that can be had back."""

    list_display = ["__str__", "deleted_at", "restorable_until"]
    search_fields = ["deleted_name"]
    fields = ["deleted_name", "enabled", "max_users", "max_quota", "created_at", "deleted_at"]

    def restore_one(self, request: HttpRequest, pk: int) -> Domain:
        """Restore a domain with its aliases."""
        domain = trash.restore(pk, timezone.now())
        facts = {"target": f"domain_{domain.pk}", "name": str(domain), "by": "web admin"}
        record("domain_restored", self.audited_type, request=request, metadata=facts)
        return domain

    @admin.display(description=_("restorable until"), ordering="deleted_at")
    def restorable_until(self, domain: Domain) -> Any:
        """Say when it goes for good."""
        return domain.restorable_until
