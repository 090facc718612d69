"""Messages that this server writes itself: they come in like any other, without a connection.

Used for delivery status notifications: null sender, one recipient, local or elsewhere.
"""

from a3mailer_site.ids import new_id
from accounts.addresses import resolve
from mailcore.intake.acceptance import Acceptance
from mailcore.intake.routing import plan, refusal
from mailcore.message.envelope import Recipient
from mailcore.message.received import return_path_line
from mailcore.store.prepared import prepare
from mailqueue.models import MessageTrace


def accept_internal(
    recipient: str, content: bytes, *, about: int, smtputf8: bool = False, requiretls: bool = False
) -> Acceptance | None:
    """Make the acceptance of a notice to ``recipient`` about the message with queue id ``about``.

    Returns ``None`` when the address takes no mail: a notice that cannot be delivered is dropped, never bounced (RFC
    5321 section 6.1). Reads the database; not on the reactor.
    """
    if refusal(resolve(recipient), may_relay=True, size=0) is not None:
        return None
    where = plan([Recipient(recipient, notify=frozenset({"NEVER"}))])
    # RFC 5321 section 4.4: the final delivery says who the sender was, and that it was nobody, too.
    prefix = return_path_line("") if where.deliveries else b""
    return Acceptance(
        message=new_id(),
        prepared=prepare(prefix + content),
        plan=where,
        sender="",
        direction=MessageTrace.Direction.INTERNAL,
        received={"notice_about": about, "sender": "", "recipients": 1, "size": len(content)},
        smtputf8=smtputf8,
        requiretls=requiretls,
        eight_bit=not content.isascii(),
    )
