"""Metrics over HTTP: of the machine, of the server's own work, for Prometheus, and those that others give us."""

from typing import Any

from django.conf import settings
from django.db import InterfaceError, OperationalError, transaction
from django.db.models import Count, Max, QuerySet
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema
from prometheus_client import REGISTRY, generate_latest
from rest_framework.generics import ListAPIView
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from a3mailer_site.api.peers import is_among
from a3mailer_site.api.permissions import ScopePermission
from a3mailer_site.api.switches import EXPLAIN, explained
from a3mailer_site.env import current
from mailqueue import counts
from monitoring import counted, custom, exposition, machine, metric_answers, server
from monitoring import metric_examples as examples
from monitoring.metric_serializers import (
    ApplicationMetricsSerializer,
    CustomMetricListSerializer,
    CustomMetricSerializer,
    NewSampleSerializer,
    StoredSampleSerializer,
    SystemMetricsSerializer,
)
from monitoring.models import CustomMetric, CustomSeries
from security.audit import changed, record
from security.models import AuditEntry

_NAME = OpenApiParameter(
    "metric_name", {"type": "string", "pattern": f"^{custom.NAME_PATTERN}$"}, OpenApiParameter.PATH
)


class SystemMetricsView(APIView):
    """``GET /api/v1/metrics/system``."""

    @extend_schema(
        summary="Metrics of the machine",
        parameters=[EXPLAIN],
        responses=SystemMetricsSerializer,
        examples=[OpenApiExample("reference", examples.SYSTEM, response_only=True)],
    )
    def get(self, request: Request) -> Response:
        """Say how much of processor, memory, disk and network is used, as far as this server may use them."""
        answer = metric_answers.system(counted.ask())
        return Response(explained(request, answer.body, answer.sources))


class ApplicationMetricsView(APIView):
    """``GET /api/v1/metrics/application``."""

    @extend_schema(
        summary="Metrics of the server's own work",
        parameters=[EXPLAIN],
        responses=ApplicationMetricsSerializer,
        examples=[OpenApiExample("reference", examples.APPLICATION, response_only=True)],
    )
    def get(self, request: Request) -> Response:
        """Say how many requests were answered and how fast, who is logged in, what waits, and how the caches do."""
        answer = metric_answers.application(counted.ask(), counts.counts())
        return Response(explained(request, answer.body, answer.sources))


class ScraperOrScope(ScopePermission):
    """Who may scrape without a key (``A3MAILER_METRICS_ALLOW``), or who may read."""

    def has_permission(self, request: Request, view: Any) -> bool:
        """Say whether the call may go on."""
        allowed = current().metrics_allow
        if allowed != "off" and is_among(request._request, allowed):
            return True
        return super().has_permission(request, view)


class WhateverIsAccepted(BaseContentNegotiation):
    """Scrapers ask for many forms, some of which are none of ours. There is one; errors are JSON all the same."""

    def select_parser(self, request: Request, parsers: Any) -> Any:  # noqa: ARG002 - the framework passes it
        """Return the only parser."""
        return parsers[0]

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:  # noqa: ARG002
        """Return the renderer of errors."""
        return renderers[0], renderers[0].media_type


class MetricsView(APIView):
    """``GET /metrics``: everything for Prometheus, over all processes."""

    permission_classes = [ScraperOrScope]
    content_negotiation_class = WhateverIsAccepted

    @extend_schema(
        summary="All metrics for Prometheus",
        responses={(200, "text/plain"): OpenApiResponse(OpenApiTypes.STR, "Prometheus' text format, version 0.0.4.")},
        examples=[OpenApiExample("reference", examples.PROMETHEUS, response_only=True, media_type="text/plain")],
    )
    def get(self, request: Request) -> HttpResponse:  # noqa: ARG002 - the framework passes it
        """Give all figures in the text format: those of the reference, ours, the web process's, and custom ones."""
        all_of_us, use = counted.ask(), machine.meter.use()
        page = exposition.Page()
        exposition.add_reference(page, None if use is None else round(use.percent, 1), machine.memory().used)
        exposition.add_figures(page, all_of_us)
        exposition.add_build(page, settings.VERSION, server.build_date())
        _add_stored(page)
        return HttpResponse(str(page).encode() + generate_latest(REGISTRY), content_type=exposition.CONTENT_TYPE)


def _add_stored(page: exposition.Page) -> None:
    """Add what is in the database. While it is away there is all the more to see of the rest."""
    try:
        queued = counts.counts()
        series = list(CustomSeries.objects.select_related("metric").order_by("metric__name", "pk"))
    except (OperationalError, InterfaceError):
        exposition.add_database(page, is_up=False)
        return
    exposition.add_database(page, is_up=True)
    exposition.add_queue(page, queued)
    exposition.add_custom(page, series)


class CustomMetricsView(ListAPIView[CustomMetric]):
    """``GET`` and ``POST /api/v1/metrics/custom``."""

    serializer_class = CustomMetricListSerializer
    collection_name = "metrics"
    filter_backends = []

    def get_queryset(self) -> QuerySet[CustomMetric]:
        """Count the series with the metrics."""
        found = CustomMetric.objects.annotate(series_count=Count("series"), updated_at=Max("series__updated_at"))
        return found.order_by("name")

    @extend_schema(summary="List custom metrics")
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """List the metrics, without their values."""
        return super().get(request, *args, **kwargs)

    @extend_schema(
        summary="Store a value of a custom metric",
        request=NewSampleSerializer,
        responses={201: StoredSampleSerializer},
        examples=[
            OpenApiExample("reference", examples.CUSTOM, request_only=True),
            OpenApiExample("stored", examples.STORED, response_only=True, status_codes=["201"]),
        ],
    )
    def post(self, request: Request) -> Response:
        """Add to a counter, set a gauge, or have a histogram observe; answers what is stored now."""
        given = NewSampleSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        sample = given.sample
        with transaction.atomic():
            series, is_new = custom.record_sample(sample, timezone.now())
            if is_new:
                _record("custom_metric_created", request, changed({}, _facts(series.metric)))
        location = f"/api/v1/metrics/custom/{series.metric.name}"
        return Response(StoredSampleSerializer(series).data, status=201, headers={"Location": location})


class CustomMetricView(APIView):
    """``GET`` and ``DELETE /api/v1/metrics/custom/{metric_name}``."""

    @extend_schema(
        summary="Show a custom metric",
        parameters=[_NAME],
        responses=CustomMetricSerializer,
        examples=[OpenApiExample("reference", examples.CUSTOM_SERIES, response_only=True)],
    )
    def get(self, request: Request, metric_name: str) -> Response:  # noqa: ARG002 - the framework passes it
        """Show the metric with the values of all its series."""
        metrics = CustomMetric.objects.prefetch_related("series")
        return Response(CustomMetricSerializer(get_object_or_404(metrics, name=_readable(metric_name))).data)

    @extend_schema(summary="Delete a custom metric", parameters=[_NAME], responses={204: None})
    def delete(self, request: Request, metric_name: str) -> Response:
        """Delete the metric with all its series. The name is free again, also for another type."""
        with transaction.atomic():
            metrics = CustomMetric.objects.select_for_update()
            metric = get_object_or_404(metrics, name=_readable(metric_name))
            _record("custom_metric_deleted", request, changed(_facts(metric), {}))
            metric.delete()
        return Response(status=204)


def _readable(name: str) -> str:
    """Return the name from a path; raises ``Http404`` for what is none."""
    if not custom.is_name(name):
        raise Http404
    return name


def _facts(metric: CustomMetric) -> dict[str, Any]:
    return {"name": metric.name, "type": metric.kind}


def _record(action: str, request: Request, detail: dict[str, Any]) -> None:
    facts = detail["after"] or detail["before"]
    metadata = {"target": f"metric_{facts['name']}", **detail}
    record(action, AuditEntry.EventType.CONFIGURATION_CHANGE, request=request, metadata=metadata)
