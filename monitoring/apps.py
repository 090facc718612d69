"""App configuration."""

from django.apps import AppConfig
from django.conf import settings
from django.utils.translation import gettext_lazy as _


class MonitoringConfig(AppConfig):
    """Monitoring."""

    name = "monitoring"
    verbose_name = _("Monitoring")

    def ready(self) -> None:
        """Look at the processor from now on in the process that answers about it."""
        if settings.PROCESS == "web":
            from monitoring.machine import meter  # noqa: PLC0415 - psutil costs the other processes memory

            meter.start()
