"""Performance over HTTP: the figures, what they advise, and what was tuned."""

from dataclasses import asdict

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import mixins, viewsets
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from a3mailer_site.api.fields import number_of
from a3mailer_site.api.switches import DRY_RUN, EXPLAIN, explained, is_dry_run
from monitoring import examples, performance, recommendations, server, tuning
from monitoring.health import findings
from monitoring.models import Optimization
from monitoring.serializers import (
    OptimizationSerializer,
    OptimizedSerializer,
    OptimizeSerializer,
    PerformanceSerializer,
    RecommendationsSerializer,
)


class PerformanceStatsView(APIView):
    """``GET /api/v1/performance/stats``."""

    @extend_schema(
        summary="Connections, caches and requests in numbers",
        parameters=[EXPLAIN],
        responses=PerformanceSerializer,
        examples=[OpenApiExample("reference", examples.PERFORMANCE, response_only=True)],
    )
    def get(self, request: Request) -> Response:
        """Say how well the server does. What nothing was measured of is null."""
        answer = server.figures()
        return Response(explained(request, performance.stats(answer), performance.sources(answer)))


class RecommendationsView(APIView):
    """``GET /api/v1/performance/recommendations``."""

    @extend_schema(
        summary="What would do the server good",
        responses=RecommendationsSerializer,
        examples=[OpenApiExample("reference", examples.RECOMMENDATIONS, response_only=True)],
    )
    def get(self, request: Request) -> Response:  # noqa: ARG002 - the framework passes it
        """Give advice that rests on measured numbers; the list is empty when all is well."""
        known = recommendations.facts(server.figures(), findings())
        return Response({"recommendations": [asdict(one) for one in recommendations.recommendations(known)]})


class OptimizeView(APIView):
    """``POST /api/v1/performance/optimize``."""

    strict = {"post"}
    costly = {"post": (10, 60)}

    @extend_schema(
        summary="Tune the running server",
        request=OptimizeSerializer,
        parameters=[DRY_RUN],
        responses=OptimizedSerializer,
        examples=[
            OpenApiExample("reference", examples.OPTIMIZE, request_only=True),
            OpenApiExample("applied", examples.OPTIMIZED, response_only=True, status_codes=["200"]),
        ],
    )
    def post(self, request: Request) -> Response:
        """Put values in force in all processes, at once and for good. What does not fit this machine is rejected."""
        serializer = OptimizeSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        wanted = [(one["type"], one["value"]) for one in serializer.validated_data["optimizations"]]
        return Response(tuning.apply(wanted, request, dry_run=is_dry_run(request)))


class OptimizationViewSet(mixins.ListModelMixin, viewsets.GenericViewSet[Optimization]):
    """What was tuned, the newest first, and taking it back."""

    queryset = Optimization.objects.all()
    serializer_class = OptimizationSerializer
    collection_name = "optimizations"
    strict = {"revert"}
    costly = {"revert": (10, 60)}

    @extend_schema(summary="What was tuned")
    def list(self, request: Request, *args: object, **kwargs: object) -> Response:
        """List what was tuned, the newest first."""
        return super().list(request, *args, **kwargs)

    @extend_schema(
        summary="Take a tuned value back",
        request=None,
        parameters=[OpenApiParameter("optimization_id", str, OpenApiParameter.PATH)],
        responses=OptimizationSerializer,
        examples=[OpenApiExample("taken back", examples.REVERTED, response_only=True, status_codes=["200"])],
    )
    def revert(self, request: Request, optimization_id: str) -> Response:
        """Put the value before in force again; 409 when that is done already or it was changed since then."""
        row = self.get_object_named(optimization_id)
        return Response(self.get_serializer(tuning.revert(row, request)).data)

    def get_object_named(self, text: str) -> Optimization:
        """Return the entry; raises ``Http404``."""
        self.kwargs["pk"] = number_of(text, "optimization_")
        return self.get_object()
