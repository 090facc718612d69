"""Who may do what in which mailbox."""

from typing import Any

from mailcore.dialogue import Question
from mailcore.imap.answers.common import Answer, find, refusing
from mailcore.imap.questions import Acl, ChangeAcl, GetAcl, Grantable, ListRights, MyRights, RightsIn
from mailcore.store import access
from mailcore.store.refusals import NoSuchMailboxError
from mailcore.transport import Doors

# RFC 4314 section 4: with any of these an account may hear which it has.
_TELLING = set("lrikxa")


@refusing
async def get_acl(question: GetAcl, doors: Doors) -> Acl:
    """Return the list of a mailbox."""
    return await doors.database(_acl, question.account, question.name)


def _acl(account: int, name: str) -> Acl:
    owner, mailbox = _administered(account, name)
    return Acl(access.entries(owner, mailbox))


def _administered(account: int, name: str) -> tuple[int, int]:
    """Return owner and id of a mailbox of which the account may change the list."""
    place = access.resolve(account, name, "a")
    return place.owner, place.mailbox or find(place.owner, place.name)


@refusing
async def change_acl(question: ChangeAcl, doors: Doors) -> None:
    """Change the list of a mailbox."""
    owner, mailbox = await doors.database(_administered, question.account, question.name)
    await doors.commit(
        access.AccessChange(
            owner,
            mailbox,
            question.identifier,
            question.mode,
            question.rights,
            by=question.account,
            address=question.address,
        )
    )


@refusing
async def list_rights(question: ListRights, doors: Doors) -> Grantable:
    """Return what an identifier may be given."""
    return await doors.database(_grantable, question)


def _grantable(question: ListRights) -> Grantable:
    owner, _ = _administered(question.account, question.name)
    return Grantable(*access.possible(owner, question.identifier))


@refusing
async def my_rights(question: MyRights, doors: Doors) -> str:
    """Return what the account may do in a mailbox."""
    return await doors.database(_my_rights, question.account, question.name)


def _my_rights(account: int, name: str) -> str:
    place = access.resolve(account, name)
    if not _TELLING & set(place.rights):
        raise NoSuchMailboxError(name)
    if not place.mailbox:
        find(place.owner, place.name)
    return place.rights


@refusing
async def rights_in(question: RightsIn, doors: Doors) -> str:
    """Return what the account may do in a mailbox of somebody else's, from memory where nothing has changed."""
    known = access.known_rights(question.account, question.key.mailbox)
    if known is None:
        known = await doors.database(access.rights_in, question.account, question.key.mailbox)
    return known


ANSWERS: dict[type[Question], Answer[Any, Any]] = {
    GetAcl: get_acl,
    ChangeAcl: change_acl,
    ListRights: list_rights,
    MyRights: my_rights,
    RightsIn: rights_in,
}
