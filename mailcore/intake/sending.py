"""On which terms somebody who has logged in may send: at once or later, and how much of it.

Used by submission and by the API. Whether the sender's address and the recipients are right is asked elsewhere.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from django.utils import translation
from django.utils.translation import gettext as _

from a3mailer_site.env import current
from a3mailer_site.figures import figures
from a3mailer_site.ids import new_id, to_text
from accounts.models import User
from mailcore.intake.acceptance import Acceptance
from mailcore.intake.internal import accept_internal
from mailcore.message.dates import format_date
from mailcore.message.envelope import Reply
from mailcore.message.writer import HeaderWriter
from mailqueue import holds, sending, suppressions
from mailqueue.sending import Excess, Limit
from security.audit import record
from security.models import AuditEntry

log = structlog.get_logger("mailcore.intake.sending")

GONE = Reply(454, "4.7.0", "This account is not what it was, log in again")
FAR_TOO_MUCH = Reply(452, "4.7.1", "You have sent to far too many recipients, try again in an hour")

Kind = sending.Kind


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for one message of one sender."""

    undo_seconds: int = 0
    counted: tuple[tuple[str, int], ...] = ()  # as whose sending it counts
    excess: Excess | None = None  # a limit that it passes: it is held
    tracked: str = ""  # the sender's domain, if that wants to know which addresses bounce

    @property
    def hold(self) -> str:
        """Why it is held; empty when it is not."""
        return self.excess.code if self.excess else ""

    def release_at(self, hold_for: int, hold_until: int, now: datetime) -> datetime | None:
        """Return before when nobody gets it; ``None``: at once. Seconds from now, a moment (Unix time), or neither."""
        wanted = max(now.timestamp() + hold_for, hold_until, now.timestamp() + self.undo_seconds)
        return now + timedelta(seconds=wanted - now.timestamp()) if wanted > now.timestamp() else None


def terms(account: int, sender: str, elsewhere: int, now: datetime) -> Terms | Reply:
    """Return the terms for a message to so many recipients elsewhere, or a refusal. Reads the database."""
    user = User.objects.filter(pk=account).select_related("domain").first()
    if user is None:
        return GONE
    hour, day = current().sending_limits
    limits = [
        Limit(
            Kind.USER,
            user.pk,
            hour if user.send_limit_hour is None else user.send_limit_hour,
            day if user.send_limit_day is None else user.send_limit_day,
        )
    ]
    if user.domain is not None:
        limits.append(Limit(Kind.DOMAIN, user.domain.pk, user.domain.send_limit_hour, user.domain.send_limit_day))
    excess = sending.excess(limits, elsewhere, now) if elsewhere else None
    if excess is not None and excess.far:
        figures.count("sending.refused")
        return FAR_TOO_MUCH
    counted = tuple((limit.kind, limit.number) for limit in limits) if elsewhere else ()
    tracked = suppressions.tracks(sender) if elsewhere else ""
    return Terms(user.undo_seconds, counted, excess, tracked)


def alarm(account: int, message: int, excess: Excess, now: datetime) -> Acceptance | None:
    """Tell the administrator, once as long as it goes on; returns a message to be accepted. Uses the database."""
    figures.count("sending.held")
    if not sending.first_to_know(excess.limit, now):
        return None
    user = User.objects.filter(pk=account).first()
    name = str(user) if user is not None else str(account)
    record(
        "sending_limit_reached",
        AuditEntry.EventType.SECURITY_VIOLATION,
        severity=AuditEntry.Severity.WARNING,
        user_id=account,
        metadata={"name": name, "reason": excess.code, "queue_id": to_text(message)},
    )
    log.warning("a sending limit is reached, mail is held", login=name, reason=excess.code, message=to_text(message))
    with translation.override(current().language):
        return accept_internal("postmaster", _letter(name, message, excess, now), about=message)


def _letter(name: str, message: int, excess: Excess, now: datetime) -> bytes:
    host = current().host_name
    text = _(
        "%(reason)s\n\n"
        "What %(name)s sends to others from now on is held in the queue (the first message is %(message)s). If that is "
        "wanted, release it there and raise the limit of the user. If it is not, the password may be known to "
        "somebody: change it, and put what is held into the trash.\n"
    ) % {"reason": holds.words(excess.code), "name": name, "message": to_text(message)}
    header = (
        HeaderWriter()
        .mailbox("From", f"postmaster@{host}", "A3Mailer")
        .mailbox("To", f"postmaster@{host}")
        .structured("Date", format_date(int(now.timestamp()), 0))
        .structured("Message-ID", f"<{to_text(new_id())}@{host}>")
        .text("Subject", _("Mail of %(name)s is held") % {"name": name})
        .structured("Auto-Submitted", "auto-generated")
        .structured("MIME-Version", "1.0")
        .structured("Content-Type", "text/plain; charset=utf-8")
        .structured("Content-Transfer-Encoding", "8bit")
        .to_bytes()
    )
    return header + b"\r\n" + text.encode().replace(b"\n", b"\r\n")
