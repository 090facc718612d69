"""The shapes of the metrics operations: bodies that are taken, and bodies that are given."""

import math
from typing import Any

from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from a3mailer_site.api.fields import StrictCharField
from monitoring import custom
from monitoring.models import BOUNDS, CustomMetric, CustomSeries
from security.audit import printable

# Beyond this a float has gaps between whole numbers.
_EXACT = 2**53


@extend_schema_field({"type": "number", "format": "double"})
class FiniteNumberField(serializers.Field[Any, Any, Any, Any]):
    """A JSON number that a float can hold; no boolean, no text, neither NaN nor infinite."""

    default_error_messages = {"invalid": _("This must be a finite number.")}

    def to_internal_value(self, data: Any) -> float:
        """Take a number."""
        if isinstance(data, bool) or not isinstance(data, int | float):
            self.fail("invalid")
        try:
            value = float(data)
        except OverflowError:
            self.fail("invalid")
        if not math.isfinite(value):
            self.fail("invalid")
        return value

    def to_representation(self, value: float) -> float | int:
        """Write whole numbers without a fraction."""
        return int(value) if value.is_integer() and abs(value) <= _EXACT else value


class LoadAverageSerializer(serializers.Serializer[dict[str, object]]):
    """Load averages of the kernel."""

    def get_fields(self) -> dict[str, Any]:
        """Name the fields as the reference does, which Python cannot."""
        return {name: serializers.FloatField(allow_null=True) for name in ("1m", "5m", "15m")}


class ExplainedSerializer(serializers.Serializer[dict[str, object]]):
    """Where one number comes from."""

    window_seconds = serializers.FloatField(allow_null=True)
    samples = serializers.IntegerField(allow_null=True)

    def get_fields(self) -> dict[str, Any]:
        """Add a field whose name means something else to a serializer."""
        return {"source": serializers.CharField(), **super().get_fields()}


class SystemMetricsSerializer(serializers.Serializer[dict[str, object]]):
    """The machine, as far as we may use it: bytes, percent (0 to 100), seconds. Null is what nobody can measure."""

    timestamp = serializers.DateTimeField()
    cpu_usage = serializers.FloatField(allow_null=True, min_value=0, max_value=100)
    memory_usage = serializers.IntegerField()
    memory_total = serializers.IntegerField()
    disk_usage = serializers.IntegerField()
    disk_total = serializers.IntegerField()
    network_rx_bytes = serializers.IntegerField(allow_null=True)
    network_tx_bytes = serializers.IntegerField(allow_null=True)
    load_average = LoadAverageSerializer()
    active_connections = serializers.IntegerField(allow_null=True)
    uptime = serializers.IntegerField()
    explain = serializers.DictField(child=ExplainedSerializer(), required=False)


class QueueSizesSerializer(serializers.Serializer[dict[str, object]]):
    """Messages in the queue."""

    incoming = serializers.IntegerField()
    outgoing = serializers.IntegerField()
    processing = serializers.IntegerField()


class CacheHitRatesSerializer(serializers.Serializer[dict[str, object]]):
    """Hits among lookups of the last five minutes, 0 to 1; null without a lookup."""

    user_cache = serializers.FloatField(allow_null=True, min_value=0, max_value=1)
    domain_cache = serializers.FloatField(allow_null=True, min_value=0, max_value=1)
    config_cache = serializers.FloatField(allow_null=True, min_value=0, max_value=1)


class ApplicationMetricsSerializer(serializers.Serializer[dict[str, object]]):
    """The server's own work. Times in milliseconds over the last five minutes; null without a request in them."""

    timestamp = serializers.DateTimeField()
    total_requests = serializers.IntegerField()
    successful_requests = serializers.IntegerField()
    failed_requests = serializers.IntegerField()
    avg_response_time = serializers.FloatField(allow_null=True)
    p95_response_time = serializers.FloatField(allow_null=True)
    p99_response_time = serializers.FloatField(allow_null=True)
    requests_per_second = serializers.FloatField(allow_null=True)
    active_sessions = serializers.IntegerField(allow_null=True)
    queue_sizes = QueueSizesSerializer()
    cache_hit_rates = CacheHitRatesSerializer()
    explain = serializers.DictField(child=ExplainedSerializer(), required=False)


class LabelsField(serializers.DictField):
    """Labels by name: at most ten, short printable strings."""

    child = StrictCharField(max_length=custom.LONGEST_VALUE, trim_whitespace=False)
    default_error_messages = {
        "too_many": _("At most %(most)s labels.") % {"most": custom.MOST_LABELS},
        "unprintable": _("There are control characters in it."),
    }

    def to_internal_value(self, data: Any) -> dict[str, str]:
        """Take a JSON object of strings."""
        if isinstance(data, dict) and len(data) > custom.MOST_LABELS:
            self.fail("too_many")
        labels: dict[str, str] = super().to_internal_value(data)
        for name, value in labels.items():
            try:
                custom.check_label_name(name)
            except serializers.ValidationError as error:
                raise serializers.ValidationError({printable(name[:40]): error.detail}) from error
            if printable(value) != value:
                self.fail("unprintable")
        return labels


class NewSampleSerializer(serializers.Serializer[custom.Sample]):
    """A value to store. ``counter``: it is added, and not negative; ``gauge``: set; ``histogram``: observed."""

    name = StrictCharField(max_length=128, trim_whitespace=False)
    type = serializers.ChoiceField(CustomMetric.Kind.choices)
    value = FiniteNumberField()
    labels = LabelsField(required=False)

    def validate_name(self, name: str) -> str:
        """Refuse what is no name, and names that are not for others."""
        custom.check_name(name)
        return name

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse to count backwards."""
        if attrs["type"] == CustomMetric.Kind.COUNTER and attrs["value"] < 0:
            raise serializers.ValidationError({"value": _("A counter only grows.")})
        return attrs

    @property
    def sample(self) -> custom.Sample:
        """What was given, once it is valid."""
        given = self.validated_data
        return custom.Sample(given["name"], given["type"], given["value"], given.get("labels", {}))


class SeriesSerializer(serializers.ModelSerializer[CustomSeries]):
    """The value under one set of labels; of a histogram also how many values, their sum and the buckets."""

    labels = serializers.DictField(child=serializers.CharField())
    value = FiniteNumberField()
    timestamp = serializers.DateTimeField(source="updated_at")
    count = serializers.IntegerField(required=False)
    sum = FiniteNumberField(required=False)
    buckets = serializers.DictField(child=serializers.IntegerField(), required=False)

    class Meta:
        model = CustomSeries
        fields = ["labels", "value", "timestamp", "count", "sum", "buckets"]

    def to_representation(self, instance: CustomSeries) -> dict[str, Any]:
        """Leave the buckets away where there are none."""
        body = {
            "labels": instance.labels,
            "value": FiniteNumberField().to_representation(instance.value),
            "timestamp": self.fields["timestamp"].to_representation(instance.updated_at),
        }
        if instance.buckets is not None:
            body["count"] = sum(instance.buckets)
            body["sum"] = body["value"]
            body["buckets"] = cumulative(instance.buckets)
        return body


def cumulative(buckets: list[int]) -> dict[str, int]:
    """Return how many values were at most so large, by the bound as the text format writes it."""
    so_far, found = 0, {}
    for bound, count in zip((*map(str, BOUNDS), "+Inf"), buckets, strict=True):
        so_far += count
        found[bound] = so_far
    return found


class StoredSampleSerializer(SeriesSerializer):
    """What is stored now, after a value came in."""

    name = serializers.CharField(source="metric.name")
    type = serializers.ChoiceField(CustomMetric.Kind.choices, source="metric.kind")

    class Meta:
        model = CustomSeries
        fields = ["name", "type", *SeriesSerializer.Meta.fields]

    def to_representation(self, instance: CustomSeries) -> dict[str, Any]:
        """Put the name before the rest."""
        return {"name": instance.metric.name, "type": instance.metric.kind, **super().to_representation(instance)}


class CustomMetricSerializer(serializers.ModelSerializer[CustomMetric]):
    """A metric with all its series."""

    type = serializers.ChoiceField(CustomMetric.Kind.choices, source="kind")
    series = SeriesSerializer(many=True)

    class Meta:
        model = CustomMetric
        fields = ["name", "type", "series"]


class CustomMetricListSerializer(serializers.ModelSerializer[CustomMetric]):
    """A metric in the list: how many series it has, and when one last changed."""

    type = serializers.ChoiceField(CustomMetric.Kind.choices, source="kind")
    series_count = serializers.IntegerField()
    updated_at = serializers.DateTimeField(allow_null=True)

    class Meta:
        model = CustomMetric
        fields = ["name", "type", "series_count", "created_at", "updated_at"]
