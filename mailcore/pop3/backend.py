"""What the questions of a POP3 session mean here: INBOX as a maildrop."""

from typing import Any

from twisted.internet.task import deferLater

from a3mailer_site.env import current
from mailcore.dialogue import Pause, Question
from mailcore.intake.login import verify_password
from mailcore.pop3.listing import listings
from mailcore.pop3.locks import MaildropLocks
from mailcore.pop3.questions import (
    DeleteMessages,
    FetchMessage,
    FetchMessages,
    Maildrop,
    MaildropRefusal,
    OpenMaildrop,
    ReleaseMaildrop,
)
from mailcore.sasl.questions import VerifyPassword
from mailcore.store import reading
from mailcore.store.acts import Actor
from mailcore.store.batch import GoneError
from mailcore.store.changes import Expunge
from mailcore.transport import pause

# Seconds that a session waits for the one before it: programs come back before their last connection has ended.
LOCK_PATIENCE = 10.0


def _sleep(seconds: float) -> Any:
    from twisted.internet import reactor  # noqa: PLC0415 - importing it installs it

    return deferLater(reactor, seconds)


locks = MaildropLocks(lambda: current().data_dir / "pop3.lock", _sleep)


def _list(account: int) -> Maildrop | MaildropRefusal:
    try:
        return listings.open(account)
    except GoneError:
        return MaildropRefusal.GONE


async def open_maildrop(question: OpenMaildrop, doors: Any) -> Maildrop | MaildropRefusal:
    """Lock, then list. Who would wait too long for another session is refused."""
    from twisted.internet import reactor  # noqa: PLC0415 - importing it installs it

    account = question.login.account_id
    patience = reactor.callLater(LOCK_PATIENCE, locks.let_go, account, question.holder)
    try:
        taken = await locks.take(account, question.holder)
    finally:
        if patience.active():
            patience.cancel()
    if not taken:
        return MaildropRefusal.IN_USE
    maildrop: Maildrop | MaildropRefusal = await doors.database(_list, account)
    if isinstance(maildrop, MaildropRefusal):
        locks.let_go(account, question.holder)
    return maildrop


async def fetch_messages(question: FetchMessages, doors: Any) -> dict[int, bytes]:
    """Read small messages of the owner, all at once."""
    owner = doors.connection.account_id
    found: dict[int, bytes] = await doors.database(reading.whole, owner, question.mailbox_id, question.uids)
    return found


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
    FetchMessages: fetch_messages,
    FetchMessage: fetch_message,
    DeleteMessages: delete_messages,
    ReleaseMaildrop: release_maildrop,
    Pause: pause,
}
