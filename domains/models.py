"""Domains that this server receives mail for."""

from typing import Any

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from a3mailer_site.models import Cached
from domains.names import to_ascii, to_unicode, validate_domain


class DomainQuerySet(models.QuerySet["Domain"]):
    """Questions asked of the domains."""

    def enabled(self) -> "DomainQuerySet":
        """Domains that receive mail."""
        return self.filter(enabled=True)


class Domain(Cached):
    """A domain whose mail ends here, and its limits. The name is stored as A-labels (RFC 5890), lower case."""

    cached_under = "addresses"

    name = models.CharField(_("domain"), max_length=253, unique=True, validators=[validate_domain])
    enabled = models.BooleanField(
        _("enabled"), default=True, help_text=_("A disabled domain refuses mail, and its users cannot send from it.")
    )
    max_users = models.PositiveIntegerField(_("most users"), default=0, help_text=_("0: no limit."))
    max_quota = models.PositiveBigIntegerField(
        _("most quota"), default=0, help_text=_("Ceiling on the sum of the users' quotas, in bytes. 0: no limit.")
    )
    separator = models.CharField(
        _("subaddress separator"),
        max_length=1,
        default="+",
        blank=True,
        help_text=_("What follows this sign in the local part is a tag: user+tag reaches user. Empty: no tags."),
    )
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)

    objects = DomainQuerySet.as_manager()

    class Meta:
        verbose_name = _("domain")
        verbose_name_plural = _("domains")
        ordering = ["name"]

    def __str__(self) -> str:
        return to_unicode(self.name)

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Store the name in its one canonical form."""
        self.name = to_ascii(self.name)
        super().save(*args, **kwargs)
