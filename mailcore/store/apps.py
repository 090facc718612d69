"""App configuration."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class StoreConfig(AppConfig):
    """The mailbox store."""

    name = "mailcore.store"
    label = "store"
    verbose_name = _("Mailboxes")

    def ready(self) -> None:
        """Have mail removed with its owner."""
        from accounts.removal import before_removal  # noqa: PLC0415 - models are there only now
        from mailcore.store.removal import empty_mailboxes  # noqa: PLC0415 - the same

        before_removal(empty_mailboxes)
