"""What the answers to all questions of an IMAP session have in common: refusals, and names that become ids."""

from collections.abc import Awaitable, Callable, Coroutine
from functools import wraps
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, ensureDeferred

from mailcore.imap.names import INBOX
from mailcore.imap.questions import Refused
from mailcore.store import access, mailboxes
from mailcore.store.access import Place
from mailcore.store.acts import Actor
from mailcore.store.batch import GoneError, OverQuotaError
from mailcore.store.refusals import (
    HasChildrenError,
    LimitError,
    MailboxExistsError,
    NameNotAllowedError,
    NoPermissionError,
    NoSuchIdentifierError,
    NoSuchMailboxError,
    NoSuchQuotaRootError,
    OwnerRightsError,
    StoreRefusedError,
    TooManyEntriesError,
    UseNotAllowedError,
    ValueTooLongError,
)
from mailcore.transport import Doors

Q = TypeVar("Q")
T = TypeVar("T")

_REASONS: dict[type[Exception], Refused] = {
    NoSuchMailboxError: Refused.NO_SUCH_MAILBOX,
    MailboxExistsError: Refused.MAILBOX_EXISTS,
    NameNotAllowedError: Refused.NAME_NOT_ALLOWED,
    HasChildrenError: Refused.HAS_CHILDREN,
    LimitError: Refused.LIMIT,
    OverQuotaError: Refused.OVER_QUOTA,
    GoneError: Refused.NO_SUCH_MAILBOX,
    NoPermissionError: Refused.NO_PERMISSION,
    NoSuchIdentifierError: Refused.NO_SUCH_IDENTIFIER,
    OwnerRightsError: Refused.OWNER_RIGHTS,
    UseNotAllowedError: Refused.USE_NOT_ALLOWED,
    TooManyEntriesError: Refused.TOO_MANY_ENTRIES,
    ValueTooLongError: Refused.VALUE_TOO_LONG,
    NoSuchQuotaRootError: Refused.NO_SUCH_QUOTA_ROOT,
}


def begin(work: Awaitable[T]) -> "Deferred[T | None]":
    """Let this be done while nobody waits for it. What fails gives ``None``: it is done again when it is needed."""

    async def attempt() -> T | None:
        try:
            return await work
        except Exception:  # noqa: BLE001 - told then
            return None

    return ensureDeferred(attempt())


Answer = Callable[[Q, Doors], Coroutine[Any, Any, T]]


def refusing(answer: Answer[Q, T]) -> Answer[Q, T | Refused]:
    """Make a ``Refused`` of what the store raises."""

    @wraps(answer)
    async def refused(question: Q, doors: Doors) -> T | Refused:
        try:
            return await answer(question, doors)
        except (StoreRefusedError, GoneError, OverQuotaError) as error:
            return _REASONS[type(error)]

    return refused


def into(answer: Answer[Q, T]) -> Answer[Q, T]:
    """Say of a missing mailbox that it could be made: messages were to be put into it (RFC 3501 section 7.1)."""

    @wraps(answer)
    async def invited(question: Q, doors: Doors) -> T:
        found = await answer(question, doors)
        return Refused.TRY_CREATE if found is Refused.NO_SUCH_MAILBOX else found  # type: ignore[return-value]

    return invited


def actor(doors: Doors, device: str) -> Actor | None:
    """Return who asks, for the message log."""
    connection = doors.connection
    if connection is None:
        return None
    return Actor(connection.login, connection.peer.address, connection.protocol, device)


def with_defaults(function: Callable[..., T], account: int, *args: Any, **kwargs: Any) -> T:
    """Call a function that looks for a mailbox of this account; a user who has none yet gets those of everybody."""
    try:
        return function(account, *args, **kwargs)
    except NoSuchMailboxError:
        mailboxes.ensure_defaults(account)
        return function(account, *args, **kwargs)


def find(owner: int, name: str) -> int:
    """Return the id of a mailbox under its owner; that of INBOX is remembered in the process."""
    return mailboxes.inbox_id(owner) if name == INBOX else with_defaults(mailboxes.find, owner, name)


def target(account: int, name: str) -> Place:
    """Return where messages may be put; needs ``i`` (RFC 4314 section 4)."""
    place = access.resolve(account, name, "i")
    return place if place.mailbox else place._replace(mailbox=find(place.owner, place.name))
