"""What the questions of a POP3 session mean here: INBOX as a maildrop.

The lock of a maildrop is held in the process: it spares a user two programs that fetch and delete at once. Nothing is
lost without it (a message is deleted by its UID, once), so it does not reach over several mail processes.
"""

from collections import deque
from typing import Any

from twisted.internet.defer import Deferred

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
from mailcore.store.acts import Actor
from mailcore.store.batch import GoneError
from mailcore.store.changes import Expunge
from mailcore.store.mailboxes import inbox_id
from mailcore.store.models import Mailbox

# Seconds that a session waits for the one before it: programs come back before their last connection has ended.
LOCK_PATIENCE = 10.0


class Locks:
    """Who holds which maildrop, and who stands in line for it. In the reactor's thread only."""

    def __init__(self) -> None:
        self._holders: dict[int, Holder] = {}
        self._waiting: dict[int, deque[tuple[Holder, Deferred[bool]]]] = {}

    def take(self, account: int, holder: Holder) -> "Deferred[bool]":
        """Fire with ``True`` once ``holder`` has the maildrop; with ``False`` if it was let go while it waited."""
        turn: Deferred[bool] = Deferred()
        if account in self._holders:
            self._waiting.setdefault(account, deque()).append((holder, turn))
        else:
            self._holders[account] = holder
            turn.callback(True)
        return turn

    def let_go(self, account: int, holder: Holder) -> None:
        """Give the maildrop to the next in line, or leave the line; without either nothing is to be done."""
        line = self._waiting.get(account, deque())
        if self._holders.get(account) is holder:
            del self._holders[account]
            if line:
                self._holders[account], turn = line.popleft()
                turn.callback(True)
        else:
            for place in [place for place in line if place[0] is holder]:
                line.remove(place)
                place[1].callback(False)
        if not line:
            self._waiting.pop(account, None)


locks = Locks()


def _list(account: int) -> Maildrop:
    inbox = inbox_id(account)
    uidvalidity = Mailbox.objects.values_list("uidvalidity", flat=True).get(pk=inbox, owner_id=account)
    return Maildrop(
        inbox,
        tuple(MaildropMessage(uid, f"{uidvalidity}.{uid}", size) for uid, size in reading.sizes(account, inbox)),
    )


async def open_maildrop(question: OpenMaildrop, doors: Any) -> Maildrop | MaildropRefusal:
    """Lock, then list. Who would wait too long for another session is refused."""
    from twisted.internet import reactor  # noqa: PLC0415 - importing it installs it

    account = question.login.account_id
    turn = locks.take(account, question.holder)
    if not turn.called:
        patience = reactor.callLater(LOCK_PATIENCE, locks.let_go, account, question.holder)
        turn.addBoth(_stop_waiting, patience)
    if not await turn:
        return MaildropRefusal.IN_USE
    maildrop: Maildrop = await doors.database(_list, account)
    return maildrop


def _stop_waiting(result: Any, patience: Any) -> Any:
    if patience.active():
        patience.cancel()
    return result


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
        by = Actor(doors.connection.login, doors.connection.peer.address, doors.connection.protocol)
        await doors.commit(Expunge(owner, question.mailbox_id, sorted(question.uids), flagged_only=False, by=by))
    except GoneError:
        return


async def release_maildrop(question: ReleaseMaildrop, doors: Any) -> None:  # noqa: ARG001 - all answers look alike
    """Let go, or stop waiting."""
    locks.let_go(question.login.account_id, question.holder)


ANSWERS: dict[type[Question], Any] = {
    VerifyPassword: verify_password,
    OpenMaildrop: open_maildrop,
    FetchMessage: fetch_message,
    DeleteMessages: delete_messages,
    ReleaseMaildrop: release_maildrop,
}
