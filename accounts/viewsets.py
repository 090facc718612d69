"""Users over HTTP."""

from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import viewsets
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from a3mailer_site.api.fields import number_of
from a3mailer_site.api.pagination import search_text
from a3mailer_site.api.permissions import granted
from a3mailer_site.control import hint
from accounts.addresses import fold
from accounts.models import User
from accounts.powers import ForbiddenError, is_powerful
from accounts.removal import remove
from accounts.serializers import UserSerializer, facts
from security.audit import changed, record
from security.models import AuditEntry

_SEARCH = OpenApiParameter("search", str, description="A part of the login name or of the address.")


@extend_schema_view(list=extend_schema(parameters=[_SEARCH]))
class UserViewSet(viewsets.ModelViewSet[User]):
    """Make, list, show, change and delete users. PUT changes what it names and leaves the rest."""

    queryset = User.objects.prefetch_related("groups").order_by("pk")
    serializer_class = UserSerializer
    lookup_url_kwarg = "user_id"
    lookup_value_regex = "[^/]+"
    collection_name = "users"
    filter_backends = []

    def get_queryset(self) -> QuerySet[User]:
        """Narrow the list to what is searched for."""
        users = super().get_queryset()
        text = search_text(self.request) if self.action == "list" else ""
        return users.filter(Q(username__contains=fold(text)) | Q(email__contains=fold(text))) if text else users

    def get_object(self) -> User:
        """Find a user by the id in the path."""
        self.kwargs[self.lookup_url_kwarg] = number_of(self.kwargs[self.lookup_url_kwarg], "user_")
        return super().get_object()

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Make a user; the answer says where it lives."""
        response = super().create(request, *args, **kwargs)
        response["Location"] = f"/api/v1/users/{response.data['id']}"
        return response

    @extend_schema(request=UserSerializer(partial=True))
    def update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Change what is named: the reference's PUT leaves out most fields, so it is a merge."""
        return super().update(request, *args, **{**kwargs, "partial": True})

    def perform_create(self, serializer: BaseSerializer[User]) -> None:
        """Save, and write it down."""
        with transaction.atomic():
            user = serializer.save()
            self._record("user_created", changed({}, facts(user)), user)

    def perform_update(self, serializer: BaseSerializer[User]) -> None:
        """Save, write down what is different, and end the sessions of who may not go on."""
        assert serializer.instance is not None  # noqa: S101 - an update has one
        before = facts(serializer.instance)
        with transaction.atomic():
            user = serializer.save()
            detail = changed(before, facts(user))
            if "password" in serializer.initial_data:
                detail["password_changed"] = True
            self._record("user_updated", detail, user)
        if "password" in serializer.initial_data or not user.is_active:
            hint("cut", account_id=user.pk)

    def perform_destroy(self, instance: User) -> None:
        """Remove the user, the mailboxes and the keys."""
        if self.request.user is not None and instance.pk == self.request.user.pk:
            raise ForbiddenError(_("Nobody deletes themselves."))
        if is_powerful(instance) and "admin" not in granted(self.request):
            raise ForbiddenError(_("Only an administrator may delete an administrator."))
        before, user_id = facts(instance), instance.pk
        remove(instance)
        self._record("user_deleted", {**changed(before, {}), "target": f"user_{user_id}"})

    def _record(self, action: str, detail: dict[str, Any], user: User | None = None) -> None:
        target = {"target": f"user_{user.pk}"} if user is not None else {}
        record(action, AuditEntry.EventType.ADMINISTRATIVE, request=self.request, metadata={**target, **detail})
