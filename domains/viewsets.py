"""Domains over HTTP."""

from typing import Any

from django.db import transaction
from django.db.models import ProtectedError, QuerySet
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import viewsets
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from a3mailer_site.api.errors import ConflictError
from a3mailer_site.api.fields import number_of
from a3mailer_site.api.pagination import search_text
from domains.models import Domain
from domains.names import to_unicode
from domains.querysets import with_use
from domains.serializers import DomainSerializer
from security.audit import changed, record
from security.models import AuditEntry

_SEARCH = OpenApiParameter("search", str, description="A part of the name, as A-labels.")


@extend_schema_view(list=extend_schema(parameters=[_SEARCH]))
class DomainViewSet(viewsets.ModelViewSet[Domain]):
    """Add, list, show, change and delete domains. One that still has users is not deleted."""

    queryset = Domain.objects.order_by("pk")
    serializer_class = DomainSerializer
    lookup_url_kwarg = "domain_id"
    lookup_value_regex = "[^/]+"
    collection_name = "domains"
    filter_backends = []

    def get_queryset(self) -> QuerySet[Domain]:
        """Narrow the list to what is searched for, and add what each domain's users take."""
        domains = super().get_queryset()
        text = search_text(self.request) if self.action == "list" else ""
        return with_use(domains.filter(name__contains=text.lower()) if text else domains)

    def get_object(self) -> Domain:
        """Find a domain by the id in the path."""
        self.kwargs[self.lookup_url_kwarg] = number_of(self.kwargs[self.lookup_url_kwarg], "domain_")
        return super().get_object()

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:  # noqa: ARG002 - the router passes them
        """Add a domain; the answer says where it lives."""
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        self.perform_create(serializer)
        assert serializer.instance is not None  # noqa: S101 - it has just been made
        answer = self.get_serializer(self.get_queryset().get(pk=serializer.instance.pk)).data
        return Response(answer, status=201, headers={"Location": f"/api/v1/domains/{answer['id']}"})

    @extend_schema(request=DomainSerializer(partial=True))
    def update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Change what is named and leave the rest."""
        return super().update(request, *args, **{**kwargs, "partial": True})

    def perform_create(self, serializer: BaseSerializer[Domain]) -> None:
        """Save, and write it down."""
        with transaction.atomic():
            domain = serializer.save()
            self._record("domain_created", domain.pk, changed({}, _facts(domain)))

    def perform_update(self, serializer: BaseSerializer[Domain]) -> None:
        """Save, and write down what is different."""
        assert serializer.instance is not None  # noqa: S101 - an update has one
        before = _facts(serializer.instance)
        with transaction.atomic():
            domain = serializer.save()
            self._record("domain_updated", domain.pk, changed(before, _facts(domain)))

    def perform_destroy(self, instance: Domain) -> None:
        """Delete a domain and its aliases."""
        before, pk = _facts(instance), instance.pk
        try:
            with transaction.atomic():
                instance.delete()
                self._record("domain_deleted", pk, changed(before, {}))
        except ProtectedError as error:
            raise ConflictError(_("The domain still has users.")) from error

    def _record(self, action: str, pk: int, detail: dict[str, Any]) -> None:
        event_type = AuditEntry.EventType.CONFIGURATION_CHANGE
        record(action, event_type, request=self.request, metadata={"target": f"domain_{pk}", **detail})


def _facts(domain: Domain) -> dict[str, Any]:
    return {
        "domain": to_unicode(domain.name),
        "enabled": domain.enabled,
        "max_users": domain.max_users,
        "max_quota": domain.max_quota,
    }
