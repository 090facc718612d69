"""What the pages of everything that has a trash share: deleting puts into it, and a list of what can be had back."""

from collections.abc import Iterable
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import APIException

from security.audited import AuditedAdmin, ReadOnlyAdmin
from security.models import AuditEntry


class ToTrashAdmin(AuditedAdmin):
    """Deletes into the trash. ``reason_to_stay`` may say why one cannot go."""

    def reason_to_stay(self, instance: Any) -> str:  # noqa: ARG002 - for those who have one
        """Return why this cannot be deleted now; nothing when it can."""
        return ""

    def get_deleted_objects(
        self,
        objs: Iterable[Any],
        request: HttpRequest,
    ) -> tuple[list[Any], dict[Any, Any], set[Any], list[Any]]:
        """Name what goes. Nothing that belongs to it is looked up: it stays with it, and may be a lot.

        Of several that are chosen in the list each is asked about; Django's own question is about all in general.
        """
        rows = list(objs)
        forbidden = {str(self.opts.verbose_name) for row in rows if not self.has_delete_permission(request, row)}
        stay = [f"{row}: {reason}" for row in rows if (reason := self.reason_to_stay(row))]
        return [str(row) for row in rows], {str(self.opts.verbose_name_plural): len(rows)}, forbidden, stay


class TrashAdmin(ReadOnlyAdmin):
    """The trash. Whoever may change what is not deleted may take it out again."""

    actions = ["restore"]
    audited_type = AuditEntry.EventType.CONFIGURATION_CHANGE

    def has_restore_permission(self, request: HttpRequest) -> bool:
        """Say whether somebody may take things out: those who may delete them."""
        kept: Any = self.opts.concrete_model
        return bool(request.user.has_perm(f"{self.opts.app_label}.delete_{kept._meta.model_name}"))

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:  # noqa: ARG002
        """Show the trash to those who may take things out."""
        return self.has_restore_permission(request)

    def restore_one(self, request: HttpRequest, pk: int) -> Model:
        """Restore, and write it down; raises what the API would answer with."""
        raise NotImplementedError

    @admin.action(description=_("Restore"), permissions=["restore"])
    def restore(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Take the selected out of the trash, each by itself."""
        restored = 0
        for row in queryset:
            try:
                with transaction.atomic():
                    self.restore_one(request, row.pk)
            except (APIException, PermissionDenied) as error:
                self.message_user(request, f"{row}: {error}", messages.ERROR)
            except Http404:
                self.message_user(request, f"{row}: {gettext('This is not in the trash any more.')}", messages.ERROR)
            else:
                restored += 1
        text = ngettext("%(count)d restored.", "%(count)d restored.", restored)
        self.message_user(request, text % {"count": restored}, messages.SUCCESS)
