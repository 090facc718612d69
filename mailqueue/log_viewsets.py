"""The message log over HTTP: what became of a message that came or went."""

from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Any

from django.db.models import Q
from django.http import Http404
from django.utils.dateparse import parse_date, parse_datetime
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from a3mailer_site.api.pagination import MAX_LIMIT, EnvelopePagination, search_text
from a3mailer_site.api.permissions import domains_of
from mailqueue.acts import with_acts
from mailqueue.models import MessageEvent, MessageTrace
from mailqueue.pages import LogPagination, PageSchema, QueueIdLookup, choice, text_of
from mailqueue.querysets import Wanted, find_in_log
from mailqueue.reach import own_traces
from mailqueue.serializers import (
    DIRECTIONS,
    EventSerializer,
    LoggedMessageSerializer,
    MessageSerializer,
    message_of,
    moment,
)
from mailqueue.timeline import facts, steps

_PAGE_OF_LOG = [
    OpenApiParameter("sender", str, description="The sender's address, or how it begins."),
    OpenApiParameter("recipient", str, description="The recipient's address, or how it begins."),
    OpenApiParameter("message_id", str, description="The Message-ID of the header."),
    OpenApiParameter("since", str, description="A time, or a day: from its beginning (UTC)."),
    OpenApiParameter("until", str, description="A time, or a day: to its end (UTC)."),
    OpenApiParameter("outcome", str, enum=MessageTrace.Status.values),
    OpenApiParameter("direction", str, enum=list(DIRECTIONS)),
    OpenApiParameter("search", str, description="Queue id, <Message-ID>, or how an address begins."),
]


@extend_schema_view(list=extend_schema(summary="Search the message log, newest first", parameters=_PAGE_OF_LOG))
class MessageViewSet(QueueIdLookup, mixins.ListModelMixin, viewsets.GenericViewSet[MessageTrace]):
    """Every message that came or went in the last ``A3MAILER_EVENT_DAYS``, one row a recipient."""

    queryset = MessageTrace.objects.order_by("-pk")
    serializer_class = LoggedMessageSerializer
    pagination_class = LogPagination
    collection_name = "messages"
    default_limit = EnvelopePagination.default_limit
    lookup_url_kwarg = "message_id"
    lookup_value_regex = "[^/]+"
    filter_backends = []
    per_domain = True
    schema = PageSchema()

    def known_total(self, request: Request) -> int | None:  # noqa: ARG002 - the paginator passes it
        """Nobody counts the log."""
        return None

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:  # noqa: ARG002 - the router passes them
        """Find messages. With a time in ``searched_from`` only the 200,000 newest were looked at: no index helps."""
        found, floor = find_in_log(
            Wanted(
                sender=text_of(request, "sender"),
                recipient=text_of(request, "recipient"),
                message_id=text_of(request, "message_id", 1000),
                search=search_text(request),
                since=_moment(request, "since", end=False),
                until=_moment(request, "until", end=True),
                status=choice(request, "outcome", MessageTrace.Status.values),
                direction=DIRECTIONS.get(choice(request, "direction", DIRECTIONS), ""),
                domains=domains_of(request),
            )
        )
        page = self.paginate_queryset(found)
        response = self.get_paginated_response(self.get_serializer(page, many=True).data)
        oldest = MessageTrace.objects.filter(pk=floor).values_list("at", flat=True).first() if floor else None
        response.data["searched_from"] = moment(oldest) if oldest else None
        return response

    @extend_schema(summary="A message and what became of it for each recipient", responses=MessageSerializer)
    def retrieve(self, request: Request, message_id: str) -> Response:  # noqa: ARG002 - the number is read from the path
        """Show a message that came or went."""
        return Response(MessageSerializer(message_of(self._traces())).data)

    def _traces(self) -> Sequence[MessageTrace]:
        traces = MessageTrace.objects.filter(message=self.number()).order_by("pk")
        found = list(own_traces(traces, domains_of(self.request)))
        if not found:
            raise Http404
        return found

    @extend_schema(summary="Everything that happened to a message, oldest first", responses=EventSerializer(many=True))
    @action(
        detail=True,
        methods=["get"],
        pagination_class=EnvelopePagination,
        collection_name="events",
        default_limit=MAX_LIMIT,
    )
    def events(self, request: Request, message_id: str) -> Response:  # noqa: ARG002
        """Tell the story of a message: the facts, and the same in words of the caller's language."""
        recipients = {trace.pk: trace.recipient for trace in self._traces()}
        events = MessageEvent.objects.filter(message=self.number()).order_by("pk")
        if domains_of(request) is not None:
            events = events.filter(Q(trace_id__isnull=True) | Q(trace_id__in=list(recipients)))
        page: Sequence[MessageEvent] = self.paginate_queryset(with_acts(events)) or []  # type: ignore[arg-type] # not of traces
        told = [
            {
                "kind": event.kind,
                "time": event.at,
                "recipient": step.recipient,
                "detail": facts(event),
                "title": step.title,
                "text": step.text,
                "quote": step.quote,
                "tone": step.tone,
            }
            for event, step in zip(page, steps(page, recipients), strict=True)
        ]
        return self.get_paginated_response(EventSerializer(told, many=True).data)


def _moment(request: Request, name: str, *, end: bool) -> datetime | None:
    """Read a time or a day (UTC) out of the query; the end of what it names, or the beginning."""
    text = str(request.query_params.get(name, "")).strip()
    if not text:
        return None
    try:
        day = parse_date(text)
        if day is not None:
            at = datetime.combine(day, time(), UTC)
            return at + timedelta(days=1) if end else at
        found = parse_datetime(text.replace(" ", "+") if "T" in text else text)  # a plus that was not encoded
        if found is not None:
            at = found if found.tzinfo is not None else found.replace(tzinfo=UTC)
            at = at.astimezone(UTC)
            return at + timedelta(seconds=1) if end else at
    except (ValueError, OverflowError):
        pass
    raise serializers.ValidationError({name: _("This must be a time such as 2024-01-15T10:30:00Z, or a day.")})
