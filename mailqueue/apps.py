"""App configuration."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

from a3mailer_site.trash import keep_in_trash


class MailqueueConfig(AppConfig):
    """Mail queue."""

    name = "mailqueue"
    verbose_name = _("Mail queue")

    def ready(self) -> None:
        """Say how the queue's trash is emptied."""
        from mailqueue.purging import empty  # noqa: PLC0415 - models are there only now

        keep_in_trash("queued messages", empty)
