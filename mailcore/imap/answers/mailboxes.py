"""Mailboxes by name: list, status, create, delete, rename, subscribe."""

from typing import Any

from mailcore.dialogue import Question
from mailcore.imap.answers.common import Answer, refusing, with_defaults
from mailcore.imap.names import INBOX
from mailcore.imap.questions import (
    CountDeleted,
    CreateMailbox,
    DeleteMailbox,
    ListMailboxes,
    Mailboxes,
    MailboxRow,
    RenameMailbox,
    Status,
    Subscribe,
)
from mailcore.store import access, mailboxes
from mailcore.store.refusals import NameNotAllowedError, UseNotAllowedError
from mailcore.transport import Doors

# Mailboxes whose messages are counted in one go of a reader thread.
COUNTED_AT_ONCE = 20


@refusing
async def list_mailboxes(question: ListMailboxes, doors: Doors) -> Mailboxes:
    """Return all mailboxes of the account."""
    return await doors.database(_listing, question.account)


def _listing(account: int) -> Mailboxes:
    found = mailboxes.listing(account)
    return Mailboxes([MailboxRow._make(row) for row in found.rows], found.orphaned_subscriptions)


async def count_deleted(question: CountDeleted, doors: Doors) -> dict[int, tuple[int, int]]:
    """Count messages that are flagged as deleted, a few mailboxes at a time."""
    found: dict[int, tuple[int, int]] = {}
    for start in range(0, len(question.mailboxes), COUNTED_AT_ONCE):
        part = question.mailboxes[start : start + COUNTED_AT_ONCE]
        found.update(await doors.database(mailboxes.deleted_totals, part))
    return found


@refusing
async def status(question: Status, doors: Doors) -> MailboxRow:
    """Return the numbers of one mailbox."""
    return await doors.database(_status, question.account, question.name)


def _status(account: int, name: str) -> MailboxRow:
    place = access.resolve(account, name, "r")
    return MailboxRow(*with_defaults(mailboxes.status, place.owner, place.name))._replace(name=name)


@refusing
async def create_mailbox(question: CreateMailbox, doors: Doors) -> int:
    """Make a mailbox."""
    place = await doors.database(access.resolve_new, question.account, question.name)
    if place.owner != question.account and question.special_use:
        raise UseNotAllowedError("a special use is the owner's to give")
    made: int = await doors.commit(mailboxes.CreateMailbox(place.owner, place.name, question.special_use))
    return made


@refusing
async def delete_mailbox(question: DeleteMailbox, doors: Doors) -> int:
    """Remove a mailbox; a large one goes in several transactions."""
    work = await doors.database(_plan_delete, question.account, question.name)
    removed = None
    while removed is None:
        removed = await doors.commit(work)
    return int(removed)


def _plan_delete(account: int, name: str) -> mailboxes.DeleteMailbox:
    place = access.resolve(account, name, "x")
    return mailboxes.plan_delete(place.owner, place.name)


@refusing
async def rename_mailbox(question: RenameMailbox, doors: Doors) -> None:
    """Give a mailbox another name."""
    work = await doors.database(_plan_rename, question.account, question.old_name, question.new_name)
    await doors.commit(work)


def _plan_rename(account: int, old: str, new: str) -> mailboxes.RenameMailbox | mailboxes.RenameInbox:
    source, renamed = access.resolve_both(account, old, new)
    if source.owner != account and source.name == INBOX:
        # It would not be a rename, but all of the owner's new mail moved away.
        raise NameNotAllowedError("only the owner may rename INBOX")
    return mailboxes.plan_rename(source.owner, source.name, renamed.name)


@refusing
async def subscribe(question: Subscribe, doors: Doors) -> None:
    """Add or remove a subscription; the list of names is the account's own, whoever owns the mailboxes."""
    shared = False
    if question.subscribed:
        place = await doors.database(access.resolve, question.account, question.name, "l")
        shared = place.owner != question.account
    await doors.commit(mailboxes.Subscribe(question.account, question.name, question.subscribed, seen=shared))


ANSWERS: dict[type[Question], Answer[Any, Any]] = {
    ListMailboxes: list_mailboxes,
    CountDeleted: count_deleted,
    Status: status,
    CreateMailbox: create_mailbox,
    DeleteMailbox: delete_mailbox,
    RenameMailbox: rename_mailbox,
    Subscribe: subscribe,
}
