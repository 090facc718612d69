"""New messages: may they come, and where they go."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from accounts.models import User
from mailcore.dialogue import Question
from mailcore.imap.answers.common import Answer, into, refusing, target
from mailcore.imap.names import INBOX
from mailcore.imap.questions import Appended, AppendedMessage, AppendMessages, CheckAppend, Refused
from mailcore.message.envelope import BodySink
from mailcore.store import changes, mailboxes
from mailcore.store.access import Place
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
async def append_messages(question: AppendMessages, doors: Doors) -> Appended:
    """Put messages into a mailbox."""
    where = (question.account, question.name)
    try:
        known = mailboxes.cached_inbox_id(question.account) if question.name == INBOX else _ids.get(where)
        if known is not None and _is_small(question.messages):
            work = _prepared(question, known)
        else:
            work = await doors.database(_prepared, question, known)
        try:
            appended = Appended(*await doors.commit(work))
        except NoSuchMailboxError:
            # What was remembered holds no more. Nobody has the name, or another mailbox.
            if _ids.pop(where, None) is None:
                raise
            work = replace(work, mailbox=(await doors.database(target, *where)).mailbox)
            appended = Appended(*await doors.commit(work))
        if work.owner == question.account:
            _remember(where, work.mailbox)
        return appended
    finally:
        for message in question.messages:
            message.body.abandon()


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


def _prepared(question: AppendMessages, mailbox: int | None) -> changes.Append:
    """Make the work; ``mailbox`` is remembered, and the account's own."""
    if mailbox is None:
        place = target(question.account, question.name)
    else:
        place = Place(question.account, question.name, ALL_RIGHTS, mailbox)
    ready = [
        changes.NewMessage(prepare(_octets(message.body)), message.flags, message.keywords, message.internal_date)
        for message in question.messages
    ]
    return changes.Append(place.owner, place.mailbox, ready, place.name, place.rights)


def _octets(body: BodySink) -> bytes:
    if not isinstance(body, Spool):
        raise TypeError("the body of a message must be a spool")
    return body.read()


ANSWERS: dict[type[Question], Answer[Any, Any]] = {
    CheckAppend: check_append,
    AppendMessages: append_messages,
}
