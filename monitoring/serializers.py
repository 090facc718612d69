"""The shapes of this app's answers, for the OpenAPI document."""

from rest_framework import serializers


class ServerInfoSerializer(serializers.Serializer[dict[str, object]]):
    """What server this is. ``uptime`` in seconds."""

    version = serializers.CharField()
    build_date = serializers.CharField()
    uptime = serializers.IntegerField()
    hostname = serializers.CharField()
    features = serializers.ListField(child=serializers.CharField())
    status = serializers.ChoiceField(["starting", "running", "degraded", "draining"])
    listeners = serializers.DictField(child=serializers.CharField())


class CheckSerializer(serializers.Serializer[dict[str, object]]):
    """One probe. ``response_time`` in milliseconds."""

    status = serializers.ChoiceField(["healthy", "degraded", "unhealthy"])
    response_time = serializers.IntegerField()
    details = serializers.DictField(child=serializers.CharField(allow_null=True))


class HealthSerializer(serializers.Serializer[dict[str, object]]):
    """How the server is. Strangers see ``status`` and ``timestamp`` only."""

    status = serializers.ChoiceField(["healthy", "degraded", "unhealthy"])
    timestamp = serializers.CharField()
    uptime = serializers.IntegerField(required=False, allow_null=True)
    version = serializers.CharField(required=False)
    checks = serializers.DictField(child=CheckSerializer(), required=False)


class ReadinessSerializer(serializers.Serializer[dict[str, object]]):
    """Whether mail and requests should be sent here."""

    ready = serializers.BooleanField()
    timestamp = serializers.CharField()
    services = serializers.DictField(child=serializers.BooleanField())
