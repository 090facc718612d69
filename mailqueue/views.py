"""The queue as a whole over HTTP: how full it is, emptying a lane, trying everything again."""

from datetime import datetime
from typing import Any

from django.db.models import Count, Q
from django.http import Http404
from django.utils import timezone
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from a3mailer_site.api.permissions import domains_of
from a3mailer_site.api.switches import DRY_RUN, is_dry_run
from mailqueue import interventions, purging
from mailqueue.auditing import caller, into_audit
from mailqueue.counts import LANES, counts, tallies
from mailqueue.models import QueueEntry, QueueEntryQuerySet
from mailqueue.reach import own_entries
from mailqueue.serializers import (
    PURGED,
    PurgedSerializer,
    QueueStatusSerializer,
    RetriedSerializer,
    RetrySerializer,
    purged_answer,
)

_STATUS = {
    "total_messages": 150,
    "active_messages": 10,
    "deferred_messages": 5,
    "bounced_messages": 2,
    "queues": {"incoming": 50, "outgoing": 75, "retry": 20, "bounce": 5},
}


class QueueStatusView(APIView):
    """``GET /api/v1/queue/status``. Of the whole server, so not for keys that are restricted to some domains."""

    @extend_schema(
        summary="How many messages are in the queue",
        responses=QueueStatusSerializer,
        examples=[OpenApiExample("queue status", value=_STATUS, response_only=True)],
    )
    def get(self, request: Request) -> Response:  # noqa: ARG002 - the framework passes it
        """Answer from counters that change with every transaction: lanes sum to the total, states may overlap."""
        number = counts()
        return Response(
            {
                "total_messages": number["total"],
                "active_messages": number["active"],
                "deferred_messages": number["deferred"],
                "bounced_messages": number["bounced"],
                "queues": {lane: number[lane] for lane in LANES},
            }
        )


class QueuePurgeView(APIView):
    """``DELETE /api/v1/queue/{queue_name}``. Of the whole server, so not for keys restricted to some domains."""

    strict = {"delete"}
    costly = {"delete": (10, 60)}

    @extend_schema(
        summary="Empty a queue, into the trash",
        parameters=[DRY_RUN, OpenApiParameter("queue_name", str, OpenApiParameter.PATH, enum=list(LANES))],
        responses={200: PurgedSerializer},
        examples=[OpenApiExample("purged", value=PURGED, response_only=True)],
    )
    def delete(self, request: Request, queue_name: str) -> Response:
        """Take all messages of a lane out of the queue, except those in flight. Nobody is told; it can be undone."""
        if queue_name not in LANES:
            raise Http404
        now, entries = timezone.now(), QueueEntry.objects.in_lane(queue_name)
        if is_dry_run(request):
            flying = _messages_of(entries.in_flight(now).open())
            # Entries in flight are few; the lane itself is in the counters.
            there = max(tallies()[queue_name] - flying, 0)
            return Response(purged_answer(queue_name, purging.Purged(there, flying)))
        noted = into_audit("queue_purged", request, queue=queue_name)
        done = purging.purge(entries, now, caller(request), queue=queue_name, noted=noted)
        if not done.deleted:
            noted([])  # asking for it is an act, too
        return Response(purged_answer(queue_name, done))


def _messages_of(entries: QueueEntryQuerySet) -> int:
    return int(entries.aggregate(messages=Count("message_id", distinct=True))["messages"])


class QueueRetryView(QueuePurgeView):
    """``POST /api/v1/queue/retry``; and ``DELETE``, as this is the name of a lane, too."""

    per_domain = True
    costly = {"post": (30, 60), **QueuePurgeView.costly}

    @extend_schema(
        summary="Try deferred messages again now",
        parameters=[DRY_RUN],
        request=RetrySerializer,
        responses={202: RetriedSerializer},
        examples=[
            OpenApiExample("everything", value={}, request_only=True),
            OpenApiExample("one domain", value={"queue": "retry", "domain": "example.org"}, request_only=True),
            OpenApiExample("retried", value={"retried": 19, "skipped": 1}, response_only=True, status_codes=["202"]),
        ],
    )
    def post(self, request: Request) -> Response:
        """Let deferred recipients be tried now. More than a hundred are spread a little; limits stay in force."""
        serializer = RetrySerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        wanted, now = serializer.validated_data, timezone.now()
        entries: QueueEntryQuerySet = QueueEntry.objects.filter(own_entries(domains_of(request)))
        if "queue" in wanted:
            entries = entries.in_lane(wanted["queue"])
        if "domain" in wanted:
            entries = entries.filter(destination=wanted["domain"])
        if "message_ids" in wanted:
            entries = entries.filter(message_id__in=wanted["message_ids"])
        deferred = interventions.deferred(entries, now)
        flying = _messages_of(deferred.in_flight(now))
        if is_dry_run(request):
            retried = _messages_of(deferred.filter(Q(lease_until__isnull=True) | Q(lease_until__lte=now)))
        else:
            retried = self._retry(request, entries, now, wanted)
        meant = wanted.get("message_ids")
        skipped = flying if meant is None else len(meant) - retried
        return Response({"retried": retried, "skipped": skipped}, status=202)

    @extend_schema(exclude=True)  # it stands there as one of the lanes
    def delete(self, request: Request, queue_name: str = "retry") -> Response:
        """Empty the lane ``retry``."""
        if domains_of(request) is not None:
            raise PermissionDenied(_("This key is restricted to some domains."))
        return super().delete(request, queue_name)

    def _retry(self, request: Request, entries: Any, now: datetime, wanted: dict[str, Any]) -> int:
        named = {name: value for name, value in wanted.items() if name != "message_ids"}
        audit, retried = into_audit("queue_retry", request, **named), 0

        def noted(queue_ids: list[str]) -> None:
            nonlocal retried
            audit(queue_ids)
            retried += len(queue_ids)

        interventions.retry(entries, now, caller(request), noted)
        if not retried:
            audit([])
        return retried
