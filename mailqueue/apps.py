"""App configuration."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class MailqueueConfig(AppConfig):
    """Mail queue."""

    name = "mailqueue"
    verbose_name = _("Mail queue")
