"""Custom metrics: what may be stored, and how a value gets into its series so that none is ever lost.

Whoever adds to a metric locks its row, so values of one name go in one after the other; a new name locks all other new
names out, so no cap is passed.
"""

import hashlib
import json
import math
import re
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from django.db import transaction
from django.utils.translation import gettext as _
from rest_framework import serializers

from a3mailer_site.api.errors import ConflictError
from a3mailer_site.models import Generation
from monitoring.models import BOUNDS, CustomMetric, CustomSeries

NAME_PATTERN = "[a-zA-Z_:][a-zA-Z0-9_:]{0,127}"
LABEL_PATTERN = "[a-zA-Z_][a-zA-Z0-9_]{0,127}"
_NAME, _LABEL = re.compile(NAME_PATTERN), re.compile(LABEL_PATTERN)
# What we, our libraries and Prometheus itself call their metrics.
RESERVED = ("stalwart_", "a3mailer_", "django_", "python_", "process_", "scrape_")
_TAKEN = {"up", "ALERTS", "ALERTS_FOR_STATE"}

MOST_NAMES = 200
MOST_SERIES = 1000  # of one name
MOST_SERIES_OF_ALL = 10_000
MOST_LABELS = 10
LONGEST_VALUE = 200

# Locked by whoever makes a new name.
_NEW_NAMES = "custom_metrics"
# What a metric of a kind is shown as besides its name, or may be taken for.
_PARTS = {CustomMetric.Kind.HISTOGRAM: ("_bucket", "_sum", "_count"), CustomMetric.Kind.COUNTER: ("_total",)}


@dataclass(frozen=True, slots=True)
class Sample:
    """One value, as it was given."""

    name: str
    kind: str
    value: float
    labels: Mapping[str, str]
    key: str = field(init=False)  # of the labels

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", _key(self.labels))


def is_name(text: str) -> bool:
    """Say whether this could be the name of a metric at all."""
    return bool(_NAME.fullmatch(text))


def check_name(name: str) -> None:
    """Raise ``ValidationError`` for a name that is none, or not for others to use."""
    if not is_name(name):
        raise serializers.ValidationError(_("Letters, digits, '_' and ':', no digit first, 128 at most."))
    if name.startswith(RESERVED) or name in _TAKEN:
        raise serializers.ValidationError(_("This name is reserved."))


def check_label_name(name: str) -> None:
    """Raise ``ValidationError`` for what is no name of a label, or has a meaning already."""
    if not _LABEL.fullmatch(name):
        raise serializers.ValidationError(_("Letters, digits and '_', no digit first, 128 at most."))
    if name.startswith("__") or name == "le":
        raise serializers.ValidationError(_("This label is reserved."))


def record_sample(sample: Sample, now: datetime) -> tuple[CustomSeries, bool]:
    """Store a value; returns its series with its metric, and whether the name is new. In the caller's transaction.

    Raises ``ConflictError`` when the name has another type, ``ValidationError`` beyond a cap.
    """
    with transaction.atomic():
        metric, is_new = _metric(sample)
        series = CustomSeries.objects.filter(metric=metric, key=sample.key).first() or _new_series(metric, sample)
        _put(series, sample)
        series.updated_at = now
        series.save()
    return series, is_new


def _metric(sample: Sample) -> tuple[CustomMetric, bool]:
    """Find the metric and lock it; make it when there is none."""
    known = CustomMetric.objects.select_for_update()
    metric, is_new = known.filter(name=sample.name).first(), False
    if metric is None:
        Generation.objects.bump(_NEW_NAMES)
        metric = known.filter(name=sample.name).first()  # made by somebody else, who held the lock before us
    if metric is None:
        _refuse_new_name(sample)
        metric, is_new = CustomMetric.objects.create(name=sample.name, kind=sample.kind), True
    if metric.kind != sample.kind:
        raise ConflictError(
            _("The metric '%(name)s' is a %(kind)s.") % {"name": metric.name, "kind": metric.get_kind_display()}
        )
    return metric, is_new


def _refuse_new_name(sample: Sample) -> None:
    if CustomMetric.objects.count() >= MOST_NAMES:
        raise serializers.ValidationError({"name": _("There are %(most)s metrics already.") % {"most": MOST_NAMES}})
    overlapping = CustomMetric.objects.filter(
        name__in=[sample.name + part for part in _PARTS.get(CustomMetric.Kind(sample.kind), ())]
    )
    for kind, parts in _PARTS.items():
        stems = [sample.name.removesuffix(part) for part in parts if sample.name.endswith(part)]
        overlapping |= CustomMetric.objects.filter(name__in=stems, kind=kind)
    clash = overlapping.first()
    if clash is not None:
        raise ConflictError(_("Its name would be mistaken for a part of '%(name)s'.") % {"name": clash.name})


def _new_series(metric: CustomMetric, sample: Sample) -> CustomSeries:
    for series, most in (
        (CustomSeries.objects.filter(metric=metric), MOST_SERIES),
        (CustomSeries.objects.all(), MOST_SERIES_OF_ALL),
    ):
        if series.count() >= most:
            raise serializers.ValidationError(
                {"labels": _("There are %(most)s sets of labels already.") % {"most": most}}
            )
    buckets = [0] * (len(BOUNDS) + 1) if metric.kind == CustomMetric.Kind.HISTOGRAM else None
    return CustomSeries(metric=metric, labels=dict(sample.labels), key=sample.key, buckets=buckets)


def _put(series: CustomSeries, sample: Sample) -> None:
    value = sample.value if sample.kind == CustomMetric.Kind.GAUGE else series.value + sample.value
    if not math.isfinite(value):
        raise serializers.ValidationError({"value": _("The sum would be too large.")})
    series.value = value
    if series.buckets is not None:
        series.buckets[bisect_left(BOUNDS, sample.value)] += 1


def _key(labels: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(sorted(labels.items())).encode()).hexdigest()
