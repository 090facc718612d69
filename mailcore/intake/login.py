"""One answer to "is this the password?" for every protocol: ``accounts/passwords.py`` decides, here it is awaited."""

from typing import Any

from twisted.internet.task import deferLater

from a3mailer_site.figures import figures
from accounts.passwords import TooManyFailuresError, answer_delay, remembered
from mailcore.dialogue import Login
from mailcore.sasl.questions import LoginRefusal, VerifyPassword
from mailcore.store.mailboxes import cached_inbox_id, inbox_id


async def verify_password(question: VerifyPassword, doors: Any) -> Login | LoginRefusal:
    """Say who has logged in, or why nobody has; a refusal is answered after a pause."""
    try:
        # Programs come again and again: who has just been let in is not worth a trip to another thread.
        account = remembered(question.login, question.password, question.peer.address)
        if account is None:
            account = await doors.verify_password(
                question.login, question.password, question.peer.address, question.protocol
            )
    except TooManyFailuresError:
        figures.count(f"login.{question.protocol}.blocked")
        await _pause(question)
        return LoginRefusal.LATER
    if account is None:
        figures.count(f"login.{question.protocol}.failed")
        await _pause(question)
        return LoginRefusal.WRONG
    figures.count(f"login.{question.protocol}.succeeded")
    if cached_inbox_id(account.id) is None:
        await doors.database(inbox_id, account.id)  # makes the first mailboxes of a new user
    if doors.connection is not None:
        doors.connection.logged_in(account.id, account.username)
    return Login(account.id, account.username)


async def _pause(question: VerifyPassword) -> None:
    """Let who guesses wait; a password mistyped once costs nothing."""
    from twisted.internet import reactor  # noqa: PLC0415 - importing it installs it

    delay = answer_delay(question.peer.address)
    if delay:
        await deferLater(reactor, delay)
