"""The tables of monitoring: figures that others give us to keep, and what was tuned while the server ran."""

from typing import Any, ClassVar

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

# Upper bounds of a histogram's buckets; the unit is the caller's. A fixed set: series of one name must be comparable.
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0)


class CustomMetric(models.Model):
    """A name, and what kind of numbers it has. It has no numbers itself: those are in its series."""

    class Kind(models.TextChoices):
        """What a new value does."""

        COUNTER = "counter", _("Counter")  # it is added
        GAUGE = "gauge", _("Gauge")  # it takes the place of the old one
        HISTOGRAM = "histogram", _("Histogram")  # it is put into a bucket

    name = models.CharField(_("name"), max_length=128, unique=True)
    kind = models.CharField(_("type"), max_length=10, choices=Kind.choices)
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)

    class Meta:
        ordering: ClassVar[list[str]] = ["name"]
        verbose_name = _("custom metric")
        verbose_name_plural = _("custom metrics")

    def __str__(self) -> str:
        return self.name


class CustomSeries(models.Model):
    """The numbers of one metric under one set of labels.

    ``value`` is a counter's total, what a gauge was set to, or the sum of what a histogram has observed.
    """

    metric = models.ForeignKey(CustomMetric, models.CASCADE, related_name="series", verbose_name=_("custom metric"))
    labels = models.JSONField(_("labels"), default=dict)
    # SHA-256 of the labels in their one form, as hexadecimal digits: JSON itself cannot be unique everywhere.
    key = models.CharField(max_length=64, editable=False)
    value = models.FloatField(_("value"), default=0.0)
    # Of a histogram: how many values fell into each bucket; the last one has what is above all bounds.
    buckets = models.JSONField(_("buckets"), null=True)
    updated_at = models.DateTimeField(_("updated at"), default=timezone.now)

    class Meta:
        ordering: ClassVar[list[str]] = ["pk"]
        constraints: ClassVar[list[Any]] = [
            models.UniqueConstraint(fields=["metric", "key"], name="custom_series_labels_once")
        ]
        verbose_name = _("series")
        verbose_name_plural = _("series")

    def __str__(self) -> str:
        return f"{self.metric_id} {self.labels}"


class OptimizationQuerySet(models.QuerySet["Optimization"]):
    """Questions asked of the history."""

    def in_force(self) -> "OptimizationQuerySet":
        """Those that have not been taken back."""
        return self.filter(reverted_at__isnull=True)


class Optimization(models.Model):
    """A setting that was tuned while the server ran: what it was before, and what it became.

    Rows are added and marked as taken back, never changed otherwise. User ids are text: a row outlives the user.
    """

    class Kind(models.TextChoices):
        """What can be tuned."""

        CACHE_SIZE = "cache_size", _("Cache size")
        CONNECTION_POOL_SIZE = "connection_pool_size", _("Connection pool size")

    kind = models.CharField(_("type"), max_length=40, choices=Kind)
    previous = models.BigIntegerField(_("before"))
    value = models.BigIntegerField(_("after"))
    applied_at = models.DateTimeField(_("applied at"), default=timezone.now, editable=False)
    applied_by = models.CharField(_("by"), max_length=40, blank=True)
    reverted_at = models.DateTimeField(_("taken back at"), null=True, blank=True, editable=False)
    reverted_by = models.CharField(_("taken back by"), max_length=40, blank=True)

    objects = OptimizationQuerySet.as_manager()

    class Meta:
        verbose_name = _("optimization")
        verbose_name_plural = _("optimizations")
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.kind} {self.previous} → {self.value}"
