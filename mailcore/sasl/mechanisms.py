"""SASL as a server, without a protocol around it: PLAIN (RFC 4616) and LOGIN.

SMTP (RFC 4954), POP3 (RFC 5034) and IMAP carry the same base64 lines, each in a frame of its own. A mechanism is a
generator: it yields challenges, gets the client's lines, and returns credentials, which nobody has verified yet.

>>> steps = begin("PLAIN", b"AGJvYgBzZWNyZXQ=")
>>> next(steps)
Traceback (most recent call last):
StopIteration: Credentials(login='bob', mechanism='PLAIN')
"""

import binascii
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import TypeAlias

from mailcore.conversation import NextLine

# RFC 4954 section 4 (12288 octets is the limit for a line of an exchange), CRLF not counted.
RESPONSE_LIMIT = 12288


class SaslError(Exception):
    """The exchange ends without credentials."""


class CancelledError(SaslError):
    """The client cancelled with ``*``."""


class BadResponseError(SaslError):
    """This is not base64, too long, or not what the mechanism expects."""


class ForeignIdentityError(SaslError):
    """The client wants to act as somebody else than it logs in as. To be answered like a wrong password."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the client claims."""

    login: str
    password: str = field(repr=False)
    mechanism: str


# Yields challenges in base64, gets the client's lines as they came, without CRLF.
Steps: TypeAlias = Generator[bytes, bytes, Credentials]


def begin(mechanism: str, initial: bytes | None) -> Steps | None:
    """Start an exchange; ``None`` for a mechanism that we do not have.

    ``initial`` is the initial response as it came (``b"="`` is an empty one), ``None`` when there was none.
    """
    start = _MECHANISMS.get(mechanism.upper())
    if start is None:
        return None
    return start(b"" if initial == b"=" else initial)


def converse(steps: Steps, frame: bytes) -> Generator[NextLine, bytes, Credentials]:
    """Carry out an exchange with the client: each challenge goes on a line that begins with ``frame``.

    For use in a session's handler: ``credentials = yield from converse(steps, b"334 ")``. Raises ``SaslError``.
    """
    try:
        challenge = next(steps)
        while True:
            challenge = steps.send((yield NextLine(frame + challenge + b"\r\n")))
    except StopIteration as stop:
        credentials: Credentials = stop.value
        return credentials


def _plain(initial: bytes | None) -> Steps:
    response = _decode((yield b"") if initial is None else initial)
    # message = [authzid] UTF8NUL authcid UTF8NUL passwd
    parts = response.split("\0")
    if len(parts) != 3 or not parts[1]:
        raise BadResponseError
    identity, login, password = parts
    if identity not in {"", login}:
        raise ForeignIdentityError
    return Credentials(login, password, "PLAIN")


def _login(initial: bytes | None) -> Steps:
    # draft-murchison-sasl-login: some clients send the name as an initial response.
    login = _decode((yield b"VXNlcm5hbWU6") if initial is None else initial)
    password = _decode((yield b"UGFzc3dvcmQ6"))
    if not login or "\0" in login or "\0" in password:
        raise BadResponseError
    return Credentials(login, password, "LOGIN")


_MECHANISMS: dict[str, Callable[[bytes | None], Steps]] = {"PLAIN": _plain, "LOGIN": _login}
MECHANISMS = tuple(_MECHANISMS)  # in the order in which they are offered


def _decode(line: bytes) -> str:
    if line == b"*":
        raise CancelledError
    if len(line) > RESPONSE_LIMIT:
        raise BadResponseError
    try:
        return binascii.a2b_base64(line, strict_mode=True).decode("utf-8")
    except ValueError:
        raise BadResponseError from None
