"""The project as a Django app: it owns the few tables that every other app stands on."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

from a3mailer_site.connections import begin_counting


class SiteConfig(AppConfig):
    """The floor."""

    name = "a3mailer_site"
    label = "site_floor"
    verbose_name = _("Server")

    def ready(self) -> None:
        """Count the database's connections."""
        begin_counting()
