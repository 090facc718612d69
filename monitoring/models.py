"""The tables of monitoring."""

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


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
