"""Blocks, the allow-list and the audit log over HTTP."""

from typing import Any

from django.db.models import Q, QuerySet
from django.http import Http404
from django.utils import timezone
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import mixins, serializers, viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from a3mailer_site.api.errors import ConflictError
from a3mailer_site.api.pagination import search_text
from a3mailer_site.api.peers import client_address
from a3mailer_site.env import Network
from security.audit_query import PARAMETERS, chosen, note_reading
from security.blocking import AlreadyError, allow, block, disallow, ends_at, lift
from security.guards import objection
from security.models import AllowedNetwork, AuditEntry, BlockedAddress
from security.networks import around, parse_address, parse_network, written
from security.serializers import (
    AllowedNetworkSerializer,
    AllowSerializer,
    AuditEntrySerializer,
    BlockedAddressSerializer,
    BlockSerializer,
)

_ADDRESS = OpenApiParameter(
    "ip_address", str, OpenApiParameter.PATH, description="An address, or a network such as `192.0.2.0%2F24`."
)
_SEARCH = OpenApiParameter(
    "search", str, description="A part of the address or of the reason; an address also finds the networks around it."
)
_BLOCK = {
    "ip_address": "192.0.2.100",
    "reason": "Brute force attack detected",
    "duration": 3600,
    "permanent": False,
}
_BLOCKED = {
    "ip_address": "192.0.2.100",
    "reason": "Brute force attack detected",
    "source": "api",
    "blocked_at": "2024-01-15T10:30:00Z",
    "expires_at": "2024-01-15T11:30:00Z",
    "permanent": False,
    "hits": 0,
    "last_seen": None,
}
_ALLOWED = {"ip_address": "198.51.100.0/24", "reason": "Office", "added_at": "2024-01-15T10:30:00Z"}
_ENTRY = {
    "id": "audit_123456",
    "timestamp": "2024-01-15T10:30:00Z",
    "event_type": "authentication",
    "severity": "warning",
    "outcome": "failure",
    "source_ip": "192.0.2.100",
    "user_id": "user_123",
    "action": "login_failed",
    "description": "Failed login attempt for user john.doe",
    "metadata": {"user_agent": "Mozilla/5.0...", "method": "password"},
}


def network_of(text: str) -> Network:
    """Read the address in a path; raises ``ValidationError`` for what is none, ``Http404`` for a slash too many."""
    if text.endswith("/"):
        raise Http404
    try:
        return parse_network(text)
    except ValueError as error:
        raise serializers.ValidationError({"ip_address": _("This is neither an IP address nor a network.")}) from error


def found_by(text: str) -> Q:
    """Return the condition of a search among networks and reasons."""
    wanted = Q(network__contains=text.lower()) | Q(reason__icontains=text)
    try:
        return wanted | Q(network__in=list(around(parse_address(text))))
    except ValueError:
        return wanted


@extend_schema_view(
    list=extend_schema(
        summary="List the blocks in force",
        parameters=[_SEARCH],
        examples=[OpenApiExample("block", _BLOCKED, response_only=True)],
    ),
    retrieve=extend_schema(
        summary="Show a block",
        parameters=[_ADDRESS],
        examples=[OpenApiExample("block", _BLOCKED, response_only=True)],
    ),
    destroy=extend_schema(summary="Lift a block", parameters=[_ADDRESS]),
)
class BlockedAddressViewSet(
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    mixins.DestroyModelMixin,
    viewsets.GenericViewSet[BlockedAddress],
):
    """List, show, add and lift blocks. A block is never edited: lift it and add another."""

    queryset = BlockedAddress.objects.all()
    serializer_class = BlockedAddressSerializer
    lookup_field = "network"
    lookup_url_kwarg = "ip_address"
    collection_name = "blocked_ips"
    filter_backends = []
    strict = {"create", "destroy"}

    def get_queryset(self) -> QuerySet[BlockedAddress]:
        """Leave out what holds no more, and narrow the list to what is searched for."""
        blocks = BlockedAddress.objects.in_force(timezone.now())
        text = search_text(self.request) if self.action == "list" else ""
        return blocks.filter(found_by(text)) if text else blocks

    def get_object(self) -> BlockedAddress:
        """Find a block by the address or network in the path."""
        self.kwargs["ip_address"] = written(network_of(self.kwargs["ip_address"]))
        return super().get_object()

    @extend_schema(
        summary="Block an address or a network",
        request=BlockSerializer,
        responses={201: BlockedAddressSerializer},
        examples=[
            OpenApiExample("reference", _BLOCK, request_only=True),
            OpenApiExample("block", _BLOCKED, response_only=True, status_codes=["201"]),
        ],
    )
    def create(self, request: Request) -> Response:
        """Keep an address out of every listener, at once; open connections of it are cut."""
        asked = BlockSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        given = asked.validated_data
        caller = client_address(request._request)
        if reason := objection(given["ip_address"], caller=caller, force=given["force"]):
            raise serializers.ValidationError({"ip_address": reason})
        now = timezone.now()
        try:
            row = block(
                given["ip_address"],
                reason=given["reason"],
                source=BlockedAddress.Source.API,
                expires_at=ends_at(now, given.get("duration"), permanent=given["permanent"]),
                now=now,
                request=request,
            )
        except AlreadyError as error:
            raise ConflictError(_("%(network)s is blocked already.") % {"network": error}) from error
        place = f"/api/v1/security/blocked-ips/{row.network.replace('/', '%2F')}"
        return Response(self.get_serializer(row).data, status=201, headers={"Location": place})

    def perform_destroy(self, instance: BlockedAddress) -> None:
        """Let it in again."""
        lift(instance, by=BlockedAddress.Source.API, request=self.request)


@extend_schema_view(
    list=extend_schema(
        summary="List what is never blocked",
        parameters=[_SEARCH],
        examples=[OpenApiExample("office", _ALLOWED, response_only=True)],
    ),
    retrieve=extend_schema(summary="Show an entry of the allow-list", parameters=[_ADDRESS]),
    destroy=extend_schema(summary="Take a network off the allow-list", parameters=[_ADDRESS]),
)
class AllowedNetworkViewSet(
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    mixins.DestroyModelMixin,
    viewsets.GenericViewSet[AllowedNetwork],
):
    """List, show, add and remove what is never blocked. This machine always is allowed, without an entry."""

    queryset = AllowedNetwork.objects.all()
    serializer_class = AllowedNetworkSerializer
    lookup_field = "network"
    lookup_url_kwarg = "ip_address"
    collection_name = "allowed_ips"
    filter_backends = []
    strict = {"create", "destroy"}

    def get_queryset(self) -> QuerySet[AllowedNetwork]:
        """Narrow the list to what is searched for."""
        text = search_text(self.request) if self.action == "list" else ""
        return AllowedNetwork.objects.filter(found_by(text)) if text else AllowedNetwork.objects.all()

    def get_object(self) -> AllowedNetwork:
        """Find an entry by the address or network in the path."""
        self.kwargs["ip_address"] = written(network_of(self.kwargs["ip_address"]))
        return super().get_object()

    @extend_schema(
        summary="Never block an address or a network",
        request=AllowSerializer,
        responses={201: AllowedNetworkSerializer},
        examples=[OpenApiExample("office", {"ip_address": "198.51.100.0/24", "reason": "Office"}, request_only=True)],
    )
    def create(self, request: Request) -> Response:
        """Put a network on the allow-list: it wins over every block, at once."""
        asked = AllowSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        network = asked.validated_data["ip_address"]
        if not network.prefixlen:
            raise serializers.ValidationError({"ip_address": _("With everybody allowed nobody could be blocked.")})
        try:
            row = allow(network, reason=asked.validated_data["reason"], request=request)
        except AlreadyError as error:
            raise ConflictError(_("%(network)s is on the allow-list already.") % {"network": error}) from error
        place = f"/api/v1/security/allowed-ips/{row.network.replace('/', '%2F')}"
        return Response(self.get_serializer(row).data, status=201, headers={"Location": place})

    def perform_destroy(self, instance: AllowedNetwork) -> None:
        """Let blocks hold for it again."""
        disallow(instance, request=self.request)


@extend_schema_view(
    list=extend_schema(
        summary="Read the audit log",
        parameters=PARAMETERS,
        examples=[OpenApiExample("reference", _ENTRY, response_only=True)],
    )
)
class AuditLogViewSet(mixins.ListModelMixin, viewsets.GenericViewSet[AuditEntry]):
    """Read the audit log, newest first. Nothing of it can be changed or deleted here."""

    queryset = AuditEntry.objects.all()
    serializer_class = AuditEntrySerializer
    collection_name = "logs"
    default_limit = 100
    filter_backends = []
    strict = {"list"}

    def get_queryset(self) -> QuerySet[AuditEntry]:
        """Narrow the log to what the query asks for."""
        return chosen(self.request)

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Return a page, and write down who has read."""
        answer = super().list(request, *args, **kwargs)
        note_reading(request._request, request.query_params)
        return answer
