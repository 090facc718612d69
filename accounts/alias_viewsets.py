"""Aliases over HTTP."""

from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import Http404
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import viewsets
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from a3mailer_site.api.fields import number_of
from a3mailer_site.api.pagination import search_text
from a3mailer_site.api.permissions import domains_of
from accounts.addresses import fold, hold_domains
from accounts.alias_serializers import AliasSerializer, facts
from accounts.models import Alias, AliasTarget
from security.audit import changed, record
from security.models import AuditEntry

_SEARCH = OpenApiParameter("search", str, description="A part of the address or of a target.")
_NEW = {"address": "sales@example.com", "targets": ["alice@example.com", "bob@example.org"]}
_SHOWN = {"id": "alias_12", **_NEW, "enabled": True, "created_at": "2024-01-15T10:30:00Z"}
_EXAMPLES = [
    OpenApiExample("An alias", value=_NEW, request_only=True),
    OpenApiExample(
        "A catch-all", value={"address": "@example.com", "targets": ["alice@example.com"]}, request_only=True
    ),
    OpenApiExample("The alias", value=_SHOWN, response_only=True, status_codes=["200", "201"]),
]
_CHANGE = [
    OpenApiExample("Switch off", value={"enabled": False}, request_only=True),
    OpenApiExample("The alias", value={**_SHOWN, "enabled": False}, response_only=True, status_codes=["200"]),
]


@extend_schema_view(
    list=extend_schema(summary="List aliases", parameters=[_SEARCH], examples=_EXAMPLES[-1:]),
    retrieve=extend_schema(summary="Show an alias", examples=_EXAMPLES[-1:]),
    partial_update=extend_schema(summary="Change what is named of an alias", examples=_CHANGE),
    destroy=extend_schema(summary="Delete an alias"),
)
class AliasViewSet(viewsets.ModelViewSet[Alias]):
    """Make, list, show, change and delete aliases. A key that is bound to domains sees and changes theirs."""

    queryset = Alias.objects.prefetch_related("targets").order_by("pk")
    serializer_class = AliasSerializer
    lookup_url_kwarg = "alias_id"
    lookup_value_regex = "[^/]+"
    collection_name = "aliases"
    filter_backends = []
    per_domain = True

    def get_queryset(self) -> QuerySet[Alias]:
        """Narrow to what the caller reaches, and the list to what is searched for."""
        aliases = super().get_queryset()
        within = domains_of(self.request)
        if within is not None:
            aliases = aliases.filter(domain__name__in=within)
        text = fold(search_text(self.request)) if self.action == "list" else ""
        if text:
            target = AliasTarget.objects.filter(alias=OuterRef("pk"), address__contains=text)
            aliases = aliases.filter(Q(address__contains=text) | Exists(target))
        return aliases

    def get_object(self) -> Alias:
        """Find an alias by the id in the path."""
        self.kwargs[self.lookup_url_kwarg] = number_of(self.kwargs[self.lookup_url_kwarg], "alias_")
        return super().get_object()

    @extend_schema(summary="Make an alias", examples=_EXAMPLES)
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Make an alias; the answer says where it lives."""
        response = super().create(request, *args, **kwargs)
        response["Location"] = f"/api/v1/aliases/{response.data['id']}"
        return response

    @extend_schema(summary="Change an alias", request=AliasSerializer(partial=True), examples=_CHANGE)
    def update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Change what is named and leave the rest; ``targets`` as a whole."""
        return super().update(request, *args, **{**kwargs, "partial": True})

    def perform_create(self, serializer: BaseSerializer[Alias]) -> None:
        """Save, and write it down."""
        with transaction.atomic():
            alias = serializer.save()
            self._record("alias_created", alias.pk, changed({}, facts(alias)))

    def perform_update(self, serializer: BaseSerializer[Alias]) -> None:
        """Save, and write down what is different."""
        assert serializer.instance is not None  # noqa: S101 - an update has one
        with transaction.atomic():
            # Both at once, where it moves: locks are taken in one order.
            hold_domains(serializer.instance.address, serializer.validated_data.get("address", ""))
            before = facts(alias := self._locked(serializer.instance))
            serializer.instance = alias
            alias = serializer.save()
            self._record("alias_updated", alias.pk, changed(before, facts(alias)))

    def perform_destroy(self, instance: Alias) -> None:
        """Delete, and write down what is gone."""
        with transaction.atomic():
            hold_domains(instance.address)
            alias = self._locked(instance)
            before = facts(alias)
            alias.delete()
            self._record("alias_deleted", instance.pk, changed(before, {}))

    def _locked(self, alias: Alias) -> Alias:
        """Return an alias as its row is now; it may be gone since it was looked up, along with its domain."""
        found = self.get_queryset().select_for_update(of=("self",)).filter(pk=alias.pk).first()
        if found is None:
            raise Http404
        return found

    def _record(self, action: str, pk: int, detail: dict[str, Any]) -> None:
        event_type = AuditEntry.EventType.CONFIGURATION_CHANGE
        record(action, event_type, request=self.request, metadata={"target": f"alias_{pk}", **detail})
