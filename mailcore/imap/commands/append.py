"""APPEND: put messages into a mailbox, one or several at once (RFC 3501 section 6.3.11, RFC 3502).

``append = "APPEND" SP mailbox 1*append-message``, ``append-message = [SP flag-list] [SP date-time] SP append-data``,
``append-data = literal / literal8 / "UTF8" SP "(" literal8 ")" / "CATENATE" SP "(" cat-part *(SP cat-part) ")"``,
``cat-part = "TEXT" SP literal / "URL" SP astring`` (RFC 3516 section 6, RFC 6855 section 4, RFC 4469 section 5).

A message goes to a sink while it comes in, so that its size costs no memory; what a URL names is copied into the same
sink, piece by piece. The command so far is looked at as soon as a literal is announced: a client that waits for ``+``
need not send what would be refused. REPLACE brings its message in the same way.
"""

import re
from collections.abc import Generator
from typing import Any, TypeAlias

from mailcore.conversation import CommandRefusedError
from mailcore.dialogue import Question
from mailcore.imap import names, responses, sequences
from mailcore.imap.collector import Announced
from mailcore.imap.grammar import Parser, SyntaxRefusedError
from mailcore.imap.questions import (
    Appended,
    AppendedMessage,
    AppendMessages,
    CheckAppend,
    Fetched,
    FetchMessages,
    FindMailbox,
    MailboxKey,
    ReadBody,
    Refused,
    Span,
)
from mailcore.imap.sequences import STAR
from mailcore.imap.talk import AFTER_LOGIN, Command, Exchange, QuestionRefusedError, Talk
from mailcore.imap.uploads import Appending, Expected, Upload
from mailcore.imap.urls import MessageUrl, read_url
from mailcore.message.envelope import BodyRefusedError

# Messages, and octets as a multiple of the limit for one message, in one APPEND.
MESSAGES_LIMIT = 1000
OCTETS_FACTOR = 4
# Octets copied at once of what a URL names.
PIECE = 256 * 1024

_BRINGS = re.compile(rb"[^ ]+ (?:APPEND|(?:UID )?REPLACE) ", re.IGNORECASE)
# A literal right before the messages is the mailbox.
_NAME = re.compile(rb"[^ ]+ (?:APPEND|(?:UID )?REPLACE [^ ]+) \{[0-9]+\+?\}\r\n", re.IGNORECASE)
# All that is left is the announcement of a literal.
_ANNOUNCED = re.compile(rb"\{[0-9]+\+?\}\r\n")

# Asks questions, and says nothing.
Reading: TypeAlias = Generator[Question, Any, "Upload | None"]


def brings_message(text: bytes) -> bool:
    """Say whether the literal that this ends with may be a message, or a part of one."""
    return _BRINGS.match(text) is not None and _NAME.fullmatch(text) is None


def admit(talk: Talk, event: Announced) -> Reading:
    """Return what will take the literal, ``None`` if it is a URL; or raise: the command is wrong, or not welcome."""
    arguments = talk.parser(event.text, (*event.literals, None))
    appending = talk.appending
    if appending is None:
        arguments.tag()
        arguments.space()
        appending = begin(talk, arguments, arguments.word())
    else:
        arguments.move_to(*appending.place)
    first = not appending.messages
    upload = yield from _read_on(talk, appending, arguments)
    if upload is None:
        return None
    _count(talk, appending, event.size)
    if event.waits and first and len(appending.messages) == 1 and appending.size == event.size:
        yield CheckAppend(talk.account, appending.name, event.size)
    upload.binary = event.binary
    return upload


def begin(talk: Talk, arguments: Parser, command: bytes) -> Appending:
    """Take what stands between the command's name and its messages."""
    arguments.space()
    replaced = None
    if command != b"APPEND":
        uid = command.startswith(b"UID")
        if command == b"UID":
            uid = arguments.word() == b"REPLACE"
            arguments.space()
        replaced = _replaced(talk, arguments, uid=uid)
        arguments.space()
    given = arguments.mailbox_as_given()
    talk.appending = Appending(names.canonical(given), given, replaced)
    return talk.appending


def _replaced(talk: Talk, arguments: Parser, *, uid: bool) -> int:
    """Take the number of the message that REPLACE removes: ``seq-number``, which may be ``*`` (RFC 8508 section 5)."""
    number = STAR if arguments.accept(b"*") else arguments.number(least=1)
    selected = talk.demand("te")
    uids = selected.uids_of(selected.places(((number, number),), uid=uid))
    if not uids:
        # It was never there, or is gone: nothing is appended either (RFC 8508 section 3.3).
        raise CommandRefusedError(responses.NO_SUCH_MESSAGE)
    return uids[0]


def finish(talk: Talk, arguments: Parser, command: bytes) -> Generator[Question, Any, tuple[Appending, bytes]]:
    """Read to the end of the command. Returns its messages, which are all here by now, or why they are not taken."""
    appending = talk.appending
    if appending is None:
        appending = begin(talk, arguments, command)
    else:
        arguments.move_to(*appending.place)
    yield from _read_on(talk, appending, arguments)
    arguments.end()
    for upload in appending.uploads:
        if upload.refusal:
            return appending, upload.refusal
        if not upload.body.size:
            return appending, responses.EMPTY_MESSAGE
    talk.appending = None  # the messages are the store's from here on
    return appending, b""


def _read_on(talk: Talk, appending: Appending, arguments: Parser) -> Reading:
    """Read to the literal at the end of what is here, and return what takes it; ``None`` if it is the text of a URL."""
    upload: Upload | None = None
    while upload is None:
        appending.place = arguments.place
        match appending.expected:
            case Expected.BRACKET:
                arguments.expect(b")")
                appending.expected = Expected.MESSAGE
            case Expected.AFTER_PART:
                if arguments.accept(b")"):
                    appending.expected = Expected.MESSAGE
                else:
                    arguments.space()
                    appending.expected = Expected.PART
            case Expected.PART:
                if arguments.accept_word(b"TEXT"):
                    arguments.space()
                    _take_octets(arguments)
                    upload = appending.uploads[-1]
                elif not arguments.accept_word(b"URL"):
                    raise SyntaxRefusedError("Expected TEXT or URL")
                else:
                    arguments.space()
                    if _ANNOUNCED.fullmatch(arguments.rest):
                        return None
                    yield from _copy(talk, appending, arguments.astring())
                appending.expected = Expected.AFTER_PART
            case Expected.MESSAGE:
                if appending.messages and (arguments.is_done or appending.replaced is not None):
                    return None
                upload = yield from _take_message(talk, appending, arguments)
    appending.place = arguments.place
    return upload


def _take_message(talk: Talk, appending: Appending, arguments: Parser) -> Reading:
    """Take ``[SP flag-list] [SP date-time] SP append-data`` to where its octets or its parts begin.

    Headers in UTF-8 are taken whatever the client has enabled and however it sends them, as they are taken from SMTP
    and shown. RFC 6855 section 4 would refuse them here (NO), and so nobody could copy such a message back.
    """
    flags: int = 0
    keywords: tuple[str, ...] = ()
    date = None
    arguments.space()
    if arguments.at(b"("):
        flags, keywords = arguments.flag_list()
        arguments.space()
    if arguments.at(b'"'):
        date = arguments.date_time()
        arguments.space()
    form = arguments.accept_word(b"UTF8", b"CATENATE")
    if form:
        arguments.space()
        arguments.expect(b"(")
    if form == b"CATENATE":
        if not appending.messages:
            # Before anything is read that a URL names: what is said of a missing mailbox comes first.
            yield CheckAppend(talk.account, appending.name, 0)
    elif form == b"UTF8":
        arguments.literal8()
    else:
        _take_octets(arguments)
    if len(appending.messages) >= MESSAGES_LIMIT:
        raise CommandRefusedError(responses.TOO_MANY_MESSAGES)
    try:
        body = talk.new_body()
    except BodyRefusedError:
        raise CommandRefusedError(responses.TEMPORARY_FAILURE) from None
    appending.messages.append(AppendedMessage(body, flags, keywords, date))
    appending.uploads.append(Upload(body))
    appending.size = 0
    appending.expected = {b"CATENATE": Expected.PART, b"UTF8": Expected.BRACKET}.get(form or b"", Expected.MESSAGE)
    return None if form == b"CATENATE" else appending.uploads[-1]


def _take_octets(arguments: Parser) -> None:
    """Take ``literal / literal8``, which is still to come."""
    if arguments.at_literal8:
        arguments.literal8()
    else:
        arguments.literal()


def _count(talk: Talk, appending: Appending, octets: int) -> None:
    """Add to the size of the last message; raises when it becomes too large."""
    limit = talk.policy.message_limit
    appending.size += octets
    appending.octets += octets
    if appending.size > limit:
        raise CommandRefusedError(responses.MESSAGE_TOO_BIG)
    if appending.octets > limit * OCTETS_FACTOR:
        raise CommandRefusedError(responses.TOO_MANY_MESSAGES)


# -- CATENATE ---------------------------------------------------------------------------------------------------------


def _copy(talk: Talk, appending: Appending, text: bytes) -> Generator[Question, Any, None]:
    """Copy what a URL names to the end of the last message (RFC 4469 section 3)."""
    upload = appending.uploads[-1]
    upload.binary = False
    bad_url = CommandRefusedError(responses.bad_url(text))
    try:
        url = read_url(text)
    except SyntaxRefusedError:
        raise bad_url from None
    key = yield from _find(talk, url, bad_url)
    fetched: Fetched = yield FetchMessages(key, (url.uid,), sections=(url.wanted.section,))
    if not fetched.rows:
        raise bad_url
    content = url.wanted.cut(fetched.rows[0][7][0])
    if isinstance(content, bytes):
        _count(talk, appending, len(content))
        upload.copy(content)
    elif isinstance(content, Span):
        _count(talk, appending, content.length)
        for offset in range(content.offset, content.offset + content.length, PIECE):
            length = min(PIECE, content.offset + content.length - offset)
            upload.copy((yield ReadBody(key, url.uid, offset, length)))
    else:
        raise bad_url


def _find(talk: Talk, url: MessageUrl, bad_url: CommandRefusedError) -> Generator[Question, Any, MailboxKey]:
    """Return the mailbox that a URL names, if there is such a one that the client may read."""
    try:
        if url.mailbox is not None:
            key: MailboxKey = yield FindMailbox(talk.account, url.mailbox, url.uidvalidity)
            return key
    except QuestionRefusedError as error:
        if error.reason is Refused.UNAVAILABLE:
            raise
        raise bad_url from None
    if talk.selected is None or "r" not in talk.selected.rights:
        raise bad_url
    return talk.selected.key


# -- APPEND -----------------------------------------------------------------------------------------------------------


def _append(talk: Talk, arguments: Parser) -> Exchange:
    """Store the messages."""
    appending, refusal = yield from finish(talk, arguments, b"APPEND")
    if refusal:
        return refusal
    appended: Appended = yield AppendMessages(talk.account, appending.name, tuple(appending.messages), talk.device)
    talk.news = talk.selected is not None
    talk.has_made(appending.name, appended.uids)
    if talk.rev2 and appending.name != appending.given:
        # RFC 9051 section 6.3.12: if the client has written the name in another form, that is told.
        yield responses.listed(b"", talk.mailbox_name(appending.name), talk.mailbox_name(appending.given))
    return responses.completed(b"APPEND", appenduid(appended))


def appenduid(appended: Appended) -> bytes:
    """Write the response code of RFC 4315 section 3; nothing where it would tell of a mailbox that may not be read."""
    if not appended.uidvalidity:
        return b""
    return b"APPENDUID %d %b" % (appended.uidvalidity, sequences.write(appended.uids))


COMMANDS = {b"APPEND": Command(_append, AFTER_LOGIN)}
