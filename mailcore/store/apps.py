"""App configuration."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class StoreConfig(AppConfig):
    """The mailbox store."""

    name = "mailcore.store"
    label = "store"
    verbose_name = _("Mailboxes")

    def ready(self) -> None:
        """Have mail removed with its owner, and rights looked at again when groups change."""
        from django.contrib.auth.models import Group  # noqa: PLC0415 - as below
        from django.db.models.signals import m2m_changed, post_delete  # noqa: PLC0415 - as below

        from accounts.models import User  # noqa: PLC0415 - models are there only now
        from accounts.removal import before_removal  # noqa: PLC0415 - the same
        from mailcore.store.access import forget_on_change  # noqa: PLC0415 - the same
        from mailcore.store.removal import empty_mailboxes  # noqa: PLC0415 - the same

        before_removal(empty_mailboxes)
        m2m_changed.connect(forget_on_change, sender=User.groups.through, dispatch_uid="store.access")
        post_delete.connect(forget_on_change, sender=Group, dispatch_uid="store.access")
