"""App configuration."""

from django.apps import AppConfig
from django.contrib.auth.signals import user_logged_in
from django.utils.translation import gettext_lazy as _


class AccountsConfig(AppConfig):
    """Accounts."""

    name = "accounts"
    verbose_name = _("Accounts")

    def ready(self) -> None:
        """Leave ``last_login`` to ``passwords.verify``, which writes it at most once a minute for all protocols."""
        from accounts import posture  # noqa: PLC0415 - models are there only now

        user_logged_in.disconnect(dispatch_uid="update_last_login")
        posture.register()
