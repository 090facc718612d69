"""App configuration."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class MailcoreConfig(AppConfig):
    """The mail core: it has commands and no tables (``mailcore.store`` has the mailboxes)."""

    name = "mailcore"
    verbose_name = _("Mail core")
