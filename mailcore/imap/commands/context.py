"""CANCELUPDATE: a search need not be kept up any more (RFC 5267 section 4.3.5)."""

from mailcore.imap import responses
from mailcore.imap.grammar import Parser, SyntaxRefusedError
from mailcore.imap.talk import Command, Talk


def _cancelupdate(talk: Talk, arguments: Parser) -> bytes:
    """Forget searches: ``cancelupdate = "CANCELUPDATE" 1*(SP quoted)``. All of them or, where one is unknown, none."""
    tags = []
    while not arguments.is_done:
        arguments.space()
        tags.append(arguments.string())
    if not tags:
        raise SyntaxRefusedError("Missing argument")
    contexts = talk.mailbox.contexts
    if not contexts.keys() >= set(tags):
        raise SyntaxRefusedError("No search with this tag is kept up")
    for tag in tags:
        contexts.pop(tag, None)
    return responses.completed(b"CANCELUPDATE")


COMMANDS = {b"CANCELUPDATE": Command(_cancelupdate)}
