"""App configuration."""

from django.apps import AppConfig
from django.contrib.auth.signals import user_logged_in
from django.db.models.signals import post_save
from django.utils.translation import gettext_lazy as _

from a3mailer_site.trash import keep_in_trash


class AccountsConfig(AppConfig):
    """Accounts."""

    name = "accounts"
    verbose_name = _("Accounts")

    def ready(self) -> None:
        """Leave ``last_login`` to ``passwords.verify``, which spares the database; note when groups are made.

        And say what becomes of deleted users, and of a deleted domain's aliases.
        """
        user_logged_in.disconnect(dispatch_uid="update_last_login")
        from django.contrib.auth.models import Group  # noqa: PLC0415 - models come after the apps

        from accounts import trash  # noqa: PLC0415
        from accounts.groups import note_birth  # noqa: PLC0415
        from domains.trash import goes_along  # noqa: PLC0415

        post_save.connect(note_birth, sender=Group, dispatch_uid="group_birth")
        keep_in_trash("users", trash.purge)
        goes_along("aliases", trash.put_aliases_away, trash.bring_aliases_back)
