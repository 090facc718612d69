"""IDLE: the client waits, and hears at once what changes (RFC 2177)."""

from collections.abc import Generator

from mailcore.conversation import NextLine
from mailcore.imap import responses
from mailcore.imap.grammar import Parser
from mailcore.imap.notifications import has_news, tell_everything
from mailcore.imap.talk import AFTER_LOGIN, Command, Exchange, Talk


def _idle(talk: Talk, arguments: Parser) -> Exchange:
    """Wait for ``DONE``; in between tell each piece of news. Without a mailbox there is none."""
    arguments.end()
    prompt = b"+ idling\r\n"
    while True:
        while has_news(talk):
            yield prompt
            prompt = b""
            if not (yield from tell_everything(talk, expunges=True)):
                break  # the next ring, or the end of the wait, tries again
        line = yield from _wait(talk, prompt)
        prompt = b""
        if line is not None:
            talk.news = talk.selected is not None and talk.hears_messages
            return responses.completed(b"IDLE") if line.upper() == b"DONE" else responses.EXPECTED_DONE


def _wait(talk: Talk, prompt: bytes) -> Generator[NextLine, bytes | None, bytes | None]:
    talk.idling = True
    try:
        line = yield NextLine(prompt)
    finally:
        talk.idling = False
    return line


COMMANDS = {b"IDLE": Command(_idle, AFTER_LOGIN)}
