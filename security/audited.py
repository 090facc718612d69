"""Web administration that writes down what it does, as the API does."""

from collections.abc import Iterable, Mapping
from typing import Any

from django.db.models import Model, QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from security.audit import changed, record
from security.models import AuditEntry


class AuditedAdmin(ModelAdmin):  # type: ignore[misc] # unfold has no types
    """An admin whose changes are in the audit log. ``audited_type`` says under which of its types."""

    audited_type = AuditEntry.EventType.CONFIGURATION_CHANGE
    # Counting everything takes long where there is much, and tells nobody anything.
    show_full_result_count = False

    def facts(self, instance: Model) -> Mapping[str, Any]:
        """Return what the log keeps of an object: its own fields. Secrets are masked by ``record``."""
        return {
            field.name: getattr(instance, field.attname)
            for field in instance._meta.concrete_fields
            if field.editable and not field.primary_key
        }

    def write_down(self, request: HttpRequest, verb: str, instance: Model, detail: Mapping[str, Any]) -> None:
        """Add an entry such as ``user_updated``."""
        name = str(instance._meta.model_name)
        target = {"target": f"{name}_{instance.pk}", "name": str(instance), "by": "web admin"}
        record(f"{name}_{verb}", self.audited_type, request=request, metadata={**target, **detail})

    def save_model(self, request: HttpRequest, obj: Any, form: "ModelForm[Any]", change: bool) -> None:
        """Save, and write down what is different."""
        old = type(obj)._default_manager.filter(pk=obj.pk).first() if change else None
        before = self.facts(old) if old is not None else {}
        super().save_model(request, obj, form, change)
        self.write_down(request, "updated" if change else "created", obj, changed(before, self.facts(obj)))

    def save_related(self, request: HttpRequest, form: "ModelForm[Any]", formsets: Any, change: bool) -> None:
        """Save what hangs on it (groups, permissions, the rows of a table below), and write down what is different."""
        instance = form.instance
        names = [field.name for field in instance._meta.many_to_many]
        names += [formset.fk.remote_field.get_accessor_name() for formset in formsets]
        before = _names(instance, names)
        super().save_related(request, form, formsets, change)
        different = changed(before, _names(instance, names))
        if different["after"]:
            self.write_down(request, "updated", instance, different)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        """Delete, and write down what is gone."""
        self.write_down(request, "deleted", obj, changed(self.facts(obj), {}))
        super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Delete one by one: models have things to do when they go."""
        for instance in queryset:
            self.delete_model(request, instance)


def _names(instance: Any, relations: Iterable[str]) -> dict[str, list[str]]:
    """Return by relation what people call the objects in it."""
    return {name: sorted(map(str, getattr(instance, name).order_by("pk"))) for name in relations}


class ReadOnlyAdmin(ModelAdmin):  # type: ignore[misc] # unfold has no types
    """Something to look at. Nobody adds, changes or deletes it here."""

    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:  # noqa: ARG002
        """Nobody."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:  # noqa: ARG002
        """Nobody."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:  # noqa: ARG002
        """Nobody."""
        return False
