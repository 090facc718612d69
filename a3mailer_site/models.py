"""The tables of the floor.

Generations tell caches when to forget; settings change while we run; answers are kept for a request that comes twice.
"""

from datetime import datetime, timedelta
from functools import partial
from typing import Any, ClassVar

from django.db import connections, models, transaction
from django.utils.translation import gettext_lazy as _

from a3mailer_site.generations import CHANNEL, announce


class GenerationQuerySet(models.QuerySet["Generation"]):
    """Questions asked of the generations."""

    def bump(self, name: str) -> None:
        """Make every process forget what it cached under ``name``; takes effect with the caller's transaction."""
        with transaction.atomic():
            if not self.filter(name=name).update(value=models.F("value") + 1):
                _, made = self.get_or_create(name=name, defaults={"value": 1})
                if not made:  # by somebody else, in this very moment
                    self.filter(name=name).update(value=models.F("value") + 1)
            connection = connections[self.db]
            if connection.vendor == "postgresql":
                with connection.cursor() as cursor:
                    cursor.execute(f"NOTIFY {CHANNEL}")
            # At once, for what this transaction itself reads next; and when others can see the change.
            announce(name)
            transaction.on_commit(partial(announce, name), using=self.db)

    def standing(self, *names: str) -> int:
        """Return a number that grows when any of these generations moves, for whoever must know it at every use.

        One row with one number: at every row of an answer SQLite gives the interpreter lock away.
        """
        connection = connections[self.db]
        table, marks = connection.ops.quote_name(self.model._meta.db_table), ", ".join(["%s"] * len(names))
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT COALESCE(SUM(value), 0) FROM {table} WHERE name IN ({marks})", names)  # noqa: S608
            return int(cursor.fetchone()[0])


class Generation(models.Model):
    """A number that grows whenever what is cached under its name has changed.

    It is bumped in the transaction of the change, so a process that sees the new number sees the change too.
    """

    name = models.CharField(max_length=40, primary_key=True)
    value = models.BigIntegerField(default=0)

    objects = GenerationQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.name} {self.value}"


class Cached(models.Model):
    """A model whose rows are cached under the generation ``cached_under``: saving and deleting makes caches forget.

    ``QuerySet.update`` does not pass here; who uses it bumps the generation himself.
    """

    cached_under: ClassVar[str]

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save, and make the caches forget, in one transaction."""
        with transaction.atomic():
            super().save(*args, **kwargs)
            Generation.objects.bump(self.cached_under)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Delete, and make the caches forget, in one transaction."""
        with transaction.atomic():
            result = super().delete(*args, **kwargs)
            Generation.objects.bump(self.cached_under)
        return result


class Setting(Cached):
    """A setting that is changed while the server runs, by its name; see ``live.py``."""

    cached_under = "settings"

    name = models.CharField(max_length=60, primary_key=True)
    value = models.JSONField()
    changed_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return self.name


class KeptAnswerQuerySet(models.QuerySet["KeptAnswer"]):
    """Questions asked of the kept answers."""

    def outlived(self, now: datetime) -> "KeptAnswerQuerySet":
        """Answers that are older than they are kept."""
        return self.filter(claimed_at__lte=now - KeptAnswer.KEPT)

    def forget_outlived(self, now: datetime) -> int:
        """Delete what is outlived, few rows a transaction; returns how many. May run twice and beside itself."""
        forgotten = 0
        while pks := list(self.outlived(now).order_by("pk").values_list("pk", flat=True)[:500]):
            forgotten += self.filter(pk__in=pks).delete()[0]
        return forgotten


class KeptAnswer(models.Model):
    """What was answered to a request that had an ``Idempotency-Key``, for the same request when it comes again.

    The row is there before the request is carried out: it is what keeps a second one away meanwhile. ``answer`` is
    encrypted, since it may hold a secret that is shown once; empty, the request is still running, or died.
    """

    KEPT = timedelta(hours=24)

    caller = models.CharField(_("caller"), max_length=60)
    key = models.CharField(_("key"), max_length=200)
    fingerprint = models.CharField(max_length=64, editable=False)
    claimed_at = models.DateTimeField(_("at"), db_index=True)
    answer = models.TextField(blank=True, editable=False)

    objects = KeptAnswerQuerySet.as_manager()

    class Meta:
        verbose_name = _("kept answer")
        verbose_name_plural = _("kept answers")
        ordering = ["-pk"]
        constraints = [models.UniqueConstraint(fields=["caller", "key"], name="kept_answer_once")]

    def __str__(self) -> str:
        return f"{self.caller} {self.key}"
