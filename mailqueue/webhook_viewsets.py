"""Webhooks over HTTP."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from a3mailer_site.api.errors import ConflictError
from a3mailer_site.api.fields import number_of
from a3mailer_site.api.permissions import domains_of
from mailqueue import outbox
from mailqueue.models import Webhook, WebhookDelivery
from mailqueue.pages import BoundedPagination, choice
from mailqueue.webhook_serializers import (
    NewWebhookSerializer,
    ReplayingSerializer,
    ReplaySerializer,
    WebhookDeliverySerializer,
    WebhookSerializer,
)
from mailqueue.webhooks import new_secret
from security.audit import changed, record
from security.models import AuditEntry

# Each event is a row for each webhook: a server tells a few programs, not everybody.
MOST = 100

_REQUEST = {"url": "https://shop.example.com/mail", "events": ["delivered", "bounced", "complained"]}
_SHOWN = {
    "id": "webhook_3",
    **_REQUEST,
    "description": "Orders",
    "domains": ["example.com"],
    "enabled": True,
    "created_at": "2024-01-15T10:30:00Z",
    "waiting": 0,
    "last_success_at": "2024-01-15T10:31:00Z",
    "failing_since": None,
    "last_error": "",
    "next_attempt_at": None,
    "replaying": False,
}
_SECRET = {**_SHOWN, "last_success_at": None, "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw7tyKJwXTBY0="}
_DELIVERY = {
    "id": "delivery_17",
    "event": "bounced",
    "queue_id": "3K8ZQW5V7M2PX",
    "happened_at": "2024-01-15T10:30:00Z",
    "replayed": False,
    "attempts": 2,
    "next_attempt_at": "2024-01-15T10:32:00Z",
    "last_error": "it answers 422",
    "failed_at": None,
}
_EXAMPLE = OpenApiExample("A webhook", value=_SHOWN, response_only=True, status_codes=["200"])
_WITH_SECRET = OpenApiExample("With its secret", value=_SECRET, response_only=True, status_codes=["200", "201"])
_STATES = ("waiting", "failed")


def facts(webhook: Webhook) -> Mapping[str, Any]:
    """Return what the audit log keeps of a webhook."""
    return {
        "url": webhook.url,
        "description": webhook.description,
        "events": webhook.events,
        "domains": webhook.domains,
        "enabled": webhook.enabled,
    }


@extend_schema_view(
    list=extend_schema(summary="List webhooks, and how they do", examples=[_EXAMPLE]),
    retrieve=extend_schema(summary="Show a webhook", examples=[_EXAMPLE]),
    partial_update=extend_schema(summary="Change a webhook", examples=[_EXAMPLE]),
    destroy=extend_schema(summary="Delete a webhook, and what waits for it"),
)
class WebhookViewSet(viewsets.ModelViewSet[Webhook]):
    """Make, list, show, change, test and delete webhooks. A key bound to domains sees those of its domains only."""

    queryset = Webhook.objects.order_by("pk")
    serializer_class = WebhookSerializer
    lookup_url_kwarg = "webhook_id"
    lookup_value_regex = "[^/]+"
    collection_name = "webhooks"
    filter_backends = []
    per_domain = True
    strict = {"create", "update", "partial_update", "destroy", "rotate_secret", "replay"}

    def get_queryset(self) -> QuerySet[Webhook]:
        """Leave out webhooks that tell of domains which the caller does not reach."""
        rows, within = super().get_queryset(), domains_of(self.request)
        if within is None:
            return rows
        own = [pk for pk, names in rows.values_list("pk", "domains") if names is not None and within.issuperset(names)]
        return rows.filter(pk__in=own)

    def get_object(self) -> Webhook:
        """Find a webhook by the id in the path."""
        self.kwargs[self.lookup_url_kwarg] = number_of(self.kwargs[self.lookup_url_kwarg], "webhook_")
        return super().get_object()

    def get_serializer(self, *args: Any, **kwargs: Any) -> Any:
        """Give the serializer the numbers of waiting events, of a page with two statements a row."""
        shown = args[0] if args else None
        rows = shown if isinstance(shown, list) else [shown] if isinstance(shown, Webhook) else []
        context = {**self.get_serializer_context(), "waiting": outbox.waiting([row.pk for row in rows])}
        kwargs["context"] = context
        return self.get_serializer_class()(*args, **kwargs)

    @extend_schema(
        summary="Make a webhook",
        responses={201: NewWebhookSerializer},
        examples=[OpenApiExample("A webhook", value=_REQUEST, request_only=True), _WITH_SECRET],
    )
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:  # noqa: ARG002 - the router passes them
        """Make a webhook. The answer is the only place where its secret stands; it may be replaced."""
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        with transaction.atomic():
            if Webhook.objects.count() >= MOST:
                raise ConflictError(
                    _("There are %(most)d webhooks already, and there cannot be more.") % {"most": MOST}
                )
            webhook = Webhook(**serializer.validated_data)
            secret = new_secret(webhook, timezone.now())
            webhook.save()
            self._record("webhook_created", webhook, changed({}, facts(webhook)))
        answer = self._with_secret(webhook, secret)
        return Response(answer, status=201, headers={"Location": f"/api/v1/webhooks/{answer['id']}"})

    def _with_secret(self, webhook: Webhook, secret: str) -> dict[str, Any]:
        webhook.secret = secret  # type: ignore[attr-defined]
        return dict(NewWebhookSerializer(webhook, context=self.get_serializer_context()).data)

    @extend_schema(summary="Change a webhook", request=WebhookSerializer(partial=True), examples=[_EXAMPLE])
    def update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Change what is named and leave the rest. Switched on again, it is tried at once."""
        return super().update(request, *args, **{**kwargs, "partial": True})

    def perform_update(self, serializer: BaseSerializer[Webhook]) -> None:
        """Save, and write down what is different."""
        assert serializer.instance is not None  # noqa: S101 - an update has one
        before = dict(facts(serializer.instance))
        with transaction.atomic():
            webhook = serializer.save()
            Webhook.objects.filter(pk=webhook.pk).update(not_before=None)
            if webhook.enabled and not before["enabled"]:
                Webhook.objects.filter(pk=webhook.pk).update(failing_since=None, failures=0)
            self._record("webhook_updated", webhook, changed(before, facts(webhook)))
        webhook.refresh_from_db()

    def perform_destroy(self, instance: Webhook) -> None:
        """Delete it; what waits for it goes with it."""
        with transaction.atomic():
            self._record("webhook_deleted", instance, changed(facts(instance), {}))
            instance.delete()

    @extend_schema(
        summary="Give a webhook a new secret",
        request=None,
        responses={200: NewWebhookSerializer},
        examples=[_WITH_SECRET],
    )
    @action(detail=True, methods=["post"], url_path="rotate-secret")
    def rotate_secret(self, request: Request, webhook_id: str) -> Response:  # noqa: ARG002
        """Replace the secret. For 24 hours events are signed with both, so that no receiver misses one."""
        webhook = self.get_object()
        with transaction.atomic():
            secret = new_secret(webhook, timezone.now())
            webhook.save(update_fields=["secret_encrypted", "old_secret_encrypted", "old_secret_until"])
            self._record("webhook_secret_rotated", webhook, {})
        return Response(self._with_secret(webhook, secret))

    @extend_schema(
        summary="Send a test event",
        request=None,
        responses={202: WebhookDeliverySerializer},
        examples=[
            OpenApiExample(
                "The event",
                value={**_DELIVERY, "event": "test", "queue_id": None, "attempts": 0, "last_error": ""},
                response_only=True,
                status_codes=["202"],
            )
        ],
    )
    @action(detail=True, methods=["post"])
    def test(self, request: Request, webhook_id: str) -> Response:  # noqa: ARG002
        """Put an event that says nothing into the webhook's box; it is sent within a second. 409 when it is off."""
        webhook = self.get_object()
        if not webhook.enabled:
            raise ConflictError(_("The webhook is switched off."))
        row = outbox.put_test(webhook, timezone.now())
        return Response(WebhookDeliverySerializer(row).data, status=202)

    @extend_schema(
        summary="Tell events again",
        request=ReplaySerializer,
        responses={202: ReplayingSerializer},
        examples=[
            OpenApiExample("From a moment on", value={"since": "2024-01-15T00:00:00Z"}, request_only=True),
            OpenApiExample("It goes", value={"replaying": True}, response_only=True, status_codes=["202"]),
        ],
    )
    @action(detail=True, methods=["post"])
    def replay(self, request: Request, webhook_id: str) -> Response:  # noqa: ARG002
        """Tell again what the message log has of a time, with the same ids as then. 409 while a replay goes on."""
        webhook = self.get_object()
        given = ReplaySerializer(data=request.data)
        given.is_valid(raise_exception=True)
        if webhook.replay_after is not None:
            raise ConflictError(_("A replay is under way."))
        if not webhook.enabled:
            raise ConflictError(_("The webhook is switched off."))
        since, until = given.validated_data["since"], given.validated_data.get("until")
        with transaction.atomic():
            found = outbox.replay(webhook, since, until)
            span = {"since": since.isoformat(), "until": until and until.isoformat()}
            self._record("webhook_replayed", webhook, span)
        return Response({"replaying": found}, status=202)

    @extend_schema(
        summary="What a webhook has not taken",
        parameters=[OpenApiParameter("state", str, enum=list(_STATES))],
        responses=WebhookDeliverySerializer(many=True),
    )
    @action(detail=True, methods=["get"], pagination_class=BoundedPagination, collection_name="deliveries")
    def deliveries(self, request: Request, webhook_id: str) -> Response:  # noqa: ARG002
        """List events that wait, and those that were given up, the oldest first. What was taken is not kept."""
        webhook = self.get_object()
        state = choice(request, "state", _STATES)
        rows = WebhookDelivery.objects.filter(webhook=webhook).order_by("pk")
        if state:
            rows = rows.filter(failed_at__isnull=state == "waiting")
        page: Sequence[WebhookDelivery] = self.paginate_queryset(rows) or []  # type: ignore[arg-type] # of the box
        return self.get_paginated_response(WebhookDeliverySerializer(page, many=True).data)

    def known_total(self, request: Request) -> int | None:  # noqa: ARG002 - the paginator passes it
        """Nobody counts them."""
        return None

    def _record(self, verb: str, webhook: Webhook, detail: Mapping[str, Any]) -> None:
        known = {"target": f"webhook_{webhook.pk}", "name": webhook.url, **detail}
        record(verb, AuditEntry.EventType.CONFIGURATION_CHANGE, request=self.request, metadata=known)
