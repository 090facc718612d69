"""Metrics over HTTP: views without a model behind them."""

from typing import Any

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from prometheus_client import REGISTRY, generate_latest
from rest_framework.request import Request
from rest_framework.views import APIView

from a3mailer_site.api.peers import is_loopback
from a3mailer_site.api.permissions import ScopePermission


class LoopbackOrScope(ScopePermission):
    """This machine, or who may read."""

    def has_permission(self, request: Request, view: Any) -> bool:
        """Say whether the call may go on."""
        return is_loopback(request._request) or super().has_permission(request, view)


class MetricsView(APIView):
    """``GET /metrics``: figures of this process for Prometheus."""

    permission_classes = [LoopbackOrScope]

    @extend_schema(exclude=True)
    def get(self, request: Request) -> HttpResponse:  # noqa: ARG002 - the framework passes it
        """Return the text format."""
        return HttpResponse(generate_latest(REGISTRY), content_type="text/plain; version=0.0.4; charset=utf-8")
