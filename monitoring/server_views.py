"""The server over HTTP: what it is, how it is, restart and reload."""

from typing import Any

from django.db import Error
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from a3mailer_site.api.peers import is_loopback
from a3mailer_site.api.permissions import domains_of, granted
from a3mailer_site.api.switches import DRY_RUN, is_dry_run
from monitoring import examples, server
from monitoring.health import check, detailed, health, readiness
from monitoring.serializers import (
    ComponentCheckSerializer,
    HealthSerializer,
    ReadinessSerializer,
    ReloadSerializer,
    RestartSerializer,
    ServerInfoSerializer,
)
from security.audit import record
from security.models import AuditEntry


class ServerInfoView(APIView):
    """``GET /api/v1/server/info``."""

    @extend_schema(
        summary="What server this is",
        responses=ServerInfoSerializer,
        examples=[OpenApiExample("reference", examples.SERVER_INFO, response_only=True)],
    )
    def get(self, request: Request) -> Response:  # noqa: ARG002 - the framework passes it
        """Say what server this is, since when it runs and what it listens on."""
        return Response(server.info())


class ServerRestartView(APIView):
    """``POST /api/v1/server/restart``."""

    strict = {"post"}
    costly = {"post": (2, 60)}

    @extend_schema(
        summary="Restart the server",
        request=None,
        responses={202: RestartSerializer},
        examples=[OpenApiExample("accepted", examples.RESTART, response_only=True, status_codes=["202"])],
    )
    def post(self, request: Request) -> Response:
        """Replace all processes one after the other. No connection is refused, and what is in flight is finished.

        409 while a restart is under way, or when no process could start with the settings as they are now.
        """
        try:
            server.restart()
        except Exception:
            _write_down("server_restart", request, AuditEntry.Outcome.FAILURE)
            raise
        _write_down("server_restart", request, AuditEntry.Outcome.SUCCESS)
        request_id = getattr(request, "request_id", "")
        return Response({"status": "restarting", "request_id": request_id}, status=202)


class ServerReloadView(APIView):
    """``POST /api/v1/server/reload``."""

    strict = {"post"}
    costly = {"post": (10, 60)}

    @extend_schema(
        summary="Reload settings and certificates",
        request=None,
        parameters=[DRY_RUN],
        responses=ReloadSerializer,
        examples=[OpenApiExample("reloaded", examples.RELOAD, response_only=True, status_codes=["200"])],
    )
    def post(self, request: Request) -> Response:
        """Check settings and certificates as they are now, in every process, then put all of them in force at once.

        400 with the reason when anything is invalid; then everything stays as it is. Open connections live on.
        """
        dry_run = is_dry_run(request)
        try:
            answer = server.reload(dry_run=dry_run)
        except Exception:
            if not dry_run:
                _write_down("server_reload", request, AuditEntry.Outcome.FAILURE)
            raise
        if not dry_run:
            _write_down("server_reload", request, AuditEntry.Outcome.SUCCESS, {"changes": answer["changes"]})
        return Response(answer)


def _write_down(
    action: str, request: Request, outcome: AuditEntry.Outcome, metadata: dict[str, Any] | None = None
) -> None:
    """Audit what was done to the processes: when it is done, for only then is known how it ended."""
    severity = AuditEntry.Severity.WARNING if action == "server_restart" else AuditEntry.Severity.INFO
    record(
        action,
        AuditEntry.EventType.SYSTEM,
        request=request,
        severity=severity,
        outcome=outcome,
        metadata=metadata,
    )


class OpenView(APIView):
    """A view for everybody. Whose key it is is looked at only when it matters: the database may be away."""

    permission_classes = [AllowAny]

    def perform_authentication(self, request: Request) -> None:
        """Put it off."""

    @staticmethod
    def sees_all(request: Request) -> bool:
        """Say whether the caller is on this machine or may read; who cannot be known is a stranger."""
        if is_loopback(request._request):
            return True
        try:
            return "read" in granted(request) and domains_of(request) is None
        except Error:
            return False


class HealthView(OpenView):
    """``GET /health``: for everybody, but strangers learn no details."""

    @extend_schema(
        summary="How the server is",
        responses={200: HealthSerializer, 503: HealthSerializer},
        examples=[OpenApiExample("reference", examples.HEALTH, response_only=True, status_codes=["200"])],
    )
    def get(self, request: Request) -> Response:
        """Say how the server is; 503 when it is unhealthy."""
        answer = health()
        if not self.sees_all(request):
            answer = {name: answer[name] for name in ("status", "timestamp")}
        return Response(answer, status=503 if answer["status"] == "unhealthy" else 200)


class HealthDetailedView(APIView):
    """``GET /api/v1/health/detailed``."""

    @extend_schema(
        summary="How every part of the server is",
        responses={200: HealthSerializer, 503: HealthSerializer},
        examples=[OpenApiExample("detailed", examples.DETAILED, response_only=True, status_codes=["200"])],
    )
    def get(self, request: Request) -> Response:  # noqa: ARG002 - the framework passes it
        """Say how every part is; 503 when one is unhealthy. What is switched off is not in the answer."""
        answer = detailed()
        return Response(answer, status=503 if answer["status"] == "unhealthy" else 200)


class HealthCheckView(APIView):
    """``POST /api/v1/health/check/{component}``."""

    costly = {"post": (30, 60)}

    @extend_schema(
        summary="Check one part now",
        request=None,
        parameters=[OpenApiParameter("component", str, OpenApiParameter.PATH, description="As in `health/detailed`.")],
        responses=ComponentCheckSerializer,
        examples=[OpenApiExample("checked", examples.CHECKED, response_only=True, status_codes=["200"])],
    )
    def post(self, request: Request, component: str) -> Response:  # noqa: ARG002 - the framework passes it
        """Run one probe now and say what it found; 404 for what there is not."""
        return Response(check(component))


class ReadyView(OpenView):
    """``GET /ready``: for load balancers and start-up scripts."""

    @extend_schema(
        summary="Whether everything that is switched on answers",
        responses={200: ReadinessSerializer, 503: ReadinessSerializer},
        examples=[OpenApiExample("reference", examples.READY, response_only=True, status_codes=["200"])],
    )
    def get(self, request: Request) -> Response:
        """Say whether everything that is switched on answers; 503 when something does not."""
        answer = readiness()
        if not self.sees_all(request):
            answer = {name: answer[name] for name in ("ready", "timestamp", "services")}
        return Response(answer, status=200 if answer["ready"] else 503)
