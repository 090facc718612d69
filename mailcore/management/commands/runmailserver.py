"""``manage.py runmailserver``: check that the server can run, then become its supervisor."""

import os
import stat
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.utils.translation import gettext as _

from a3mailer_site.env import BASE_DIR, Env, SettingError, current
from accounts.addresses import resolve
from accounts.models import User
from mailcore import journal, tls
from mailcore.banner import banner as banner_text


class Command(BaseCommand):
    """Parse arguments, check, and hand over to ``python -m mailcore.supervisor``."""

    help = "Run the mail server: SMTP, submission, IMAP, POP3, the web and the queue."
    # Django's own checks are about the code, which does not change between two starts; they take half a second.
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare ``--log-format``, ``--mail-processes``, ``--catch-all`` and ``--banner``."""
        parser.add_argument("--log-format", choices=["json", "console"], help="json, or console for people to read")
        parser.add_argument("--mail-processes", type=int, metavar="N", help="more than one only on PostgreSQL")
        parser.add_argument(
            "--catch-all",
            metavar="ADDRESS",
            help="for developers: put all mail, whomever it is for, into this mailbox, and send nothing out",
        )
        parser.add_argument("--banner", action="store_true", help="say what listens where, and what to try")

    def handle(
        self,
        *args: Any,  # noqa: ARG002
        log_format: str | None,
        mail_processes: int | None,
        catch_all: str | None,
        banner: bool,
        **options: Any,  # noqa: ARG002
    ) -> None:
        """Check, then become the supervisor; never returns."""
        env = current()
        if catch_all is not None:
            env = replace(env, catch_all=catch_all)
            os.environ["A3MAILER_CATCH_ALL"] = catch_all
        processes = mail_processes or env.mail_processes
        check_processes(processes)
        check_data_dir(env.data_dir)
        check_migrations()
        check_certificate(env)
        check_catch_all(env)
        if banner or sys.stderr.isatty():
            self.stderr.write(banner_text(env, first_mailbox()))
        os.environ["A3MAILER_MAIL_PROCESSES"] = str(processes)
        if log_format is not None:
            os.environ[journal.VARIABLE] = log_format
        connection.close()
        sys.stdout.flush()
        sys.stderr.flush()
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(BASE_DIR), os.environ.get("PYTHONPATH", "")]))
        os.execv(sys.executable, [sys.executable, "-m", "mailcore.supervisor"])  # noqa: S606 - no shell wanted


def first_mailbox() -> str:
    """Return the address of the first mailbox that is not an administrator's, or a placeholder."""
    users = User.objects.filter(is_superuser=False, is_active=True, email__isnull=False)
    return users.order_by("pk").values_list("email", flat=True).first() or "YOU@YOUR.DOMAIN"


def check_processes(count: int) -> None:
    """Refuse several mail processes on SQLite, which has one writer anyway."""
    if count < 1:
        raise CommandError(_("There must be at least one mail process."))
    if count > 1 and connection.vendor == "sqlite":
        raise CommandError(_("Several mail processes need PostgreSQL (DATABASE_URL); on SQLite they gain nothing."))


def check_data_dir(path: Path) -> None:
    """Close the data directory to others: it holds mail, keys and the control socket."""
    status = path.stat()
    if stat.S_IMODE(status.st_mode) & 0o077:
        try:
            path.chmod(0o700)
        except PermissionError:
            message = _("The data directory %(path)s is open to others and belongs to somebody else; make it 0700.")
            raise CommandError(message % {"path": path}) from None
    if not os.access(path, os.W_OK | os.X_OK):
        raise CommandError(_("The data directory %(path)s cannot be written to.") % {"path": path})


def check_migrations() -> None:
    """Refuse to run on a database that has other tables than this code expects."""
    try:
        executor = MigrationExecutor(connection)
        missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError as error:
        raise CommandError(_("The database does not answer: %(reason)s") % {"reason": error}) from error
    if missing:
        message = _("The database lacks %(count)d migrations. Run: manage.py migrate")
        raise CommandError(message % {"count": len(missing)})


def check_catch_all(env: Env) -> None:
    """See that the mailbox for all mail is one of ours."""
    if env.catch_all and resolve(env.catch_all).status != "ok":
        message = _("%(address)s cannot take all mail: there is no such mailbox here, or it is disabled.")
        raise CommandError(message % {"address": env.catch_all})


def check_certificate(env: Env) -> None:
    """See that there is a certificate that can be used; make a self-signed one when none is set."""
    try:
        tls.ensure_pair(env)
        tls.context(env)
    except SettingError as error:
        raise CommandError(str(error)) from error
