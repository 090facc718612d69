"""App configuration."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class SecurityConfig(AppConfig):
    """Security."""

    name = "security"
    verbose_name = _("Security")

    def ready(self) -> None:
        """Register the posture checks about the server itself."""
        from security import posture_checks  # noqa: PLC0415 - models are there only now

        posture_checks.register()
