"""Messages in the queue, and the queue's trash, over HTTP."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from django.db import transaction
from django.db.models import Count, Exists, Min, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import Http404
from django.utils import timezone
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from a3mailer_site.api.errors import ConflictError
from a3mailer_site.api.fields import number_of
from a3mailer_site.api.pagination import search_text
from a3mailer_site.api.permissions import domains_of
from domains.names import to_ascii
from mailqueue import interventions, purging
from mailqueue.auditing import caller, into_audit
from mailqueue.counts import LANES, tallies
from mailqueue.models import (
    OPEN_STATES,
    Attempt,
    MessageTrace,
    QueuedMessage,
    QueueEntry,
    QueueEntryQuerySet,
    QueuePurge,
)
from mailqueue.pages import BoundedPagination, PageSchema, QueueIdLookup, choice, text_of
from mailqueue.querysets import from_sender, search_messages, to_destination, to_recipient
from mailqueue.reach import own_entries, own_messages, own_traces
from mailqueue.serializers import (
    PURGED,
    STATES,
    PurgedSerializer,
    QueuedMessageDetailSerializer,
    QueuedMessageSerializer,
    QueuePurgeSerializer,
    RestoredSerializer,
    purged_answer,
)

# Attempts that are shown with a message, the last ones.
_ATTEMPTS = 500


@extend_schema_view(list=extend_schema(summary="What was purged, and can be had back for a while"))
class QueuePurgeViewSet(mixins.ListModelMixin, viewsets.GenericViewSet[QueuePurge]):
    """The queue's trash. A key restricted to some domains finds what was purged of its own mail."""

    queryset = QueuePurge.objects.order_by("-pk")
    serializer_class = QueuePurgeSerializer
    pagination_class = BoundedPagination
    lookup_url_kwarg = "purge_id"
    lookup_value_regex = "[^/]+"
    collection_name = "purges"
    filter_backends = []
    per_domain = True

    def known_total(self, request: Request) -> int | None:  # noqa: ARG002 - the paginator passes it
        """Nobody counts them."""
        return None

    def get_queryset(self) -> "QuerySet[QueuePurge]":
        """Purges that can still be undone, or could have been until lately."""
        purges, domains = super().get_queryset(), domains_of(self.request)
        if domains is None:
            return purges
        entries = QueueEntry.objects.filter(own_entries(domains), purge=OuterRef("pk"))
        own = entries.order_by().values("purge").annotate(number=Count("message_id", distinct=True))
        return purges.filter(Exists(entries)).annotate(own=Subquery(own.values("number")))

    @extend_schema(
        summary="Undo a purge",
        request=None,
        responses=RestoredSerializer,
        examples=[OpenApiExample("restored", value={"purge_id": "purge_7", "restored": 20}, response_only=True)],
    )
    @action(detail=True, methods=["post"])
    def undo(self, request: Request, purge_id: str) -> Response:
        """Put back what is still there, with its attempts and times. 409 when it has been undone or is over."""
        self.kwargs["purge_id"] = number_of(purge_id, "purge_")
        act = self.get_object()
        noted = into_audit("queue_purge_undone", request, purge_id=str(act))
        own = own_entries(domains_of(request))
        restored = purging.undo(act, timezone.now(), caller(request), own=own, noted=noted)
        return Response({"purge_id": str(act), "restored": restored})


_PAGE_OF_QUEUE = [
    OpenApiParameter("lane", str, enum=list(LANES)),
    OpenApiParameter("state", str, enum=list(STATES), description="Messages with a recipient in this state."),
    OpenApiParameter("search", str, description="Queue id, <Message-ID>, destination, or how an address begins."),
    OpenApiParameter("sender", str, description="How the sender's address begins."),
    OpenApiParameter("recipient", str, description="How a recipient's address begins."),
    OpenApiParameter("destination", str, description="The domain of a recipient."),
]


@extend_schema_view(list=extend_schema(summary="Messages in the queue, newest first", parameters=_PAGE_OF_QUEUE))
class QueuedMessageViewSet(QueueIdLookup, mixins.ListModelMixin, viewsets.GenericViewSet[QueuedMessage]):
    """Messages in the queue: look, take out, hold, release, try again."""

    queryset = QueuedMessage.objects.exclude(lane="").order_by("-pk")
    serializer_class = QueuedMessageSerializer
    pagination_class = BoundedPagination
    collection_name = "messages"
    lookup_url_kwarg = "message_id"
    lookup_value_regex = "[^/]+"
    filter_backends = []
    per_domain = True
    strict = {"destroy"}
    schema = PageSchema()

    def known_total(self, request: Request) -> int | None:
        """The counters know how many there are in a lane or in a state, and in all."""
        asked = {
            name for name in ("lane", "state", "search", "sender", "recipient", "destination") if _given(request, name)
        }
        if domains_of(request) is not None or len(asked) > 1 or not asked <= {"lane", "state"}:
            return None
        state = request.query_params.get("state", "")
        if state == "active":
            return None
        numbers = tallies()
        lane = request.query_params.get("lane", "")
        name = lane or {"queued": "fresh"}.get(state, state)
        return numbers[name] if name else sum(numbers[each] for each in LANES)

    def get_queryset(self) -> "QuerySet[QueuedMessage]":
        """Narrow to what the caller may see."""
        return own_messages(super().get_queryset(), domains_of(self.request))

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:  # noqa: ARG002 - the router passes them
        """List messages that are not done with; how many there are is known from the counters or counted to 10,000."""
        page = self.paginate_queryset(self._narrowed(request)) or []
        shown = self._shown(page)
        context = {**self.get_serializer_context(), "traces": self._traces(page)}
        return self.get_paginated_response(QueuedMessageSerializer(shown, many=True, context=context).data)

    def _narrowed(self, request: Request) -> "QuerySet[QueuedMessage]":
        messages, own = self.get_queryset(), own_entries(domains_of(request))
        lane, state = choice(request, "lane", LANES), choice(request, "state", STATES)
        if lane:
            messages = messages.filter(lane=lane)
        if state == "active":
            flying = QueueEntry.objects.filter(own).in_flight(timezone.now())
            messages = messages.filter(pk__in=flying.values("message_id"))
        elif state:
            messages = messages.filter(**{{"queued": "fresh"}.get(state, state): True})
        if text := text_of(request, "sender"):
            messages = from_sender(messages, text)
        if text := text_of(request, "recipient"):
            messages = to_recipient(messages, text, own)
        if text := text_of(request, "destination"):
            messages = to_destination(messages, _destination(text), own)
        text = search_text(request)
        return search_messages(messages, text, own) if text else messages

    def _shown(self, page: Iterable[QueuedMessage]) -> Sequence[QueuedMessage]:
        """Return the messages of a page with what only their entries say; one query."""
        ids = [message.pk for message in page]
        now, own = timezone.now(), own_entries(domains_of(self.request))
        entries = QueueEntry.objects.filter(own, message=OuterRef("pk"))
        waiting = entries.open().order_by().values("message_id")
        rows = QueuedMessage.objects.filter(pk__in=ids).annotate(
            flying=Exists(entries.in_flight(now)),
            recipient_count=Coalesce(Subquery(waiting.annotate(number=Count("pk")).values("number")), 0),
            next_attempt_at=Subquery(
                waiting.filter(state=QueueEntry.State.QUEUED).annotate(next=Min("next_attempt_at")).values("next")
            ),
        )
        return list(rows.order_by("-pk"))

    def _traces(self, messages: Iterable[QueuedMessage]) -> dict[int, MessageTrace]:
        """Return a trace of each message: subject and Message-ID are the same in all of them."""
        traces = MessageTrace.objects.filter(message__in=[message.pk for message in messages])
        first = traces.values("message").annotate(first=Min("pk")).values("first")
        return {trace.message: trace for trace in MessageTrace.objects.filter(pk__in=first)}

    @extend_schema(summary="One message in the queue", responses=QueuedMessageDetailSerializer)
    def retrieve(self, request: Request, message_id: str) -> Response:  # noqa: ARG002 - the framework passes them
        """Show a message with its recipients and every attempt, with the other server's own words."""
        return Response(self._detail(self.number()))

    def _detail(self, number: int) -> dict[str, Any]:
        found = self.get_queryset().filter(pk=number).first()
        shown = self._shown([found]) if found is not None else []
        if not shown:
            raise Http404
        entries = list(self._entries(number).exclude(state=QueueEntry.State.PURGED).order_by("pk"))
        traces = own_traces(MessageTrace.objects.filter(message=number), domains_of(self.request)).order_by("pk")
        recipients = {trace.pk: trace.recipient for trace in traces}
        attempts = Attempt.objects.filter(message=number)
        if domains_of(self.request) is not None:
            attempts = attempts.filter(trace_id__in=list(recipients))
        context = {
            **self.get_serializer_context(),
            "traces": {trace.message: trace for trace in traces[:1]},
            "entries": entries,
            "attempts": list(attempts.order_by("-pk")[:_ATTEMPTS])[::-1],
            "recipients": recipients,
        }
        return dict(QueuedMessageDetailSerializer(shown[0], context=context).data)

    def _entries(self, number: int) -> QueueEntryQuerySet:
        return QueueEntry.objects.filter(own_entries(domains_of(self.request)), message_id=number)

    @extend_schema(
        summary="Take a message out of the queue, into the trash",
        responses={200: PurgedSerializer},
        examples=[OpenApiExample("purged", value={**PURGED, "deleted": 1, "skipped_active": 0}, response_only=True)],
    )
    def destroy(self, request: Request, message_id: str) -> Response:
        """Take one message out of the queue; nobody is told, and it can be undone. 409 while it is in flight."""
        entries, lane = self._at_rest()
        noted = into_audit("queue_purge", request, message_id=message_id)
        done = purging.purge(entries, timezone.now(), caller(request), message=self.number(), noted=noted)
        if done.skipped_active or not done.deleted:
            raise ConflictError(_("The message is being delivered just now."))
        return Response(purged_answer(lane, done))

    @extend_schema(summary="Try a message again now", request=None, responses={200: QueuedMessageDetailSerializer})
    @action(detail=True, methods=["post"])
    def retry(self, request: Request, message_id: str) -> Response:  # noqa: ARG002 - the number is read from the path
        """Let the deferred recipients of a message be tried now. 409 while it is in flight, or held."""
        return self._intervene(request, interventions.retry)

    @extend_schema(summary="Hold a message", request=None, responses={200: QueuedMessageDetailSerializer})
    @action(detail=True, methods=["post"])
    def hold(self, request: Request, message_id: str) -> Response:  # noqa: ARG002
        """Keep a message from being tried until it is released. 409 while it is in flight."""
        return self._intervene(request, interventions.hold)

    @extend_schema(summary="Release a held message", request=None, responses={200: QueuedMessageDetailSerializer})
    @action(detail=True, methods=["post"])
    def release(self, request: Request, message_id: str) -> Response:  # noqa: ARG002
        """Let a message be tried again, now."""
        return self._intervene(request, interventions.release)

    def _intervene(self, request: Request, act: Callable[..., int]) -> Response:
        entries, _lane = self._at_rest()
        if act is interventions.retry and not entries.filter(state=QueueEntry.State.QUEUED).exists():
            raise ConflictError(_("The message is held: release it first."))
        now = timezone.now()
        with transaction.atomic():
            changed = act(entries, now, caller(request), into_audit(f"queue_{act.__name__}", request))
        if not changed and entries.in_flight(now).exists():  # a worker was faster
            raise ConflictError(_("The message is being delivered just now."))
        return Response(self._detail(self.number()))

    def _at_rest(self) -> tuple[QueueEntryQuerySet, str]:
        """Return the entries of the message that the caller may change, and its lane; raises 404, and 409 in flight."""
        number = self.number()
        message = self.get_queryset().filter(pk=number).first()
        entries = self._entries(number).filter(state__in=OPEN_STATES)
        if message is None:
            raise Http404
        if entries.in_flight(timezone.now()).exists():
            raise ConflictError(_("The message is being delivered just now."))
        if not entries.exists():
            raise Http404
        return entries, message.lane


def _given(request: Request, name: str) -> bool:
    return bool(request.query_params.get(name, "").strip())


def _destination(text: str) -> str:
    try:
        return text.lower() if text.startswith("[") else to_ascii(text)
    except ValueError as error:
        raise serializers.ValidationError({"destination": _("This is not a domain name.")}) from error
