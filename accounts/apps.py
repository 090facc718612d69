"""App configuration."""

from django.apps import AppConfig
from django.contrib.auth.signals import user_logged_in
from django.db.models.signals import post_save
from django.utils.translation import gettext_lazy as _


class AccountsConfig(AppConfig):
    """Accounts."""

    name = "accounts"
    verbose_name = _("Accounts")

    def ready(self) -> None:
        """Leave ``last_login`` to ``passwords.verify``, which spares the database; note when groups are made."""
        user_logged_in.disconnect(dispatch_uid="update_last_login")
        from django.contrib.auth.models import Group  # noqa: PLC0415 - models come after the apps

        from accounts.groups import note_birth  # noqa: PLC0415

        post_save.connect(note_birth, sender=Group, dispatch_uid="group_birth")
