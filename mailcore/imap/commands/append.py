"""APPEND: put messages into a mailbox, one or several at once (RFC 3501 section 6.3.11, RFC 3502).

``append = "APPEND" SP mailbox 1*append-message``, ``append-message = [SP flag-list] [SP date-time] SP append-data``,
``append-data = literal / "UTF8" SP "(" literal8 ")"`` (RFC 6855 section 4).
A message goes to a sink while it comes in, so that its size costs no memory. The command so far is looked at as soon
as the literal is announced: a client that waits for ``+`` need not send what would be refused.
"""

import re
from collections.abc import Generator

from mailcore.conversation import CommandRefusedError
from mailcore.imap import responses, sequences
from mailcore.imap.collector import Announced
from mailcore.imap.grammar import Parser, SyntaxRefusedError
from mailcore.imap.questions import Appended, AppendedMessage, AppendMessages, CheckAppend
from mailcore.imap.talk import AFTER_LOGIN, Command, Exchange, Talk
from mailcore.imap.uploads import Appending, Upload
from mailcore.message.envelope import BodyRefusedError

# Messages, and octets as a multiple of the limit for one message, in one APPEND.
MESSAGES_LIMIT = 1000
OCTETS_FACTOR = 4

# A literal right after the command's name is the mailbox; every other one is a message.
_MESSAGE = re.compile(rb"[^ ]+ APPEND (?!\{[0-9]+\+?\}\r\n\Z)", re.IGNORECASE)


def is_message(text: bytes) -> bool:
    """Say whether the literal that this ends with is a message of an APPEND."""
    return _MESSAGE.match(text) is not None


def admit(talk: Talk, event: Announced) -> Generator[CheckAppend, None, Upload]:
    """Return what will take the message, or raise: the command so far is wrong, or the message not welcome."""
    arguments = Parser(event.text, (*event.literals, None))
    appending = talk.appending
    if appending is None:
        arguments.tag()
        arguments.space()
        arguments.word()
        arguments.space()
        appending = Appending(arguments.mailbox())
    else:
        arguments = Parser(event.text, (None,))
        arguments.move_to(appending.read)
        arguments.expect(appending.closing)
    flags, keywords, date, closing = _take_message(arguments)
    limit = talk.policy.message_limit
    if event.size > limit:
        raise CommandRefusedError(responses.MESSAGE_TOO_BIG)
    if appending.octets + event.size > limit * OCTETS_FACTOR or len(appending.messages) >= MESSAGES_LIMIT:
        raise CommandRefusedError(responses.TOO_MANY_MESSAGES)
    if event.waits and not appending.messages:
        yield CheckAppend(talk.account, appending.name, event.size)
    try:
        body = talk.new_body()
    except BodyRefusedError:
        raise CommandRefusedError(responses.TEMPORARY_FAILURE) from None
    upload = Upload(body)
    appending.messages.append(AppendedMessage(body, flags, keywords, date))
    appending.uploads.append(upload)
    appending.read = len(event.text)
    appending.closing = closing
    appending.octets += event.size
    talk.appending = appending
    return upload


def _take_message(arguments: Parser) -> tuple[int, tuple[str, ...], int | None, bytes]:
    """Take ``[SP flag-list] [SP date-time] SP append-data`` up to the octets; the last value is what must follow them.

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
    if arguments.accept_word(b"UTF8"):
        arguments.space()
        arguments.expect(b"(")
        arguments.literal8()
        return flags, keywords, date, b")"
    arguments.literal()
    return flags, keywords, date, b""


def _append(talk: Talk, arguments: Parser) -> Exchange:
    """Store the messages, which are all here by now."""
    appending = talk.appending
    if appending is None:
        arguments.space()
        arguments.mailbox()
        _take_message(arguments)
        raise SyntaxRefusedError("Expected a message")
    arguments.move_to(appending.read)
    arguments.expect(appending.closing)
    arguments.end()
    for upload in appending.uploads:
        if upload.refusal:
            return upload.refusal
        if not upload.body.size:
            return responses.EMPTY_MESSAGE
    talk.appending = None  # the messages are the store's from here on
    appended: Appended = yield AppendMessages(talk.account, appending.name, tuple(appending.messages))
    talk.news = talk.selected is not None
    uids = sequences.write(appended.uids)
    return responses.completed(b"APPEND", b"APPENDUID %d %b" % (appended.uidvalidity, uids))


COMMANDS = {b"APPEND": Command(_append, AFTER_LOGIN)}
