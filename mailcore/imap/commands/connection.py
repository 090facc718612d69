"""Commands about the connection itself: CAPABILITY, NOOP, LOGOUT, STARTTLS, COMPRESS, ID, ENABLE, UNAUTHENTICATE."""

from collections.abc import Callable
from functools import partial
from operator import attrgetter
from typing import NamedTuple

from mailcore.imap import capabilities as able
from mailcore.imap import responses
from mailcore.imap.commands.selection import leave
from mailcore.imap.events import Event
from mailcore.imap.grammar import Parser, SyntaxRefusedError
from mailcore.imap.notifications import enable_metadata, stop
from mailcore.imap.questions import ForgetLogin
from mailcore.imap.talk import AFTER_LOGIN, ANY_STATE, BEFORE_LOGIN, Command, Exchange, Piece, Talk

# RFC 2971 section 3.3.
_ID_PAIRS_LIMIT = 30
_ID_FIELD_LIMIT = 30
_ID_VALUE_LIMIT = 1024


def capabilities(talk: Talk) -> bytes:
    """Say what can be done now: ``CAPABILITY …``, as a response or as a response code."""
    if talk.account:
        # RFC 7889 section 3.1: one limit for all mailboxes.
        return b"CAPABILITY %b APPENDLIMIT=%d" % (b" ".join(able.AFTER_LOGIN), talk.policy.message_limit)
    now = [b"CAPABILITY", *able.ALWAYS]
    if talk.may_start_tls:
        now.append(b"STARTTLS")
    now += [b"AUTH=PLAIN", b"AUTH=LOGIN"] if talk.may_authenticate else [b"LOGINDISABLED"]
    return b" ".join(now)


def _capability(talk: Talk, arguments: Parser) -> Exchange:
    """Tell the capabilities (RFC 3501 section 6.1.1)."""
    arguments.end()
    yield responses.untagged(capabilities(talk))
    return responses.completed(b"CAPABILITY")


def _noop(_talk: Talk, arguments: Parser) -> bytes:
    """Do nothing; the table says that changes are looked for (RFC 3501 section 6.1.2)."""
    arguments.end()
    return responses.completed(b"NOOP")


def _logout(talk: Talk, arguments: Parser) -> Exchange:
    """Say goodbye (RFC 3501 section 6.1.3)."""
    arguments.end()
    yield responses.LOGGING_OUT
    # The mailbox is left like at every other end, when the connection is gone.
    talk.goodbye = b""
    return responses.completed(b"LOGOUT")


def _starttls(talk: Talk, arguments: Parser) -> bytes:
    """Begin TLS (RFC 3501 section 6.2.1)."""
    arguments.end()
    if talk.peer.tls is not None:
        return responses.TLS_ALREADY
    if not talk.policy.tls_available:
        return responses.NO_TLS_HERE
    talk.starting_tls = True
    return responses.ok(b"Begin TLS now")


def _compress(talk: Talk, arguments: Parser) -> bytes:
    """Compress from here on, both ways: ``compress = "COMPRESS" SP algorithm`` (RFC 4978 section 3)."""
    arguments.space()
    algorithm = arguments.word()
    arguments.end()
    if algorithm != b"DEFLATE":
        return responses.NO_COMPRESSION_SO
    if talk.compressing:
        return responses.COMPRESSED_ALREADY
    talk.compressing = talk.starting_deflate = True
    return responses.ok(b"DEFLATE active")


def _unauthenticate(talk: Talk, arguments: Parser) -> Exchange:
    """Go back to before the login (RFC 8437 section 3). TLS stays, and nothing else of what was agreed or said."""
    arguments.end()
    if talk.selected:
        yield from leave(talk)
    yield from stop(talk)
    yield ForgetLogin()
    talk.logging_out = True
    return responses.completed(b"UNAUTHENTICATE")


def _id(talk: Talk, arguments: Parser) -> Exchange:
    """Remember what the client says of itself, and name the server without a version (RFC 2971).

    ``id_params_list = "(" #(string SPACE nstring) ")" / nil``
    """
    arguments.space()
    if not arguments.accept_word(b"NIL"):
        pairs = arguments.parenthesized(lambda: _id_pair(arguments), empty=True)
        if len(pairs) > _ID_PAIRS_LIMIT:
            raise SyntaxRefusedError("Too many fields")
        talk.client = dict(pairs)
    arguments.end()
    yield b'* ID ("name" "A3Mailer")\r\n'
    return responses.completed(b"ID")


def _id_pair(arguments: Parser) -> tuple[str, str]:
    field = arguments.string()
    arguments.space()
    value = arguments.nstring() or b""
    if len(field) > _ID_FIELD_LIMIT or len(value) > _ID_VALUE_LIMIT:
        raise SyntaxRefusedError("Field is too long")
    return field.decode("utf-8", "replace").lower(), value.decode("utf-8", "replace")


def _enable(talk: Talk, arguments: Parser) -> Exchange:
    """Switch extensions on that change what the server says unasked (RFC 5161).

    ``enable = "ENABLE" 1*(SP capability)``; what is unknown is passed over, and so is what is on already.
    """
    wanted: list[bytes] = []
    while not (wanted and arguments.is_done):
        arguments.space()
        wanted.append(_NAMES.get(arguments.word(), b""))
    enabled = []
    for name in wanted:
        switch = _SWITCHES.get(name)
        if switch is None or switch.is_on(talk):
            continue
        told = switch.turn_on(talk)
        if isinstance(told, bytes):
            yield told
        else:
            yield from told
        if switch.is_on(talk):
            enabled.append(b" " + name)
    yield b"* ENABLED%b\r\n" % b"".join(enabled)
    return responses.completed(b"ENABLE")


class _Switch(NamedTuple):
    """What ENABLE can switch on. ``turn_on`` returns what the client is told then, beside ENABLED, or a part of it."""

    is_on: Callable[[Talk], bool]
    turn_on: Callable[[Talk], bytes | Piece]


def _hears_of_mailboxes(talk: Talk) -> bool:
    return talk.annotations is not None and talk.annotations.wants(frozenset({Event.MAILBOX_METADATA_CHANGE}))


def _hears_of_server(talk: Talk) -> bool:
    return talk.annotations is not None


_SWITCHES = {
    b"CONDSTORE": _Switch(attrgetter("condstore"), Talk.learn_condstore),  # RFC 7162 section 3.1
    b"IMAP4rev2": _Switch(attrgetter("rev2"), Talk.learn_rev2),  # RFC 9051 appendix A
    b"UTF8=ACCEPT": _Switch(attrgetter("utf8"), Talk.learn_utf8),  # RFC 6855 section 3
    b"QRESYNC": _Switch(attrgetter("qresync"), Talk.learn_qresync),  # RFC 7162 section 3.2.3
    # RFC 5464 section 4.4. The first has the second in it.
    b"METADATA": _Switch(_hears_of_mailboxes, partial(enable_metadata, mailboxes=True)),
    b"METADATA-SERVER": _Switch(_hears_of_server, partial(enable_metadata, mailboxes=False)),
    b"UIDONLY": _Switch(attrgetter("uidonly"), Talk.learn_uidonly),  # RFC 9586 section 3
}
_NAMES = {name.upper(): name for name in _SWITCHES}

COMMANDS = {
    b"CAPABILITY": Command(_capability, ANY_STATE),
    b"NOOP": Command(_noop, ANY_STATE, refreshes=True),
    b"LOGOUT": Command(_logout, ANY_STATE, expunges=False),
    b"STARTTLS": Command(_starttls, BEFORE_LOGIN),
    b"COMPRESS": Command(_compress, AFTER_LOGIN, expunges=False),
    b"UNAUTHENTICATE": Command(_unauthenticate, AFTER_LOGIN, expunges=False),
    b"ID": Command(_id, ANY_STATE),
    b"ENABLE": Command(_enable, AFTER_LOGIN),
}
