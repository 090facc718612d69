"""Domains that this server receives mail for."""

from django.db import models, transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from a3mailer_site.models import Generation
from domains.names import to_ascii, to_unicode, validate_domain


class DomainQuerySet(models.QuerySet["Domain"]):
    """Questions asked of the domains."""

    def enabled(self) -> "DomainQuerySet":
        """Domains that receive mail."""
        return self.filter(enabled=True)


class Domain(models.Model):
    """A domain whose mail ends here, and its limits. The name is stored as A-labels (RFC 5890), lower case."""

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

    def save(self, *args: object, **kwargs: object) -> None:
        """Store the name in its one canonical form, and make the caches of addresses forget."""
        self.name = to_ascii(self.name)
        with transaction.atomic():
            super().save(*args, **kwargs)  # type: ignore[arg-type]
            Generation.objects.bump("addresses")

    def delete(self, *args: object, **kwargs: object) -> tuple[int, dict[str, int]]:
        """Delete, and make the caches of addresses forget."""
        with transaction.atomic():
            result = super().delete(*args, **kwargs)  # type: ignore[arg-type]
            Generation.objects.bump("addresses")
        return result
