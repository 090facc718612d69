"""APPEND: put messages into a mailbox, one or several at once (RFC 3501 section 6.3.11, RFC 3502).

``append = "APPEND" SP mailbox 1*append-message``, ``append-message = [SP flag-list] [SP date-time] SP literal``.
A message goes to a sink while it comes in, so that its size costs no memory. The command so far is looked at as soon
as the literal is announced: a client that waits for ``+`` need not send what would be refused.
"""

import re
from collections.abc import Generator
from typing import TypeAlias

from mailcore.conversation import CommandRefusedError
from mailcore.imap import responses, sequences
from mailcore.imap.collector import Announced
from mailcore.imap.grammar import Parser
from mailcore.imap.questions import Appended, AppendedMessage, AppendMessages, CheckAppend
from mailcore.imap.talk import AFTER_LOGIN, Command, Exchange, Talk
from mailcore.message.envelope import BodyRefusedError, BodySink

# Messages, and octets as a multiple of the limit for one message, in one APPEND.
MESSAGES_LIMIT = 1000
OCTETS_FACTOR = 4

# Message, flags, keywords, internal date.
_Message: TypeAlias = tuple["Upload", int, tuple[str, ...], int | None]

# A literal right after the command's name is the mailbox; every other one is a message.
_MESSAGE = re.compile(rb"[^ ]+ APPEND (?!\{[0-9]+\+?\}\r\n\Z)", re.IGNORECASE)


class Upload:
    """A message that is coming in. What is wrong with it is kept until the client has sent it all."""

    __slots__ = ("body", "refusal")

    def __init__(self, body: BodySink) -> None:
        self.body = body
        self.refusal = b""

    def write(self, data: bytes) -> None:
        """Take the next octets."""
        if self.refusal:
            return
        if b"\0" in data:
            # RFC 3501 section 9: CHAR8 is any octet except NUL.
            self._refuse(responses.NUL_IN_LITERAL)
            return
        try:
            self.body.write(data)
        except BodyRefusedError:
            self._refuse(responses.TEMPORARY_FAILURE)

    def _refuse(self, completion: bytes) -> None:
        self.refusal = completion
        self.body.abandon()


def is_message(text: bytes) -> bool:
    """Say whether the literal that this ends with is a message of an APPEND."""
    return _MESSAGE.match(text) is not None


def admit(talk: Talk, event: Announced) -> Generator[CheckAppend, None, Upload]:
    """Return what will take the message, or raise: the command so far is wrong, or the message not welcome."""
    uploads = [literal for literal in event.literals if isinstance(literal, Upload)]
    so_far = Parser(event.text, (*event.literals, None))
    so_far.tag()
    so_far.space()
    so_far.word()
    name, _ = _parse(so_far)
    limit = talk.policy.message_limit
    octets = sum(upload.body.size for upload in uploads) + event.size
    if event.size > limit:
        raise CommandRefusedError(responses.MESSAGE_TOO_BIG)
    if octets > limit * OCTETS_FACTOR or len(uploads) >= MESSAGES_LIMIT:
        raise CommandRefusedError(responses.TOO_MANY_MESSAGES)
    if event.waits and not uploads:
        yield CheckAppend(talk.account, name, event.size)
    try:
        body = talk.new_body()
    except BodyRefusedError:
        raise CommandRefusedError(responses.TEMPORARY_FAILURE) from None
    talk.uploads.append(body)
    return Upload(body)


def _append(talk: Talk, arguments: Parser) -> Exchange:
    """Store the messages, which are all here by now."""
    name, messages = _parse(arguments)
    for upload, _, _, _ in messages:
        if upload.refusal:
            return upload.refusal
        if not upload.body.size:
            return responses.EMPTY_MESSAGE
    talk.uploads.clear()  # the store's from here on
    appended: Appended = yield AppendMessages(
        talk.account,
        name,
        tuple(AppendedMessage(upload.body, flags, keywords, date) for upload, flags, keywords, date in messages),
    )
    talk.news = talk.selected is not None
    uids = sequences.write(appended.uids)
    return responses.completed(b"APPEND", b"APPENDUID %d %b" % (appended.uidvalidity, uids))


def _parse(arguments: Parser) -> tuple[str, list[_Message]]:
    """Read a whole APPEND, or one up to the announcement of a message."""
    arguments.space()
    name = arguments.mailbox()
    messages: list[_Message] = []
    while not messages or not arguments.is_done:
        arguments.space()
        flags: int = 0
        keywords: tuple[str, ...] = ()
        date = None
        if arguments.at(b"("):
            flags, keywords = arguments.flag_list()
            arguments.space()
        if arguments.at(b'"'):
            date = arguments.date_time()
            arguments.space()
        messages.append((arguments.literal(), flags, keywords, date))
    return name, messages


COMMANDS = {b"APPEND": Command(_append, AFTER_LOGIN)}
