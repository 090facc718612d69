"""The notice of success for recipients that are mailboxes here, when the sender asked for it (RFC 3461 section 4.1).

It is accepted in the transaction that delivers the message. Recipients elsewhere are the way out's business.

Only who has logged in gets one elsewhere. The sender of mail from outside is unproven: anybody could have notices, with
a header of their own, sent to people who never wrote to us.
"""

import time

from a3mailer_site.env import current
from a3mailer_site.ids import new_id, to_text
from accounts.addresses import resolve
from mailcore.intake.acceptance import Acceptance
from mailcore.intake.internal import accept_internal
from mailcore.intake.routing import Plan
from mailcore.message.dsn import Notification, RecipientReport, build
from mailcore.message.dsn_actions import Action
from mailcore.message.envelope import Envelope
from mailcore.store.prepared import Prepared


def success_notice(envelope: Envelope, plan: Plan, message: int, ready: Prepared) -> Acceptance | None:
    """Make the notice; ``None`` when nobody asked, or its recipient takes no mail. Reads the database."""
    here = {delivery.recipient for delivery in plan.deliveries} | {part.recipient for part in plan.expansions}
    asked = [one for one in envelope.recipients if "SUCCESS" in one.notify and one.address in here]
    if not asked or not envelope.sender or not _is_known(envelope):
        return None
    aliases = {part.recipient for part in plan.expansions}
    now = int(time.time())
    host = current().host_name
    notification = Notification(
        reporting_mta=host,
        recipient=envelope.sender,
        sender=f"postmaster@{host}",
        message_id=f"<{to_text(new_id())}@{host}>",
        at=now,
        reports=tuple(
            RecipientReport(
                address=one.address,
                action=Action.EXPANDED if one.address in aliases else Action.DELIVERED,
                status="2.1.5",
                original=one.orcpt,
                last_attempt=now,
            )
            for one in asked
        ),
        # A notice of success returns the header at most (RFC 3461 section 4.3); the fields that are kept are enough.
        original=ready.summary.fields,
        envelope_id=envelope.envid,
        arrived_at=now,
        utf8=envelope.smtputf8,
        language=current().language,
    )
    return accept_internal(
        envelope.sender,
        build(notification),
        about=message,
        smtputf8=notification.smtputf8,
        requiretls=envelope.requiretls,
    )


def _is_known(envelope: Envelope) -> bool:
    """Say whether the notice goes to who has really sent the message, or stays here."""
    if envelope.client is not None and envelope.client.login is not None:
        return True
    here = resolve(envelope.sender)
    return here.status == "ok" and not here.external
