"""The tables of the floor: generations, which tell caches when to forget, and settings that change while we run."""

from functools import partial
from typing import Any, ClassVar

from django.db import connections, models, transaction

from a3mailer_site.generations import announce


class GenerationQuerySet(models.QuerySet["Generation"]):
    """Questions asked of the generations."""

    def bump(self, name: str) -> None:
        """Make every process forget what it cached under ``name``; takes effect with the caller's transaction."""
        with transaction.atomic():
            if not self.filter(name=name).update(value=models.F("value") + 1):
                _, made = self.get_or_create(name=name, defaults={"value": 1})
                if not made:  # by somebody else, in this very moment
                    self.filter(name=name).update(value=models.F("value") + 1)
            # At once, for what this transaction itself reads next; and when others can see the change.
            announce(name)
            transaction.on_commit(partial(announce, name), using=self.db)

    def standing(self, *names: str) -> tuple[tuple[str, int], ...]:
        """Return where these generations stand, for whoever must know it at every use: 20 microseconds on SQLite."""
        connection = connections[self.db]
        table, marks = connection.ops.quote_name(self.model._meta.db_table), ", ".join(["%s"] * len(names))
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT name, value FROM {table} WHERE name IN ({marks}) ORDER BY name", names)  # noqa: S608
            return tuple(cursor.fetchall())


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
