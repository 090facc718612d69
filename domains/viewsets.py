"""Domains over HTTP."""

from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema, extend_schema_view
from rest_framework import viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from a3mailer_site.api.etags import ETAG, IF_MATCH, IF_NONE_MATCH, NOT_MODIFIED, check_unchanged, etag_of, is_known
from a3mailer_site.api.fields import number_of
from a3mailer_site.api.pagination import search_text
from a3mailer_site.api.permissions import domains_of
from a3mailer_site.api.switches import switch
from a3mailer_site.trash import oldest_restorable
from domains import trash
from domains.examples import DOMAIN, DOMAINS, NEW_DOMAIN
from domains.models import Domain
from domains.names import to_unicode
from domains.querysets import count_use
from domains.serializers import DeletedDomainSerializer, DomainSerializer
from security.audit import changed, record
from security.models import AuditEntry

_SEARCH = OpenApiParameter("search", str, description="A part of the name, as A-labels.")
_DELETED = OpenApiParameter(
    "deleted", bool, description="`1`: the trash; each domain has `deleted_at` and `restorable_until` there."
)


@extend_schema_view(
    list=extend_schema(
        summary="List domains", parameters=[_SEARCH, _DELETED], responses=DeletedDomainSerializer, examples=[DOMAINS]
    ),
    retrieve=extend_schema(
        summary="Show a domain",
        parameters=[IF_NONE_MATCH, ETAG],
        responses={200: DomainSerializer, 304: NOT_MODIFIED},
        examples=[DOMAIN],
    ),
    partial_update=extend_schema(
        summary="Change a domain", parameters=[IF_MATCH, ETAG], request=DomainSerializer(partial=True)
    ),
)
class DomainViewSet(viewsets.ModelViewSet[Domain]):
    """Add, list, show, change, delete and restore domains. One that still has users is not deleted."""

    queryset = Domain.objects.order_by("pk")
    serializer_class = DomainSerializer
    lookup_url_kwarg = "domain_id"
    lookup_value_regex = "[^/]+"
    collection_name = "domains"
    filter_backends = []
    per_domain = True

    def get_queryset(self) -> QuerySet[Domain]:
        """Narrow to what the caller may see, and the list to what is searched for."""
        domains, name = super().get_queryset(), "name"
        within = domains_of(self.request)
        if self.action == "list" and switch(self.request, "deleted"):
            lasting = oldest_restorable(timezone.now())
            domains, name = Domain.everything.restorable(lasting).order_by("-deleted_at", "-pk"), "deleted_name"
            # Deleted domains are for those who may delete some.
            domains = domains.none() if within is not None else domains
        elif within is not None:
            domains = domains.filter(name__in=within)
        text = search_text(self.request) if self.action == "list" else ""
        return domains.filter(**{f"{name}__contains": text.lower()}) if text else domains

    def get_serializer_class(self) -> type[DomainSerializer]:
        """Show of a deleted domain also when, and how long it can be had back."""
        is_trash = self.action == "list" and switch(self.request, "deleted")
        return DeletedDomainSerializer if is_trash else DomainSerializer

    def paginate_queryset(self, queryset: Any) -> Any:
        """Add to the domains of the page what their users take."""
        page = super().paginate_queryset(queryset)
        count_use(page or [])
        return page

    def get_object(self) -> Domain:
        """Find a domain by the id in the path."""
        self.kwargs[self.lookup_url_kwarg] = number_of(self.kwargs[self.lookup_url_kwarg], "domain_")
        return super().get_object()

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:  # noqa: ARG002 - the router passes them
        """Show a domain, unless the caller knows it as it is."""
        domain = self.get_object()
        if is_known(request, etag := domain_etag(domain)):
            return Response(status=304, headers={"ETag": etag})
        return self._answer(domain)

    @extend_schema(
        summary="Add a domain",
        parameters=[ETAG],
        request=DomainSerializer,
        responses={201: DomainSerializer},
        examples=[NEW_DOMAIN, DOMAIN],
    )
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:  # noqa: ARG002 - the router passes them
        """Add a domain; the answer says where it lives."""
        self._check_unrestricted()
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        with transaction.atomic():
            domain = serializer.save()
            self._record("domain_created", domain.pk, changed({}, _facts(domain)))
        return self._answer(domain, 201, {"Location": f"/api/v1/domains/domain_{domain.pk}"})

    @extend_schema(
        summary="Change a domain",
        parameters=[IF_MATCH, ETAG],
        request=DomainSerializer(partial=True),
        responses=DomainSerializer,
        examples=[NEW_DOMAIN, DOMAIN],
    )
    def update(self, request: Request, *args: Any, **kwargs: Any) -> Response:  # noqa: ARG002 - the router passes them
        """Change what is named and leave the rest."""
        serializer = self.get_serializer(self.get_object(), data=request.data, partial=True)
        serializer.is_valid(raise_exception=True)
        with transaction.atomic():
            domain = trash.locked(self.kwargs["domain_id"])
            check_unchanged(request, domain_etag(domain))
            before, serializer.instance = _facts(domain), domain
            serializer.save()
            self._record("domain_updated", domain.pk, changed(before, _facts(domain)))
        return self._answer(domain)

    @extend_schema(summary="Delete a domain", parameters=[IF_MATCH], responses={204: None})
    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:  # noqa: ARG002 - the router passes them
        """Put a domain and its aliases into the trash. A domain that has users stays (409)."""
        self.get_object()
        self._check_unrestricted()
        with transaction.atomic():
            domain = trash.locked(self.kwargs["domain_id"])
            check_unchanged(request, domain_etag(domain))
            before = _facts(domain)
            trash.delete(domain, timezone.now())
            self._record("domain_deleted", domain.pk, changed(before, {}))
        return Response(status=204)

    @extend_schema(
        summary="Restore a domain",
        request=None,
        responses={200: OpenApiResponse(DomainSerializer, examples=[DOMAIN])},
    )
    @action(detail=True, methods=["post"])
    def restore(self, request: Request, domain_id: str) -> Response:  # noqa: ARG002 - the framework passes it
        """Take a deleted domain out of the trash with its aliases; 409 when there is a new one of its name."""
        number = number_of(domain_id, "domain_")
        self._check_unrestricted()
        with transaction.atomic():
            domain = trash.restore(number, timezone.now())
            self._record("domain_restored", domain.pk, changed({}, _facts(domain)))
        return self._answer(domain)

    def _answer(self, domain: Domain, status: int = 200, headers: dict[str, str] | None = None) -> Response:
        count_use([domain])
        answer = DomainSerializer(domain, context=self.get_serializer_context()).data
        return Response(answer, status, headers={"ETag": domain_etag(domain), **(headers or {})})

    def _check_unrestricted(self) -> None:
        if domains_of(self.request) is not None:
            raise PermissionDenied(_("This key is for some domains only; it makes and deletes none."))

    def _record(self, action: str, pk: int, detail: dict[str, Any]) -> None:
        event_type = AuditEntry.EventType.CONFIGURATION_CHANGE
        record(action, event_type, request=self.request, metadata={"target": f"domain_{pk}", **detail})


def domain_etag(domain: Domain) -> str:
    """Return the ETag of a domain: of its id and what a caller can change."""
    return etag_of({"id": domain.pk, **_facts(domain)})


def _facts(domain: Domain) -> dict[str, Any]:
    return {
        "domain": to_unicode(domain.name),
        "enabled": domain.enabled,
        "max_users": domain.max_users,
        "max_quota": domain.max_quota,
    }
