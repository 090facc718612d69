"""App configuration."""

from django.apps import AppConfig
from django.conf import settings
from django.utils.translation import gettext_lazy as _


class MailcoreConfig(AppConfig):
    """The mail core: it has commands and no tables (``mailcore.store`` has the mailboxes)."""

    name = "mailcore"
    verbose_name = _("Mail core")

    def ready(self) -> None:
        """Tell monitoring what can be probed of us."""
        if settings.PROCESS in {"mail", "worker"}:
            return  # nobody asks them, and what it takes to answer would cost them memory
        # Models of other apps are behind these modules: not before all are there.
        from mailcore import probes  # noqa: PLC0415
        from monitoring.probes import register  # noqa: PLC0415

        register("dns", probes.dns_servers)
        register("tls", probes.certificate)
