"""Groups over HTTP."""

from typing import Any, cast

from django.contrib.auth.models import Group
from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_view
from rest_framework import viewsets
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from a3mailer_site.api.fields import number_of
from a3mailer_site.api.permissions import granted
from accounts.group_serializers import GroupSerializer
from accounts.groups import AllGroups, BuiltIn, administrators, has_power, with_members
from accounts.powers import ADMIN_GROUP, ForbiddenError
from security.audit import changed, record
from security.models import AuditEntry

_SHOWN = {"id": "group_3", "name": "support", "members": 0, "built_in": False, "created_at": "2024-01-15T10:30:00Z"}
_EXAMPLES = [
    OpenApiExample("A group", value={"name": "support"}, request_only=True),
    OpenApiExample("The group", value=_SHOWN, response_only=True, status_codes=["200", "201"]),
]


@extend_schema_view(
    list=extend_schema(summary="List groups", examples=_EXAMPLES[-1:]),
    retrieve=extend_schema(summary="Show a group", examples=_EXAMPLES[-1:]),
    partial_update=extend_schema(summary="Rename a group", examples=_EXAMPLES),
    destroy=extend_schema(summary="Delete a group"),
)
class GroupViewSet(viewsets.ModelViewSet[Group]):
    """Make, list, show, rename and delete groups. ``admin`` is always there: it is who may administer the server."""

    queryset = Group.objects.none()
    serializer_class = GroupSerializer
    lookup_url_kwarg = "group_id"
    lookup_value_regex = "[^/]+"
    collection_name = "groups"
    filter_backends = []

    def get_queryset(self) -> QuerySet[Group]:
        """Return all groups; in the list the built-in one comes first."""
        rows = with_members().order_by("pk")
        return cast("QuerySet[Group]", AllGroups(rows)) if self.action == "list" else rows

    def get_object(self) -> Group:
        """Find a group by the id in the path."""
        given = self.kwargs[self.lookup_url_kwarg]
        if given == f"group_{ADMIN_GROUP}":
            if self.action not in {"retrieve", "metadata"}:
                raise ForbiddenError(_("The group %(name)s is built in.") % {"name": ADMIN_GROUP})
            return cast("Group", administrators())
        self.kwargs[self.lookup_url_kwarg] = number_of(given, "group_")
        return super().get_object()

    @extend_schema(summary="Make a group", examples=_EXAMPLES)
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Make a group; the answer says where it lives."""
        response = super().create(request, *args, **kwargs)
        response["Location"] = f"/api/v1/groups/{response.data['id']}"
        return response

    @extend_schema(summary="Rename a group", request=GroupSerializer(partial=True), examples=_EXAMPLES)
    def update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Rename; a change without a name changes nothing."""
        return super().update(request, *args, **{**kwargs, "partial": True})

    def perform_create(self, serializer: BaseSerializer[Group]) -> None:
        """Save, and write it down."""
        with transaction.atomic():
            group = serializer.save()
            self._record("group_created", group, changed({}, {"name": group.name}))

    def perform_update(self, serializer: BaseSerializer[Group]) -> None:
        """Save, and write down the name before."""
        assert serializer.instance is not None  # noqa: S101 - an update has one
        before = {"name": serializer.instance.name}
        with transaction.atomic():
            self._check_power(serializer.instance)
            group = serializer.save()
            self._record("group_updated", group, changed(before, {"name": group.name}))

    def perform_destroy(self, instance: Group) -> None:
        """Delete; who was in it stays."""
        with transaction.atomic():
            self._check_power(instance)
            members = getattr(instance, "members", None)
            self._record("group_deleted", instance, {"before": {"name": instance.name, "members": members}})
            instance.delete()

    def _check_power(self, group: Group | BuiltIn) -> None:
        if isinstance(group, Group) and has_power(group) and "admin" not in granted(self.request):
            raise ForbiddenError(_("Only an administrator may change a group that gives permissions."))

    def _record(self, action: str, group: Group, detail: dict[str, Any]) -> None:
        known = {"target": f"group_{group.pk}", **detail}
        record(action, AuditEntry.EventType.ADMINISTRATIVE, request=self.request, metadata=known)
