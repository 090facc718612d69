"""Rate limits, the overview and the posture checks over HTTP: views without a list of rows behind them."""

import time
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from a3mailer_site.api.fields import StrictIntegerField
from a3mailer_site.api.pagination import MAX_LIMIT, MAX_PAGE, number
from a3mailer_site.api.switches import EXPLAIN, explained
from a3mailer_site.live import set_live
from a3mailer_site.models import Setting
from security import budgets, overview, posture, ratelimits, tallies
from security.audit import changed, record
from security.callers import caller_of
from security.models import AuditEntry, PostureResult, Tally
from security.ratelimits import LEAST, MOST_REQUESTS, MOST_SECONDS

_LIMITS = {
    "global": {"max_requests": 1000, "window_seconds": 60},
    "per_ip": {"max_requests": 100, "window_seconds": 60},
    "per_user": {"max_requests": 500, "window_seconds": 60},
}
_USAGE = {
    "global": {
        "requests": 42,
        "remaining": 958,
        "authenticated": 40,
        "anonymous": 2,
        "anonymous_max_requests": 500,
    },
    "per_ip": {"requests": 12, "remaining": 88, "ip_address": "192.0.2.7"},
    "per_user": {"requests": 12, "remaining": 488, "caller": "key_3"},
    "violations_last_24h": {"global": 0, "per_ip": 3, "per_user": 0, "costly": 1},
}
_OVERVIEW = {
    "security_score": 0.95,
    "threat_level": "low",
    "active_threats": 2,
    "blocked_ips": 15,
    "failed_auth_attempts": 45,
    "rate_limit_violations": 8,
    "last_security_scan": "2024-01-15T09:00:00Z",
    "security_events": {"last_24h": 23, "last_7d": 156, "last_30d": 678},
}
_CHECKS = {
    "checks": [
        {
            "id": "open_relay",
            "title": "Strangers cannot send mail through this server",
            "status": "pass",
            "weight": 5,
            "detail": "Relaying was refused: 550 5.7.1 Relaying is not allowed",
            "advice": "",
            "checked_at": "2024-01-15T09:00:00Z",
        }
    ],
    "total": 14,
    "page": 1,
    "limit": 50,
    "security_score": 0.95,
}


class _Strict(serializers.Serializer[Any]):
    """Takes the names that it knows: a limit that is misspelt must not be lost in silence."""

    ignored: frozenset[str] = frozenset()

    def to_internal_value(self, data: Any) -> Any:
        """Refuse unknown names."""
        if isinstance(data, dict):
            strange = [str(name) for name in data if name not in self.fields and name not in self.ignored]
            if strange:
                raise serializers.ValidationError({name[:80]: _("There is no such limit.") for name in strange[:5]})
        return super().to_internal_value(data)


def _limit_class(scope: str) -> type[_Strict]:
    fields: dict[str, Any] = {
        "max_requests": StrictIntegerField(required=False, min_value=LEAST[scope], max_value=MOST_REQUESTS),
        "window_seconds": StrictIntegerField(required=False, min_value=1, max_value=MOST_SECONDS),
    }
    return type(f"{scope.title().replace('_', '')}LimitSerializer", (_Strict,), fields)


_LIMIT_CLASSES = {scope: _limit_class(scope) for scope in LEAST}


class RateLimitsSerializer(_Strict):
    """The three limits. What is left out of a change stays as it is."""

    ignored = frozenset({"usage"})  # so that an answer can be sent back

    def get_fields(self) -> dict[str, Any]:
        """Return one field a limit; the name of the first is a word of Python."""
        return {scope: each(required=False) for scope, each in _LIMIT_CLASSES.items()}


_INTEGER = serializers.IntegerField


class RateLimitUsageSerializer(serializers.Serializer[Any]):
    """What is used of the limits: by all, from the caller's address, and by the caller."""

    per_ip = serializers.DictField()
    per_user = serializers.DictField()
    violations_last_24h = serializers.DictField(child=_INTEGER())

    def get_fields(self) -> dict[str, Any]:
        """Add the one whose name is a word of Python."""
        return {"global": serializers.DictField(), **super().get_fields()}


class RateLimitsWithUsageSerializer(RateLimitsSerializer):
    """The three limits, and what is used of them now (``null`` while nobody can count)."""

    def get_fields(self) -> dict[str, Any]:
        """Add the usage."""
        return {**super().get_fields(), "usage": RateLimitUsageSerializer(allow_null=True)}


class OverviewSerializer(serializers.Serializer[Any]):
    """How secure the server is."""

    security_score = serializers.FloatField(allow_null=True, min_value=0, max_value=1)
    threat_level = serializers.ChoiceField(["low", "medium", "high", "critical"])
    active_threats = serializers.IntegerField()
    blocked_ips = serializers.IntegerField()
    failed_auth_attempts = serializers.IntegerField()
    rate_limit_violations = serializers.IntegerField()
    last_security_scan = serializers.DateTimeField(allow_null=True)
    security_events = inline_serializer(
        "SecurityEvents", {"last_24h": _INTEGER(), "last_7d": _INTEGER(), "last_30d": _INTEGER()}
    )
    window = serializers.DictField(child=_INTEGER(), help_text="Seconds that a figure covers.")


class PostureCheckSerializer(serializers.Serializer[Any]):
    """A posture check and what it found last."""

    id = serializers.CharField()
    title = serializers.CharField()
    status = serializers.ChoiceField(PostureResult.Status.choices)
    weight = serializers.IntegerField()
    detail = serializers.CharField(allow_blank=True)
    advice = serializers.CharField(allow_blank=True)
    checked_at = serializers.DateTimeField(allow_null=True)


class ChecksSerializer(serializers.Serializer[Any]):
    """All posture checks."""

    checks = PostureCheckSerializer(many=True)
    total = serializers.IntegerField()
    page = serializers.IntegerField()
    limit = serializers.IntegerField()
    security_score = serializers.FloatField(allow_null=True)


class RateLimitsView(APIView):
    """``GET`` and ``PUT /api/v1/security/rate-limits``. An administrator on this machine always gets here."""

    strict = {"put"}
    break_glass = True

    @extend_schema(
        summary="Show the rate limits and what is used of them",
        responses=RateLimitsWithUsageSerializer,
        examples=[OpenApiExample("limits", {**_LIMITS, "usage": _USAGE}, response_only=True)],
    )
    def get(self, request: Request) -> Response:
        """Show the limits in force, and what is used of them."""
        return Response({**ratelimits.limits().as_json(), "usage": _usage(request)})

    @extend_schema(
        summary="Change the rate limits",
        request=RateLimitsSerializer,
        responses=RateLimitsSerializer,
        examples=[OpenApiExample("reference", _LIMITS)],
    )
    def put(self, request: Request) -> Response:
        """Change what is named and leave the rest; in force in all processes within a second."""
        asked = RateLimitsSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        given = asked.validated_data
        with transaction.atomic():
            stored = Setting.objects.select_for_update().filter(name=ratelimits.SETTING).first()
            before = ratelimits.read(stored.value if stored is not None else None).as_json()
            after = {scope: {**limit, **given.get(scope, {})} for scope, limit in before.items()}
            if after != before:
                set_live(ratelimits.SETTING, after)
                event_type = AuditEntry.EventType.CONFIGURATION_CHANGE
                record("rate_limits_updated", event_type, request=request, metadata=changed(before, after))
        return Response(after)


def _usage(request: Request) -> dict[str, Any] | None:
    given = budgets.pass_of(request._request)
    if given is None:
        return None
    refused = tallies.since(timezone.now() - overview.DAY)
    kinds = (Tally.Kind.GLOBAL, Tally.Kind.PER_IP, Tally.Kind.PER_USER, Tally.Kind.COSTLY)
    violations = {kind.value: refused.get(kind, 0) for kind in kinds}
    try:
        in_use = budgets.usage(given, caller_of(request._request), time.time())
    except Exception as error:  # noqa: BLE001 - Redis' errors are of no common class; the log is told
        ratelimits.broken.tell(error)
        return None
    return {**in_use, "violations_last_24h": violations}


class OverviewView(APIView):
    """``GET /api/v1/security/overview``."""

    @extend_schema(
        summary="Show how secure the server is",
        parameters=[EXPLAIN],
        responses=OverviewSerializer,
        examples=[OpenApiExample("reference", _OVERVIEW, response_only=True)],
    )
    def get(self, request: Request) -> Response:
        """Count what happened lately, and say what the posture checks found."""
        answer = overview.overview(timezone.now())
        shown = {**answer, "last_security_scan": OverviewSerializer(answer).data["last_security_scan"]}
        return Response(explained(request, shown, overview.sources(answer)))


class ChecksView(APIView):
    """``GET /api/v1/security/checks``."""

    @extend_schema(
        summary="List the posture checks",
        parameters=[OpenApiParameter("page", int), OpenApiParameter("limit", int)],
        responses=ChecksSerializer,
        examples=[OpenApiExample("page", _CHECKS, response_only=True)],
    )
    def get(self, request: Request) -> Response:
        """Show what the checks found when they ran last. Nothing is checked now: the worker does that."""
        page, limit = number(request, "page", 1, MAX_PAGE), number(request, "limit", 50, MAX_LIMIT)
        found = posture.results()
        shown = PostureCheckSerializer(found[(page - 1) * limit : page * limit], many=True).data
        counts = {"total": len(found), "page": page, "limit": limit}
        return Response({"checks": shown, **counts, "security_score": posture.score()})
