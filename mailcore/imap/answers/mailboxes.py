"""Mailboxes by name: list, status, create, delete, rename, subscribe."""

from typing import Any

from mailcore.dialogue import Question
from mailcore.imap.answers.common import Answer, refusing, with_defaults
from mailcore.imap.questions import (
    CreateMailbox,
    DeleteMailbox,
    ListMailboxes,
    Mailboxes,
    MailboxRow,
    RenameMailbox,
    Status,
    Subscribe,
)
from mailcore.store import mailboxes
from mailcore.transport import Doors


@refusing
async def list_mailboxes(question: ListMailboxes, doors: Doors) -> Mailboxes:
    """Return all mailboxes of the account."""
    found = await doors.database(mailboxes.listing, question.account)
    return Mailboxes([MailboxRow(*row) for row in found.rows], found.orphaned_subscriptions)


@refusing
async def status(question: Status, doors: Doors) -> MailboxRow:
    """Return the numbers of one mailbox."""
    return MailboxRow(*await doors.database(with_defaults, mailboxes.status, question.account, question.name))


@refusing
async def create_mailbox(question: CreateMailbox, doors: Doors) -> int:
    """Make a mailbox."""
    made: int = await doors.commit(mailboxes.CreateMailbox(question.account, question.name, question.special_use))
    return made


@refusing
async def delete_mailbox(question: DeleteMailbox, doors: Doors) -> int:
    """Remove a mailbox; a large one goes in several transactions."""
    work = await doors.database(mailboxes.plan_delete, question.account, question.name)
    removed = None
    while removed is None:
        removed = await doors.commit(work)
    return int(removed)


@refusing
async def rename_mailbox(question: RenameMailbox, doors: Doors) -> None:
    """Give a mailbox another name."""
    work = await doors.database(mailboxes.plan_rename, question.account, question.old_name, question.new_name)
    await doors.commit(work)


@refusing
async def subscribe(question: Subscribe, doors: Doors) -> None:
    """Add or remove a subscription."""
    await doors.commit(mailboxes.Subscribe(question.account, question.name, question.subscribed))


ANSWERS: dict[type[Question], Answer[Any, Any]] = {
    ListMailboxes: list_mailboxes,
    Status: status,
    CreateMailbox: create_mailbox,
    DeleteMailbox: delete_mailbox,
    RenameMailbox: rename_mailbox,
    Subscribe: subscribe,
}
