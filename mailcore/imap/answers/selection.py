"""The selected mailbox: open it, hear what is new, leave it."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from a3mailer_site.number_sets import runs
from mailcore.dialogue import Question, UnavailableError
from mailcore.imap.answers.common import Answer, refusing, with_defaults
from mailcore.imap.questions import (
    Changes,
    CloseMailbox,
    MailboxChanged,
    MailboxKey,
    Opened,
    OpenMailbox,
    ReadChanges,
    ReadVanished,
)
from mailcore.store import access
from mailcore.store.access import Place
from mailcore.store.history import expunged_between
from mailcore.store.notices import doorbells
from mailcore.store.views import Opened as View
from mailcore.store.views import views
from mailcore.transport import Connection, Doors


@dataclass(frozen=True, slots=True)
class _Bell:
    """Rings at one connection."""

    connection: Connection

    def __call__(self, mailbox: int) -> None:
        """Tell its session."""
        self.connection.notice(MailboxChanged(mailbox))


# Connections that are opening a mailbox, and those of them that went away meanwhile.
_opening: set[Connection] = set()
_left: set[Connection] = set()


@refusing
async def open_mailbox(question: OpenMailbox, doors: Doors) -> Opened:
    """Select a mailbox; from before its state is read the session hears of what is new."""
    connection = _asker(doors)
    watched: list[int] = []

    def watch(mailbox: int) -> None:
        doorbells.watch(mailbox, _Bell(connection))
        watched.append(mailbox)

    _opening.add(connection)
    try:
        place, opened = await doors.database(_open, question, watch)
    except BaseException:
        for mailbox in watched:
            doorbells.unwatch(mailbox, _Bell(connection))
        raise
    finally:
        _opening.discard(connection)
        gone = connection in _left
        _left.discard(connection)
    key = MailboxKey(place.owner, opened.mailbox)
    if gone:
        await _leave(key, doors)
    # The use of another's mailbox is the owner's, as in LIST.
    special_use = opened.special_use if place.owner == question.account else ""
    return Opened(key, opened.snapshot, opened.recent_from, special_use, place.rights)


def _open(question: OpenMailbox, watch: Callable[[int], object]) -> tuple[Place, View]:
    place = access.resolve(question.account, question.name, "r")
    opened = with_defaults(views.open, place.owner, place.name, read_only=question.read_only, before=watch)
    return place, opened


async def close_mailbox(question: CloseMailbox, doors: Doors) -> None:
    """Take note that the session has left its mailbox, or will have as soon as it is in."""
    if question.key is not None:
        await _leave(question.key, doors)
    elif doors.connection in _opening:
        _left.add(doors.connection)


async def _leave(key: MailboxKey, doors: Doors) -> None:
    doorbells.unwatch(key.mailbox, _Bell(_asker(doors)))
    seen = views.leave(*key)
    if seen is not None:
        # Where it cannot be written how far messages were seen, some are recent once more: nothing to tell anybody.
        with suppress(UnavailableError):
            await doors.database(views.mark, *key, seen)


def _asker(doors: Doors) -> Connection:
    if doors.connection is None:
        raise RuntimeError("only a connection can select a mailbox")
    return doors.connection


@refusing
async def read_changes(question: ReadChanges, doors: Doors) -> Changes:
    """Return what happened in a selected mailbox."""
    known = None
    if doorbells.looking_since is not None:
        known = views.known_changes(
            *question.key,
            question.since,
            read_only=question.read_only,
            heard=doorbells.heard(question.key.mailbox),
            looking_since=doorbells.looking_since,
        )
    if known is None:
        known = await doors.database(views.changes, *question.key, question.since, read_only=question.read_only)
    return Changes(*known)


async def read_vanished(question: ReadVanished, doors: Doors) -> Sequence[tuple[int, int]] | None:
    """Return the UIDs that were expunged."""
    uids = await doors.database(expunged_between, *question.key, question.since, question.until)
    return None if uids is None else list(runs(uids))


ANSWERS: dict[type[Question], Answer[Any, Any]] = {
    OpenMailbox: open_mailbox,
    CloseMailbox: close_mailbox,
    ReadChanges: read_changes,
    ReadVanished: read_vanished,
}
