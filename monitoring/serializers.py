"""The shapes of this app's answers and requests, for the OpenAPI document and for checking what comes."""

from typing import Any

from django.utils.translation import gettext as _
from rest_framework import serializers

from a3mailer_site.api.fields import PrefixedIdField, StrictIntegerField
from monitoring.models import Optimization

_STATUSES = ["healthy", "degraded", "unhealthy"]


class ServerInfoSerializer(serializers.Serializer[dict[str, object]]):
    """What server this is. ``uptime`` in seconds."""

    version = serializers.CharField()
    build_date = serializers.CharField()
    uptime = serializers.IntegerField()
    hostname = serializers.CharField()
    features = serializers.ListField(child=serializers.CharField())
    status = serializers.ChoiceField(["starting", "running", "degraded", "draining"])
    listeners = serializers.DictField(child=serializers.CharField())


class RestartSerializer(serializers.Serializer[dict[str, object]]):
    """The restart has begun."""

    status = serializers.ChoiceField(["restarting"])
    request_id = serializers.CharField()


class ChangeSerializer(serializers.Serializer[dict[str, object]]):
    """A setting that is another one. Values of secret settings are masked."""

    name = serializers.CharField()
    before = serializers.JSONField()
    after = serializers.JSONField()


class ReloadSerializer(serializers.Serializer[dict[str, object]]):
    """What a reload has changed, or would change (``valid``: a dry run), and what needs a restart."""

    status = serializers.ChoiceField(["reloaded", "valid"])
    changes = ChangeSerializer(many=True)
    warnings = serializers.ListField(child=serializers.CharField())


class CheckSerializer(serializers.Serializer[dict[str, object]]):
    """One probe. ``response_time`` in milliseconds."""

    status = serializers.ChoiceField(_STATUSES)
    response_time = serializers.IntegerField()
    details = serializers.DictField(child=serializers.CharField(allow_null=True))


class ComponentCheckSerializer(CheckSerializer):
    """One probe that was run now, and what it found now: it need not be bad three times in a row."""

    component = serializers.CharField()
    timestamp = serializers.CharField()


class HealthSerializer(serializers.Serializer[dict[str, object]]):
    """How the server is. Strangers see ``status`` and ``timestamp`` only."""

    status = serializers.ChoiceField(_STATUSES)
    timestamp = serializers.CharField()
    uptime = serializers.IntegerField(required=False, allow_null=True)
    version = serializers.CharField(required=False)
    checks = serializers.DictField(child=CheckSerializer(), required=False)


class ReadinessSerializer(serializers.Serializer[dict[str, object]]):
    """Whether mail and requests should be sent here. Strangers see no ``details``."""

    ready = serializers.BooleanField()
    timestamp = serializers.CharField()
    services = serializers.DictField(child=serializers.BooleanField())
    details = serializers.DictField(child=serializers.CharField(), required=False)


class ConnectionPoolSerializer(serializers.Serializer[dict[str, object]]):
    """Connections to other servers. Times in milliseconds; what nothing was measured of is null."""

    total_connections = serializers.IntegerField(allow_null=True, help_text="active + idle + failed")
    active_connections = serializers.IntegerField(allow_null=True)
    idle_connections = serializers.IntegerField(allow_null=True)
    failed_connections = serializers.IntegerField(help_text="Failed to open or broke in the last five minutes.")
    avg_connection_time = serializers.FloatField(allow_null=True)
    connection_reuse_rate = serializers.FloatField(allow_null=True)


class CachePerformanceSerializer(serializers.Serializer[dict[str, object]]):
    """The caches of all processes in the last five minutes. Rates from 0 to 1, sizes in bytes, times in ms."""

    hit_rate = serializers.FloatField(allow_null=True)
    miss_rate = serializers.FloatField(allow_null=True)
    eviction_rate = serializers.FloatField(allow_null=True)
    avg_lookup_time = serializers.FloatField(allow_null=True)
    cache_size = serializers.IntegerField()
    cache_utilization = serializers.FloatField(allow_null=True)


class RequestPerformanceSerializer(serializers.Serializer[dict[str, object]]):
    """HTTP requests of the last five minutes, ``throughput`` of the last minute. Times in milliseconds."""

    avg_response_time = serializers.FloatField(allow_null=True)
    p50_response_time = serializers.FloatField(allow_null=True)
    p95_response_time = serializers.FloatField(allow_null=True)
    p99_response_time = serializers.FloatField(allow_null=True)
    throughput = serializers.FloatField(allow_null=True)
    error_rate = serializers.FloatField(allow_null=True)


class PerformanceSerializer(serializers.Serializer[dict[str, object]]):
    """How well the server does."""

    connection_pool = ConnectionPoolSerializer()
    cache_performance = CachePerformanceSerializer()
    request_performance = RequestPerformanceSerializer()
    pools = serializers.DictField(child=serializers.JSONField(), help_text="outbound_smtp and database")
    explain = serializers.DictField(child=serializers.JSONField(), required=False)


class ReadyOptimizationSerializer(serializers.Serializer[dict[str, object]]):
    """An optimization that can be posted as it is."""

    type = serializers.ChoiceField(Optimization.Kind.values)
    value = serializers.IntegerField()


class RecommendationSerializer(serializers.Serializer[dict[str, object]]):
    """A piece of advice. ``evidence`` has the numbers that it rests on."""

    category = serializers.CharField()
    priority = serializers.ChoiceField(["high", "medium", "low"])
    title = serializers.CharField()
    description = serializers.CharField()
    impact = serializers.CharField()
    action = serializers.CharField()
    evidence = serializers.DictField(child=serializers.JSONField())
    optimization = ReadyOptimizationSerializer(allow_null=True)


class RecommendationsSerializer(serializers.Serializer[dict[str, object]]):
    """Advice, the most urgent first; none when all is well."""

    recommendations = RecommendationSerializer(many=True)


class WantedOptimizationSerializer(serializers.Serializer[dict[str, Any]]):
    """One value to put in force: bytes, or a count."""

    type = serializers.ChoiceField(Optimization.Kind.values)
    value = StrictIntegerField()


class OptimizeSerializer(serializers.Serializer[dict[str, Any]]):
    """Values to put in force."""

    optimizations = WantedOptimizationSerializer(many=True, allow_empty=False, max_length=10)  # type: ignore[call-arg]

    def validate_optimizations(self, value: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Refuse two values for one thing."""
        kinds = [one["type"] for one in value]
        if len(set(kinds)) < len(kinds):
            raise serializers.ValidationError(_("Each type may be there once."))
        return value


class AppliedSerializer(serializers.Serializer[dict[str, object]]):
    """A value that holds now. ``id`` names it in the history, null when it held already or in a dry run."""

    type = serializers.CharField()
    previous = serializers.IntegerField()
    value = serializers.IntegerField()
    id = serializers.CharField(allow_null=True)


class RejectedSerializer(serializers.Serializer[dict[str, object]]):
    """A value that cannot be, and why."""

    type = serializers.CharField()
    reason = serializers.CharField()


class OptimizedSerializer(serializers.Serializer[dict[str, object]]):
    """What became of each value."""

    applied = AppliedSerializer(many=True)
    rejected = RejectedSerializer(many=True)


class OptimizationSerializer(serializers.ModelSerializer[Optimization]):
    """An entry of the history."""

    id = PrefixedIdField("optimization_")
    type = serializers.CharField(source="kind")
    applied_by = serializers.SerializerMethodField()
    reverted_by = serializers.SerializerMethodField()

    class Meta:
        model = Optimization
        fields = ["id", "type", "previous", "value", "applied_at", "applied_by", "reverted_at", "reverted_by"]
        read_only_fields = fields

    def get_applied_by(self, row: Optimization) -> str | None:
        """Return who did it: a user, or a key that nobody owns."""
        return row.applied_by or None

    def get_reverted_by(self, row: Optimization) -> str | None:
        """Return who took it back."""
        return row.reverted_by or None
