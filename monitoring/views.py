"""Server facts and health over HTTP: views without a model behind them."""

from drf_spectacular.utils import extend_schema
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from a3mailer_site.api.peers import is_loopback
from a3mailer_site.api.permissions import granted
from monitoring import server
from monitoring.health import health, readiness
from monitoring.serializers import HealthSerializer, ReadinessSerializer, ServerInfoSerializer


class ServerInfoView(APIView):
    """``GET /api/v1/server/info``."""

    @extend_schema(responses=ServerInfoSerializer)
    def get(self, request: Request) -> Response:  # noqa: ARG002 - the framework passes it
        """Say what server this is, since when it runs and what it listens on."""
        return Response(server.info())


class HealthView(APIView):
    """``GET /health``: for everybody, but strangers learn no details."""

    permission_classes = [AllowAny]

    @extend_schema(responses={200: HealthSerializer, 503: HealthSerializer})
    def get(self, request: Request) -> Response:
        """Say how the server is; 503 when it is unhealthy."""
        answer = health()
        if not (is_loopback(request._request) or "read" in granted(request)):
            answer = {name: answer[name] for name in ("status", "timestamp")}
        return Response(answer, status=503 if answer["status"] == "unhealthy" else 200)


class ReadyView(APIView):
    """``GET /ready``: for load balancers and start-up scripts."""

    permission_classes = [AllowAny]

    @extend_schema(responses={200: ReadinessSerializer, 503: ReadinessSerializer})
    def get(self, request: Request) -> Response:  # noqa: ARG002 - the framework passes it
        """Say whether everything that is switched on answers; 503 when something does not."""
        answer = readiness()
        return Response(answer, status=200 if answer["ready"] else 503)
