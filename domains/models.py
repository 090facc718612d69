"""Domains that this server receives mail for."""

from datetime import datetime
from typing import Any

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from a3mailer_site.models import Cached
from a3mailer_site.trash import oldest_restorable, restorable_until
from domains.names import to_ascii, to_unicode, validate_domain


class DomainQuerySet(models.QuerySet["Domain"]):
    """Questions asked of the domains."""

    def enabled(self) -> "DomainQuerySet":
        """Domains that receive mail."""
        return self.filter(enabled=True)

    def restorable(self, since: datetime) -> "DomainQuerySet":
        """Domains in the trash that may be had back; ``since`` is the oldest deletion that is not too old."""
        return self.filter(deleted_at__gt=since).exclude(deleted_name="")


class LivingDomainManager(models.Manager["Domain"]):
    """Leaves out what is in the trash, so that nobody takes a deleted domain for one that is here."""

    def get_queryset(self) -> DomainQuerySet:
        """Return the domains that are here."""
        return DomainQuerySet(self.model, using=self._db).filter(deleted_at__isnull=True)


class Domain(Cached):
    """A domain whose mail ends here, and its limits. The name is stored as A-labels (RFC 5890), lower case.

    A deleted domain stays for a while (``trash.py``). Its name is in ``deleted_name`` then, and ``name`` something that
    no domain can be called. ``objects`` are the domains that are here, ``everything`` has the deleted ones too.
    """

    class Greylisting(models.TextChoices):
        """Whose first message has to wait."""

        OFF = "off", _("nobody's")
        SUSPICIOUS = "suspicious", _("of hosts that look suspicious")
        ALWAYS = "always", _("everybody's")

    cached_under = "addresses"

    name = models.CharField(_("domain"), max_length=253, unique=True, validators=[validate_domain])
    enabled = models.BooleanField(
        _("enabled"), default=True, help_text=_("A disabled domain refuses mail, and its users cannot send from it.")
    )
    max_users = models.PositiveIntegerField(_("most users"), default=0, help_text=_("0: no limit."))
    max_quota = models.PositiveBigIntegerField(
        _("most quota"), default=0, help_text=_("Ceiling on the sum of the users' quotas, in bytes. 0: no limit.")
    )
    send_limit_hour = models.PositiveIntegerField(
        _("recipients an hour"),
        default=0,
        help_text=_("Of all users together. Mail to more recipients elsewhere is held. 0: no limit."),
    )
    send_limit_day = models.PositiveIntegerField(
        _("recipients a day"),
        default=0,
        help_text=_("Of all users together. Mail to more recipients elsewhere is held. 0: no limit."),
    )
    track_bounces = models.BooleanField(
        _("track bounces"),
        default=False,
        help_text=_(
            "For newsletters: each recipient elsewhere gets a return path of his own, and addresses that bounce for "
            "good or complain are written to no more (suppression list)."
        ),
    )
    greylisting = models.CharField(
        _("greylisting"),
        max_length=10,
        choices=Greylisting,
        default=Greylisting.OFF,
        help_text=_("Whose first message for this domain has to come twice, some minutes apart. Junk seldom does."),
    )
    separator = models.CharField(
        _("subaddress separator"),
        max_length=1,
        default="+",
        blank=True,
        help_text=_("What follows this sign in the local part is a tag: user+tag reaches user. Empty: no tags."),
    )
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    deleted_at = models.DateTimeField(_("deleted"), null=True, blank=True, editable=False)
    deleted_name = models.CharField(_("domain"), max_length=253, blank=True, editable=False)
    kept = models.JSONField(default=dict, blank=True, editable=False)  # what went along, by who keeps it

    objects = LivingDomainManager.from_queryset(DomainQuerySet)()
    everything = DomainQuerySet.as_manager()

    class Meta:
        verbose_name = _("domain")
        verbose_name_plural = _("domains")
        ordering = ["name"]

    def __str__(self) -> str:
        return to_unicode(self.deleted_name or self.name)

    @property
    def restorable_until(self) -> datetime | None:
        """When what is in the trash goes for good."""
        return None if self.deleted_at is None else restorable_until(self.deleted_at)

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Store the name in its one canonical form."""
        if self.deleted_at is None:
            self.name = to_ascii(self.name)
        super().save(*args, **kwargs)


class DeletedDomainManager(models.Manager["DeletedDomain"]):
    """The trash as it can be had back now."""

    def get_queryset(self) -> models.QuerySet["DeletedDomain"]:
        """Return the deleted domains that are not too old."""
        return super().get_queryset().filter(deleted_at__gt=oldest_restorable(timezone.now())).exclude(deleted_name="")


class DeletedDomain(Domain):
    """A domain in the trash, for the web admin."""

    objects = DeletedDomainManager()  # type: ignore[assignment, misc] # of another set of rows

    class Meta:
        proxy = True
        verbose_name = _("deleted domain")
        verbose_name_plural = _("deleted domains")
        ordering = ["-deleted_at", "-pk"]
