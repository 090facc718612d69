"""THREAD and UID THREAD (RFC 5256)."""

from functools import partial

from mailcore.imap import responses
from mailcore.imap.commands.search import read_charset, read_program
from mailcore.imap.grammar import Parser, SyntaxRefusedError
from mailcore.imap.questions import ThreadMessages
from mailcore.imap.talk import Command, Exchange, Talk
from mailcore.store.sort_keys import Algorithm

_ALGORITHMS = {algorithm.value.encode("ascii"): algorithm for algorithm in Algorithm}


def _thread(talk: Talk, arguments: Parser, *, uid: bool) -> Exchange:
    """Find messages and make threads of them.

    ``thread = ["UID" SP] "THREAD" SP thread-alg SP charset 1*(SP search-key)``
    """
    arguments.space()
    algorithm = _ALGORITHMS.get(arguments.word())
    if algorithm is None:
        raise SyntaxRefusedError("Unknown threading algorithm")
    arguments.space()
    charset = read_charset(arguments)
    arguments.space()
    program = read_program(talk, arguments, charset)
    selected = talk.mailbox
    places = yield from program.find(talk, selected)
    if places:
        uids = [selected.uids[place] for place in places]
        names = uids if uid else [place + 1 for place in places]
        threads: bytes = yield ThreadMessages(selected.key, uids, names, algorithm)
        yield b"* THREAD %b\r\n" % threads if threads else b"* THREAD\r\n"
    else:
        yield b"* THREAD\r\n"
    return responses.completed(b"UID THREAD" if uid else b"THREAD")


COMMANDS = {
    b"THREAD": Command(partial(_thread, uid=False), expunges=False),
    b"UID THREAD": Command(partial(_thread, uid=True)),
}
