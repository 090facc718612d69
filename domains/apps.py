"""App configuration."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

from a3mailer_site.trash import keep_in_trash


class DomainsConfig(AppConfig):
    """Domains."""

    name = "domains"
    verbose_name = _("Domains")

    def ready(self) -> None:
        """Say how deleted domains go for good."""
        from domains.trash import purge  # noqa: PLC0415 - models are there only now

        keep_in_trash("domains", purge)
