"""What the questions of a POP3 session mean here: INBOX as a maildrop.

The lock of a maildrop is held in the process: it spares a user two programs that fetch and delete at once. Nothing is
lost without it (a message is deleted by its UID, once), so it does not reach over several mail processes.
"""

from typing import Any

from mailcore.dialogue import Question
from mailcore.intake.login import verify_password
from mailcore.pop3.questions import (
    DeleteMessages,
    FetchMessage,
    Holder,
    Maildrop,
    MaildropMessage,
    MaildropRefusal,
    OpenMaildrop,
    ReleaseMaildrop,
)
from mailcore.sasl.questions import VerifyPassword
from mailcore.store import reading
from mailcore.store.batch import GoneError
from mailcore.store.changes import Expunge
from mailcore.store.mailboxes import inbox_id
from mailcore.store.models import Mailbox

_holders: dict[int, Holder] = {}


def _list(account: int) -> Maildrop:
    inbox = inbox_id(account)
    uidvalidity = Mailbox.objects.values_list("uidvalidity", flat=True).get(pk=inbox, owner_id=account)
    return Maildrop(
        inbox,
        tuple(MaildropMessage(uid, f"{uidvalidity}.{uid}", size) for uid, size in reading.sizes(account, inbox)),
    )


async def open_maildrop(question: OpenMaildrop, doors: Any) -> Maildrop | MaildropRefusal:
    """Lock, then list. The lock is taken before anything is awaited: a release can come at any time after that."""
    account = question.login.account_id
    if account in _holders:
        return MaildropRefusal.IN_USE
    _holders[account] = question.holder
    maildrop: Maildrop = await doors.database(_list, account)
    return maildrop


async def fetch_message(question: FetchMessage, doors: Any) -> bytes | None:
    """Read a slice of one of the owner's messages."""
    owner = doors.connection.account_id
    piece: bytes | None = await doors.database(
        reading.read_piece, owner, question.mailbox_id, question.uid, question.offset, question.limit
    )
    return piece


async def delete_messages(question: DeleteMessages, doors: Any) -> None:
    """Expunge what was marked; durable when answered. A mailbox that is gone has nothing left to delete."""
    owner = doors.connection.account_id
    try:
        await doors.commit(Expunge(owner, question.mailbox_id, sorted(question.uids), flagged_only=False))
    except GoneError:
        return


async def release_maildrop(question: ReleaseMaildrop, doors: Any) -> None:  # noqa: ARG001 - all answers look alike
    """Let go, if this session holds it."""
    account = question.login.account_id
    if _holders.get(account) is question.holder:
        del _holders[account]


ANSWERS: dict[type[Question], Any] = {
    VerifyPassword: verify_password,
    OpenMaildrop: open_maildrop,
    FetchMessage: fetch_message,
    DeleteMessages: delete_messages,
    ReleaseMaildrop: release_maildrop,
}
