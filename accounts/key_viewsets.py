"""API keys over HTTP."""

from typing import Any

from django.db import transaction
from django.http import Http404
from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_view
from rest_framework import mixins, viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from a3mailer_site.api.fields import number_of
from accounts.key_serializers import ApiKeySerializer, NewApiKeySerializer, facts
from accounts.models import ApiKey, User
from security.audit import changed, record
from security.models import AuditEntry

_REQUEST = {"name": "monitoring-key", "permissions": ["read", "write"], "expires_at": "2024-12-31T23:59:59Z"}
_ANSWER = {
    "key_id": "key_123456789",
    "api_key": "sk_live_abcdef123456789",
    "name": "monitoring-key",
    "permissions": ["read", "write"],
    "created_at": "2024-01-15T10:30:00Z",
    "expires_at": "2024-12-31T23:59:59Z",
}
_SHOWN = {name: value for name, value in _ANSWER.items() if name != "api_key"} | {
    "last_used_at": "2024-01-15T10:31:00Z",
    "allowed_networks": None,
    "domains": None,
}
_EXAMPLE = [OpenApiExample("A key", value=_SHOWN, response_only=True)]
_BOUNDED = {
    "name": "shop",
    "permissions": ["read", "write"],
    "allowed_networks": ["192.0.2.0/24", "2001:db8::25"],
    "domains": ["example.com"],
}


def _owner(request: Request) -> User | None:
    """Return who makes a key: keys made by nobody's key are nobody's."""
    return request.user if isinstance(request.user, User) else None


@extend_schema_view(
    list=extend_schema(summary="List the keys that are not revoked", examples=_EXAMPLE),
    retrieve=extend_schema(summary="Show a key, without its secret", examples=_EXAMPLE),
    destroy=extend_schema(summary="Revoke a key, at once and for good"),
)
class ApiKeyViewSet(
    mixins.CreateModelMixin,
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    mixins.DestroyModelMixin,
    viewsets.GenericViewSet[ApiKey],
):
    """Make, list, show and revoke API keys. All of it needs ``admin``: a key could otherwise make itself a better one.

    A key that is bound to domains does none of it, whatever its permissions: it knows nothing beyond its domains.
    """

    queryset = ApiKey.objects.filter(revoked_at__isnull=True).order_by("pk")
    serializer_class = ApiKeySerializer
    lookup_url_kwarg = "key_id"
    lookup_value_regex = "[^/]+"
    collection_name = "keys"
    filter_backends = []
    scopes = {"create": "admin", "list": "admin", "retrieve": "admin", "destroy": "admin"}

    def get_object(self) -> ApiKey:
        """Find a key by the id in the path."""
        self.kwargs[self.lookup_url_kwarg] = number_of(self.kwargs[self.lookup_url_kwarg], "key_")
        return super().get_object()

    @extend_schema(
        summary="Make a key",
        request=ApiKeySerializer,
        responses={201: NewApiKeySerializer},
        examples=[
            OpenApiExample("A key", value=_REQUEST, request_only=True),
            OpenApiExample("A key with bounds", value=_BOUNDED, request_only=True),
            OpenApiExample("The key with its secret", value=_ANSWER, response_only=True, status_codes=["201"]),
        ],
    )
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:  # noqa: ARG002 - the router passes them
        """Make a key. The answer is the only place where its secret stands."""
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        with transaction.atomic():
            key, secret = ApiKey.issue(owner=_owner(request), **serializer.validated_data)
            self._record("api_key_created", key, changed({}, facts(key)))
        key.api_key = secret  # type: ignore[attr-defined]
        answer = NewApiKeySerializer(key, context=self.get_serializer_context()).data
        return Response(answer, status=201, headers={"Location": f"/api/v1/auth/keys/{answer['key_id']}"})

    def perform_destroy(self, instance: ApiKey) -> None:
        """Revoke: the row stays, so that the audit log's ids keep their meaning. A key may end itself."""
        with transaction.atomic():
            if not ApiKey.objects.filter(pk=instance.pk).revoke(timezone.now()):
                raise Http404  # somebody else was faster
            self._record("api_key_revoked", instance, changed(facts(instance), {}))

    def _record(self, action: str, key: ApiKey, detail: dict[str, Any]) -> None:
        known = {"target": f"key_{key.pk}", "name": key.name, "permissions": key.permissions, **detail}
        record(action, AuditEntry.EventType.ADMINISTRATIVE, request=self.request, metadata=known)
