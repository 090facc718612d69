"""Annotations of mailboxes and of the server, and who may read and write them."""

from typing import Any

from mailcore.dialogue import Question
from mailcore.imap.answers.common import Answer, find, refusing
from mailcore.imap.questions import FoundMetadata, GetMetadata, ListMetadata, ReadAnnotations, SetMetadata
from mailcore.store import access, metadata
from mailcore.store.refusals import NoPermissionError
from mailcore.transport import Doors

# Mailboxes read in one go of a reader thread.
READ_AT_ONCE = 500


@refusing
async def get_metadata(question: GetMetadata, doors: Doors) -> FoundMetadata:
    """Return entries."""
    return await doors.database(_read, question)


def _read(question: GetMetadata) -> FoundMetadata:
    mailbox = _place(question.account, question.name)[1] if question.name else None
    return FoundMetadata(*metadata.read(question.account, mailbox, question.entries, question.depth, question.most))


def _place(account: int, name: str, needed: str = "") -> tuple[int, int]:
    """Return owner and id of a mailbox whose annotations the account may see.

    RFC 5464 section 3.3: needs ``l`` and one of ``r``, ``s``, ``w``, ``i``, ``p``.
    """
    place = access.resolve(account, name, "l" + needed)
    if not set("rswip") & set(place.rights):
        raise NoPermissionError(f"only {place.rights} in {name!r}")
    return place.owner, place.mailbox or find(place.owner, place.name)


@refusing
async def list_metadata(question: ListMetadata, doors: Doors) -> dict[int, dict[str, bytes]]:
    """Return entries of many mailboxes."""
    found: dict[int, dict[str, bytes]] = {}
    for start in range(0, len(question.mailboxes), READ_AT_ONCE):
        part = question.mailboxes[start : start + READ_AT_ONCE]
        found.update(await doors.database(metadata.read_many, question.account, part, question.entries))
    return found


@refusing
async def read_annotations(question: ReadAnnotations, doors: Doors) -> dict[int, dict[str, int | str]]:
    """Return which entries there are."""
    return await doors.database(metadata.versions, question.account, question.mailboxes)


@refusing
async def set_metadata(question: SetMetadata, doors: Doors) -> None:
    """Write entries."""
    await doors.commit(await doors.database(_plan, question))


def _plan(question: SetMetadata) -> metadata.SetMetadata:
    shared = any(entry.startswith(metadata.SHARED) for entry, _ in question.values)
    owner, mailbox = question.account, None
    if question.name:
        # What all who see the mailbox will see is as good as a flag of a message.
        owner, mailbox = _place(question.account, question.name, "w" if shared else "")
    elif shared:
        metadata.check_administrator(question.account)
    return metadata.SetMetadata(question.account, owner, mailbox, dict(question.values))


ANSWERS: dict[type[Question], Answer[Any, Any]] = {
    GetMetadata: get_metadata,
    ListMetadata: list_metadata,
    ReadAnnotations: read_annotations,
    SetMetadata: set_metadata,
}
