"""Notices of all mailboxes of an account, for a session that asked with NOTIFY."""

from dataclasses import dataclass, field
from typing import Any

from mailcore.dialogue import Question
from mailcore.imap.answers.common import Answer
from mailcore.imap.questions import AccountChanged, WatchAccount
from mailcore.store.notices import doorbells
from mailcore.transport import Connection, Doors


@dataclass(frozen=True, slots=True)
class _Bell:
    """Rings at one connection."""

    connection: Connection

    def __call__(self, mailbox: int) -> None:
        """Tell its session."""
        self.connection.notice(AccountChanged(mailbox))


@dataclass(slots=True)
class _Watch:
    account: int
    foreign: frozenset[int] = field(default_factory=frozenset)


# What the connections of this process listen to.
_watches: dict[Connection, _Watch] = {}


async def watch_account(question: WatchAccount, doors: Doors) -> None:
    """Listen to an account and to mailboxes of others, and to nothing else; account 0: to nothing at all."""
    connection = doors.connection
    if connection is None:
        raise RuntimeError("only a connection can listen")
    bell = _Bell(connection)
    watch = _watches.get(connection)
    if watch is not None and watch.account != question.account:
        doorbells.unwatch_account(watch.account, bell)
        for mailbox in watch.foreign:
            doorbells.unwatch(mailbox, bell)
        watch = None
        del _watches[connection]
    if not question.account:
        return
    if watch is None:
        watch = _watches[connection] = _Watch(question.account)
        doorbells.watch_account(question.account, bell)
    for mailbox in question.foreign - watch.foreign:
        doorbells.watch(mailbox, bell)
    for mailbox in watch.foreign - question.foreign:
        doorbells.unwatch(mailbox, bell)
    watch.foreign = question.foreign


ANSWERS: dict[type[Question], Answer[Any, Any]] = {
    WatchAccount: watch_account,
}
