"""New messages: may they come, and where they go."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from accounts.models import User
from mailcore.dialogue import Question
from mailcore.imap.answers.common import Answer, actor, find, into, refusing, target
from mailcore.imap.names import INBOX
from mailcore.imap.questions import (
    Appended,
    AppendedMessage,
    AppendMessages,
    CheckAppend,
    FindMailbox,
    MailboxKey,
    Refused,
    ReplaceMessage,
)
from mailcore.message.binary import NotMimeError, without_nul
from mailcore.message.envelope import BodySink
from mailcore.store import access, changes, mailboxes
from mailcore.store.access import Place
from mailcore.store.acts import Actor
from mailcore.store.batch import GoneError, Work
from mailcore.store.models import Mailbox
from mailcore.store.prepared import INLINE_LIMIT, prepare
from mailcore.store.refusals import NoSuchMailboxError
from mailcore.store.rights import ALL_RIGHTS
from mailcore.store.spool import Spool
from mailcore.transport import Doors


@into
@refusing
async def check_append(question: CheckAppend, doors: Doors) -> Refused | None:
    """Say whether a message of this size would be taken."""
    return await doors.database(_check_append, question)


def _check_append(question: CheckAppend) -> Refused | None:
    place = target(question.account, question.name)
    quota, used = User.objects.values_list("quota", "used_quota").get(pk=place.owner)
    return Refused.OVER_QUOTA if quota and used + question.size > quota else None


@into
@refusing
async def append_messages(question: AppendMessages, doors: Doors) -> Appended | Refused:
    """Put messages into a mailbox."""
    try:
        return await _append(question, doors, lambda work: work)
    except NotMimeError:
        return Refused.UNKNOWN_CTE
    finally:
        for message in question.messages:
            message.body.abandon()


@into
@refusing
async def replace_message(question: ReplaceMessage, doors: Doors) -> Appended | Refused:
    """Put a message into a mailbox in the place of another one."""
    by = actor(doors, question.device)
    append = AppendMessages(question.account, question.name, (question.message,))
    try:
        return await _append(append, doors, lambda work: changes.Replace(*question.key, question.uid, work, by))
    except NotMimeError:
        return Refused.UNKNOWN_CTE
    except GoneError:
        return Refused.EXPUNGED
    finally:
        question.message.body.abandon()


async def _append(
    question: AppendMessages, doors: Doors, finished: Callable[[changes.Append], Work[changes.Appended]]
) -> Appended:
    """Prepare the messages and commit; ``finished`` makes the work that is committed of the one that appends them."""
    where = (question.account, question.name)
    known = mailboxes.cached_inbox_id(question.account) if question.name == INBOX else _ids.get(where)
    by = actor(doors, question.device)
    if known is not None and _is_small(question.messages):
        work = _prepared(question, known, by)
    else:
        work = await doors.database(_prepared, question, known, by)
    try:
        appended = Appended(*await doors.commit(finished(work)))
    except NoSuchMailboxError:
        # What was remembered holds no more. Nobody has the name, or another mailbox.
        if _ids.pop(where, None) is None:
            raise
        work = replace(work, mailbox=(await doors.database(target, *where)).mailbox)
        appended = Appended(*await doors.commit(finished(work)))
    if work.owner == question.account:
        _remember(where, work.mailbox)
    # RFC 4315 section 3: UIDs disclose what is in a mailbox.
    return appended if "r" in work.rights else appended._replace(uidvalidity=0)


# Ids of own mailboxes that messages were appended to, by account and name; the commit sees whether they still hold.
_ids: dict[tuple[int, str], int] = {}
_IDS_LIMIT = 10_000


def _remember(where: tuple[int, str], mailbox: int) -> None:
    if where[1] == INBOX:
        return  # remembered for all by ``mailboxes``
    if len(_ids) >= _IDS_LIMIT:
        _ids.clear()
    _ids[where] = mailbox


def _is_small(messages: Sequence[AppendedMessage]) -> bool:
    return sum(message.body.size for message in messages) <= INLINE_LIMIT


def _prepared(question: AppendMessages, mailbox: int | None, by: Actor | None) -> changes.Append:
    """Make the work; ``mailbox`` is remembered, and the account's own."""
    if mailbox is None:
        place = target(question.account, question.name)
    else:
        place = Place(question.account, question.name, ALL_RIGHTS, mailbox)
    ready = [
        changes.NewMessage(prepare(_octets(message.body)), message.flags, message.keywords, message.internal_date)
        for message in question.messages
    ]
    return changes.Append(place.owner, place.mailbox, ready, place.name, place.rights, by)


def _octets(body: BodySink) -> bytes:
    if not isinstance(body, Spool):
        raise TypeError("the body of a message must be a spool")
    octets = body.read()
    # No literal that a FETCH answers may hold NUL, so what came as literal8 is stored without.
    return without_nul(octets) if b"\0" in octets else octets


@refusing
async def find_mailbox(question: FindMailbox, doors: Doors) -> MailboxKey:
    """Return the mailbox that a URL names."""
    return await doors.database(_find, question)


def _find(question: FindMailbox) -> MailboxKey:
    """Find a mailbox that the account may read."""
    place = access.resolve(question.account, question.name, "r")
    mailbox = place.mailbox or find(place.owner, place.name)
    if question.uidvalidity is not None:
        named = Mailbox.objects.filter(pk=mailbox, uidvalidity=question.uidvalidity)
        if not named.exists():
            raise NoSuchMailboxError(f"mailbox {mailbox} has another UIDVALIDITY")
    return MailboxKey(place.owner, mailbox)


ANSWERS: dict[type[Question], Answer[Any, Any]] = {
    CheckAppend: check_append,
    AppendMessages: append_messages,
    ReplaceMessage: replace_message,
    FindMailbox: find_mailbox,
}
