"""Commands that log in: LOGIN and AUTHENTICATE (RFC 3501 sections 6.2.2 and 6.2.3)."""

from collections.abc import Generator

from mailcore.conversation import CommandRefusedError, NextLine
from mailcore.dialogue import Login
from mailcore.imap import responses
from mailcore.imap.commands.connection import capabilities
from mailcore.imap.grammar import Parser, SyntaxRefusedError
from mailcore.imap.talk import BEFORE_LOGIN, Command, Exchange, Talk
from mailcore.sasl.mechanisms import (
    BadResponseError,
    CancelledError,
    Credentials,
    ForeignIdentityError,
    Steps,
    begin,
)
from mailcore.sasl.questions import LoginRefusal, VerifyPassword

FAILURE_LIMIT = 3


def _login(talk: Talk, arguments: Parser) -> Exchange:
    """Log in with a name and a password: ``login = "LOGIN" SP userid SP password``."""
    arguments.space()
    login = arguments.astring()
    arguments.space()
    password = arguments.astring()
    arguments.end()
    _require_privacy(talk)
    try:
        return (yield from _verify(talk, Credentials(login.decode(), password.decode(), "LOGIN-COMMAND")))
    except UnicodeDecodeError:
        raise SyntaxRefusedError("Name and password must be UTF-8") from None


def _authenticate(talk: Talk, arguments: Parser) -> Exchange:
    """Log in with SASL: ``authenticate = "AUTHENTICATE" SP auth-type [SP initial-resp] *(CRLF base64)`` (RFC 4959)."""
    arguments.space()
    mechanism = arguments.word().decode("ascii")
    initial = None
    if not arguments.is_done:
        arguments.space()
        initial = arguments.rest
    _require_privacy(talk)
    steps = begin(mechanism, initial)
    if steps is None:
        return responses.UNKNOWN_MECHANISM
    try:
        credentials = yield from _exchange(steps)
    except CancelledError:
        return responses.AUTHENTICATION_CANCELLED
    except BadResponseError:
        return responses.BAD_RESPONSE
    except ForeignIdentityError:
        return _failed(talk)
    return (yield from _verify(talk, credentials))


def _exchange(steps: Steps) -> Generator[NextLine, bytes, Credentials]:
    """Carry challenges and responses to and fro."""
    try:
        challenge = next(steps)
        while True:
            line = yield NextLine(b"+ %b\r\n" % challenge)
            challenge = steps.send(line)
    except StopIteration as end:
        credentials: Credentials = end.value
        return credentials


def _verify(talk: Talk, credentials: Credentials) -> Exchange:
    answer: Login | LoginRefusal = yield VerifyPassword(
        login=credentials.login,
        password=credentials.password,
        mechanism=credentials.mechanism,
        protocol="imap",
        peer=talk.peer,
        encrypted=talk.peer.tls is not None,
    )
    if answer is LoginRefusal.LATER:
        return _failed(talk, responses.AUTHENTICATION_LATER)
    if isinstance(answer, LoginRefusal):
        return _failed(talk)
    talk.account, talk.login = answer.account_id, answer.name
    talk.failures = 0
    return responses.ok(b"Logged in", capabilities(talk))


def _failed(talk: Talk, completion: bytes = responses.AUTHENTICATION_FAILED) -> bytes:
    """Count a failure; the third ends the connection. The words are the same for whatever was wrong."""
    talk.failures += 1
    if talk.failures >= FAILURE_LIMIT:
        talk.goodbye = responses.TOO_MANY_FAILURES
    return completion


def _require_privacy(talk: Talk) -> None:
    """Refuse a password that would travel in the clear (RFC 3501 section 6.2.3, RFC 5530 section 3)."""
    if not talk.may_authenticate:
        raise CommandRefusedError(responses.PRIVACY_REQUIRED)


COMMANDS = {
    b"LOGIN": Command(_login, BEFORE_LOGIN),
    b"AUTHENTICATE": Command(_authenticate, BEFORE_LOGIN),
}
