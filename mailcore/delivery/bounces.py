"""Which notices the sender of a message gets about the outcome of an attempt (RFC 3461, 3464).

Decides and builds; ``settlement.py`` accepts them in the transaction of the outcome. A message with the null
reverse-path, a notice above all, never causes another (RFC 5321 section 6.1).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from a3mailer_site.env import current
from a3mailer_site.ids import new_id, to_text
from mailcore.delivery.jobs import Entry, Mail, Result
from mailcore.intake.acceptance import Acceptance
from mailcore.intake.internal import accept_internal
from mailcore.message.dsn import Notification, RecipientReport, build
from mailcore.message.dsn_actions import Action
from mailqueue.bodies import open_body
from mailqueue.models import MessageEvent

# Without a word from the sender, a message up to this size is given back whole with a failure; in octets.
FULL_RETURN_LIMIT = 64 * 1024
# More of a message than this is never given back, even when asked for: its header is.
RETURN_LIMIT = 2 * 1024 * 1024
_HEADER_LIMIT = 64 * 1024

_NOTICE_OF = {Action.FAILED: "FAILURE", Action.DELAYED: "DELAY", Action.DELIVERED: "SUCCESS", Action.RELAYED: "SUCCESS"}


@dataclass(frozen=True, slots=True)
class Notice:
    """A notice ready to be accepted, and what it is about."""

    acceptance: Acceptance
    entries: tuple[Entry, ...]
    kind: str  # of the event in the timeline of the message that it is about


def wants(mail: Mail, entry: Entry, action: Action) -> bool:
    """Say whether the sender is to hear of this."""
    return bool(mail.sender) and entry.wants(_NOTICE_OF[action])


def make_notice(mail: Mail, results: Sequence[tuple[Result, Action]], now: datetime) -> Notice | None:
    """Build one notice about these recipients; ``None`` when nobody wants it or nobody can take it.

    Reads the database and the message; not inside a transaction.
    """
    told = [(result, action) for result, action in results if wants(mail, result.entry, action)]
    if not told:
        return None
    host = current().host_name
    failed = any(action is Action.FAILED for _result, action in told)
    full = failed and _returns_all(mail)
    notification = Notification(
        reporting_mta=host,
        recipient=mail.sender,
        sender=f"postmaster@{host}",
        message_id=f"<{to_text(new_id())}@{host}>",
        at=int(now.timestamp()),
        reports=tuple(_report(mail, result, action, now) for result, action in told),
        original=_original(mail, whole=full),
        return_full=full,
        envelope_id=mail.envid,
        arrived_at=int(mail.received_at.timestamp()),
        utf8=mail.smtputf8,
        language=current().language,
    )
    acceptance = accept_internal(
        mail.sender,
        build(notification),
        about=mail.id,
        smtputf8=notification.smtputf8,
        requiretls=mail.requiretls,
    )
    if acceptance is None:
        return None
    kind = MessageEvent.Kind.DELAY_NOTICE if told[0][1] is Action.DELAYED else MessageEvent.Kind.BOUNCED
    return Notice(acceptance, tuple(result.entry for result, _action in told), kind)


def _returns_all(mail: Mail) -> bool:
    if mail.ret == "HDRS" or mail.requiretls:  # RFC 8689 section 5
        return False
    return mail.size <= (RETURN_LIMIT if mail.ret == "FULL" else FULL_RETURN_LIMIT)


def _original(mail: Mail, *, whole: bool) -> bytes:
    with open_body(mail.body_id) as body:
        return body.read() if whole else body.read(_HEADER_LIMIT)


def _report(mail: Mail, result: Result, action: Action, now: datetime) -> RecipientReport:
    outcome, entry = result.outcome, result.entry
    return RecipientReport(
        address=entry.recipient,
        action=action,
        status=outcome.status,
        original=entry.orcpt,
        remote_mta=result.contact.host if outcome.code else "",
        diagnostic=outcome.words if outcome.code else outcome.text,
        diagnostic_is_smtp=outcome.code is not None,
        last_attempt=int(now.timestamp()),
        retry_until=int(mail.expires_at.timestamp()),
    )
