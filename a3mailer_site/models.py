"""The tables of the floor: generations that tell caches when to forget, and settings kept in the database."""

from functools import partial

from django.db import models, transaction

from a3mailer_site.generations import announce


class GenerationQuerySet(models.QuerySet["Generation"]):
    """Questions asked of the generations."""

    def bump(self, name: str) -> None:
        """Make every process forget what it cached under ``name``; takes effect with the caller's transaction."""
        with transaction.atomic():
            if not self.filter(name=name).update(value=models.F("value") + 1):
                self.create(name=name, value=1)
            # At once, for what this transaction itself reads next; and when others can see the change.
            announce(name)
            transaction.on_commit(partial(announce, name), using=self.db)


class Generation(models.Model):
    """A number that grows whenever what is cached under its name has changed.

    It is bumped in the transaction of the change, so a process that sees the new number sees the change too.
    """

    name = models.CharField(max_length=40, primary_key=True)
    value = models.BigIntegerField(default=0)

    objects = GenerationQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.name} {self.value}"


class Setting(models.Model):
    """A setting that is changed while the server runs (the others are in ``env.py``)."""

    name = models.CharField(max_length=80, primary_key=True)
    value = models.JSONField()
    changed_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return self.name
