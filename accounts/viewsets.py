"""Users over HTTP."""

from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet, prefetch_related_objects
from django.http import Http404
from django.utils import timezone
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema, extend_schema_view
from rest_framework import viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from a3mailer_site.api.etags import ETAG, IF_MATCH, IF_NONE_MATCH, NOT_MODIFIED, check_unchanged, is_known
from a3mailer_site.api.fields import number_of
from a3mailer_site.api.pagination import page_of, search_text
from a3mailer_site.api.permissions import domains_of
from a3mailer_site.api.switches import switch
from a3mailer_site.control import hint
from a3mailer_site.trash import oldest_restorable
from accounts import examples, pages, trash
from accounts.addresses import fold
from accounts.bulk_viewset import BulkUsersMixin
from accounts.models import User
from accounts.powers import ForbiddenError, is_powerful, locked
from accounts.serializers import (
    DeletedUserSerializer,
    UserSerializer,
    facts,
    is_administrator,
    user_etag,
)
from security.audit import changed, record
from security.models import AuditEntry

_SEARCH = OpenApiParameter("search", str, description="A part of the login name or of the address.")
_DELETED = OpenApiParameter(
    "deleted", bool, description="`1`: the trash; each user has `deleted_at` and `restorable_until` there."
)


@extend_schema_view(
    list=extend_schema(
        summary="List users", parameters=[_SEARCH, _DELETED], responses=DeletedUserSerializer, examples=[examples.USERS]
    ),
    retrieve=extend_schema(
        summary="Show a user",
        parameters=[IF_NONE_MATCH, ETAG],
        responses={200: UserSerializer, 304: NOT_MODIFIED},
        examples=[examples.USER],
    ),
    partial_update=extend_schema(
        summary="Change a user", parameters=[IF_MATCH, ETAG], request=UserSerializer(partial=True)
    ),
)
class UserViewSet(BulkUsersMixin, viewsets.ModelViewSet[User]):
    """Make, list, show, change, delete and restore users. PUT changes what it names and leaves the rest."""

    queryset = User.objects.order_by("pk")
    serializer_class = UserSerializer
    lookup_url_kwarg = "user_id"
    lookup_value_regex = "[^/]+"
    collection_name = "users"
    filter_backends = []
    per_domain = True

    def get_queryset(self) -> QuerySet[User]:
        """Narrow to what the caller may see, and the list to what is searched for."""
        users, names = super().get_queryset(), ("username", "email")
        if self.action == "list" and switch(self.request, "deleted"):
            lasting = oldest_restorable(timezone.now())
            users = User.everybody.restorable(lasting).order_by("-deleted_at", "-pk")
            names = ("deleted_username", "deleted_email")
        within = domains_of(self.request)
        if within is not None:
            # A deleted domain has another name, so its users are out of reach until it is restored.
            users = users.filter(domain__name__in=within)
        text = search_text(self.request) if self.action == "list" else ""
        if not text:
            return users
        username, email = (Q(**{f"{name}__contains": fold(text)}) for name in names)
        return users.filter(username | email)

    def after(self, users: QuerySet[Any], last: tuple[Any, ...]) -> int:
        """Count what follows the last row of a page, in the order of the ids."""
        if switch(self.request, "deleted"):
            return users.filter(Q(deleted_at__lt=last[-1]) | Q(deleted_at=last[-1], pk__lt=last[0])).count()
        return users.filter(pk__gt=last[0]).count()

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:  # noqa: ARG002 - the router passes them
        """List users, in the order in which they were made; of the trash the last deleted first."""
        is_trash = switch(request, "deleted")
        if not is_trash and not search_text(request) and domains_of(request) is None:
            page, limit = page_of(request)
            users, total = pages.of_all((page - 1) * limit, limit)
            return Response({"users": users, "total": total, "page": page, "limit": limit})
        columns = pages.TRASH if is_trash else pages.COLUMNS
        rows = self.paginate_queryset(self.get_queryset().values_list(*columns))
        return self.get_paginated_response(pages.shown(rows or []))

    def get_object(self) -> User:
        """Find a user by the id in the path."""
        self.kwargs[self.lookup_url_kwarg] = number_of(self.kwargs[self.lookup_url_kwarg], "user_")
        user = super().get_object()
        prefetch_related_objects([user], "groups")
        return user

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:  # noqa: ARG002 - the router passes them
        """Show a user, unless the caller knows the state as it is."""
        user = self.get_object()
        if is_known(request, etag := user_etag(user)):
            return Response(status=304, headers={"ETag": etag})
        return self._answer(user)

    @extend_schema(
        summary="Make a user",
        parameters=[ETAG],
        request=UserSerializer,
        responses={201: UserSerializer},
        examples=[examples.NEW_USER, examples.SHORT_USER, examples.USER],
    )
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:  # noqa: ARG002 - the router passes them
        """Make a user; the answer says where it lives."""
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        user = self.save_new(serializer)
        return self._answer(user, 201, {"Location": f"/api/v1/users/user_{user.pk}"})

    def save_new(self, serializer: BaseSerializer[User]) -> User:
        """Save a new user, and write it down."""
        with transaction.atomic():
            user: User = serializer.save()
            self._record("user_created", changed({}, facts(user)), user)
        return user

    @extend_schema(
        summary="Change a user",
        parameters=[IF_MATCH, ETAG],
        request=UserSerializer(partial=True),
        responses=UserSerializer,
        examples=[examples.USER_CHANGE, examples.USER],
    )
    def update(self, request: Request, *args: Any, **kwargs: Any) -> Response:  # noqa: ARG002 - the router passes them
        """Change what is named: the reference's PUT leaves out most fields, so it is a merge.

        Whoever may not go on, or has another password, is cut off at once.
        """
        serializer = self.get_serializer(self.get_object(), data=request.data, partial=True)
        serializer.is_valid(raise_exception=True)
        with transaction.atomic():
            assert serializer.instance is not None  # noqa: S101 - it has just been given
            user = serializer.instance = self._reached(locked(serializer.instance))
            check_unchanged(request, user_etag(user))
            before = facts(user)
            serializer.save()
            detail = changed(before, facts(user))
            if "password" in serializer.validated_data:
                detail["password_changed"] = True
            self._record("user_updated", detail, user)
        if "password" in serializer.validated_data or not user.is_active:
            hint("cut", account_id=user.pk)
        return self._answer(user)

    @extend_schema(summary="Delete a user", parameters=[IF_MATCH], responses={204: None})
    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:  # noqa: ARG002 - the router passes them
        """Put a user into the trash: no login and no mail from now on, sessions end, keys are revoked.

        Nobody deletes themselves or the last administrator (403).
        """
        user = self.get_object()
        if request.user is not None and user.pk == request.user.pk:
            raise ForbiddenError(_("Nobody deletes themselves."))
        with transaction.atomic():
            user = self._reached(locked(user))
            check_unchanged(request, user_etag(user))
            self._check_power(user)
            before = facts(user)
            trash.delete(user, timezone.now())
            self._record("user_deleted", changed(before, {}), user)
        hint("cut", account_id=user.pk)
        return Response(status=204)

    @extend_schema(
        summary="Restore a user",
        request=None,
        responses={200: OpenApiResponse(UserSerializer, examples=[examples.USER])},
    )
    @action(detail=True, methods=["post"])
    def restore(self, request: Request, user_id: str) -> Response:  # noqa: ARG002 - the framework passes it
        """Take a user out of the trash, with all mail. API keys stay revoked.

        409 when name or address is somebody else's by now, or the domain is deleted or full.
        """
        number = number_of(user_id, "user_")
        with transaction.atomic():
            user = self._reached(trash.find(number, timezone.now()))
            self._check_power(user)
            trash.restore(user, timezone.now())
            self._record("user_restored", changed({}, facts(user)), user)
        return self._answer(user)

    def _reached(self, user: User) -> User:
        """Return a locked user whom the caller reaches; who was looked up before may have been moved away since."""
        within = domains_of(self.request)
        if within is not None and (user.domain is None or user.domain.name not in within):
            raise Http404
        return user

    def _check_power(self, user: User) -> None:
        if is_powerful(user) and not is_administrator(self.request):
            raise ForbiddenError(_("Only an administrator may delete or restore an administrator."))

    def _answer(self, user: User, status: int = 200, headers: dict[str, str] | None = None) -> Response:
        answer = UserSerializer(user, context=self.get_serializer_context()).data
        return Response(answer, status, headers={"ETag": user_etag(user), **(headers or {})})

    def _record(self, action: str, detail: dict[str, Any], user: User) -> None:
        target = {"target": f"user_{user.pk}"}
        record(action, AuditEntry.EventType.ADMINISTRATIVE, request=self.request, metadata={**target, **detail})
