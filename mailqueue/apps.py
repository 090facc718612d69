"""App configuration."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate, pre_migrate
from django.utils.translation import gettext_lazy as _

from a3mailer_site.trash import keep_in_trash


class MailqueueConfig(AppConfig):
    """Mail queue."""

    name = "mailqueue"
    verbose_name = _("Mail queue")

    def ready(self) -> None:
        """Say how the queue's trash is emptied, and keep the views for those who ask the database."""
        from mailqueue import sql_views  # noqa: PLC0415 - models are there only now
        from mailqueue.purging import empty  # noqa: PLC0415

        keep_in_trash("queued messages", empty)
        pre_migrate.connect(sql_views.drop, sender=self, dispatch_uid="drop the views")
        post_migrate.connect(sql_views.create, sender=self, dispatch_uid="create the views")
