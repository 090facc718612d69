"""SEARCH and UID SEARCH (RFC 3501 section 6.4.4), ESEARCH results (RFC 4731), MODSEQ (RFC 7162 section 3.1.5)."""

from collections.abc import Sequence
from functools import partial

from mailcore.imap import responses, sequences
from mailcore.imap.grammar import Parser, SyntaxRefusedError
from mailcore.imap.search_keys import Searcher, SearchReader
from mailcore.imap.talk import Command, Exchange, Talk

_CHARSETS = frozenset({b"US-ASCII", b"UTF-8"})
_RESULTS = frozenset({b"MIN", b"MAX", b"ALL", b"COUNT"})


def _search(talk: Talk, arguments: Parser, *, uid: bool) -> Exchange:
    """Find messages.

    ``search = "SEARCH" [SP "RETURN" SP "(" [search-return-opt *(SP search-return-opt)] ")"]
    [SP "CHARSET" SP astring] 1*(SP search-key)`` (RFC 4466 section 2.6.1)
    """
    arguments.space()
    returns = _return_options(arguments)
    if arguments.accept_word(b"CHARSET"):
        if talk.utf8:
            # RFC 6855 section 3: it could only contradict what has been agreed.
            raise SyntaxRefusedError("CHARSET is not allowed after ENABLE UTF8=ACCEPT")
        arguments.space()
        if arguments.astring().upper() not in _CHARSETS:
            return responses.BAD_CHARSET
        arguments.space()
    reader = SearchReader(arguments, uidonly=talk.uidonly)
    key = reader.read()
    if returns is None and talk.rev2:
        # RFC 9051 section 6.4.4: every answer is an ESEARCH.
        returns = frozenset({b"ALL"})
    selected = talk.mailbox
    if reader.knows_modseq:
        yield talk.learn_condstore()
    places = yield from Searcher(selected).find(key)
    numbers = [selected.uids[place] if uid else place + 1 for place in places]
    modseqs = selected.table().modseqs if reader.knows_modseq else ()
    if returns is None:
        highest = max((modseqs[place] for place in places), default=0) if modseqs else 0
        yield _plain(numbers, highest)
    else:
        yield _extended(talk.tag, returns, numbers, [modseqs[place] for place in places] if modseqs else [], uid=uid)
    return responses.completed(b"UID SEARCH" if uid else b"SEARCH")


def _return_options(arguments: Parser) -> frozenset[bytes] | None:
    if not arguments.accept_word(b"RETURN"):
        return None
    arguments.space()
    options = frozenset(arguments.parenthesized(lambda: _result(arguments), empty=True))
    arguments.space()
    # RFC 4731 section 3.1: an empty list means ALL.
    return options or frozenset({b"ALL"})


def _result(arguments: Parser) -> bytes:
    result = arguments.word()
    if result not in _RESULTS:
        raise SyntaxRefusedError("Unknown search result option")
    return result


def _plain(numbers: Sequence[int], highest: int) -> bytes:
    found = b" " + responses.numbers(numbers) if numbers else b""
    # RFC 7162 section 3.1.5
    return b"* SEARCH%b%b\r\n" % (found, b" (MODSEQ %d)" % highest if highest else b"")


def _extended(
    tag: bytes, returns: frozenset[bytes], numbers: Sequence[int], modseqs: Sequence[int], *, uid: bool
) -> bytes:
    """Write an ESEARCH response; ``modseqs`` go with ``numbers`` where MODSEQ was searched for."""
    pieces = [b"(TAG %b)" % responses.string(tag)]
    if uid:
        pieces.append(b"UID")
    if numbers:
        if b"MIN" in returns:
            pieces.append(b"MIN %d" % numbers[0])
        if b"MAX" in returns:
            pieces.append(b"MAX %d" % numbers[-1])
        if b"ALL" in returns:
            pieces.append(b"ALL " + sequences.write(numbers))
    if b"COUNT" in returns:
        pieces.append(b"COUNT %d" % len(numbers))
    if modseqs:
        pieces.append(b"MODSEQ %d" % _highest(returns, modseqs))
    return b"* ESEARCH %b\r\n" % b" ".join(pieces)


def _highest(returns: frozenset[bytes], modseqs: Sequence[int]) -> int:
    """Return the MODSEQ of what is reported (RFC 4731 section 3.2): of the first, the last, or of all."""
    if returns <= {b"MIN", b"MAX"}:
        return max([modseqs[0]] * (b"MIN" in returns) + [modseqs[-1]] * (b"MAX" in returns))
    return max(modseqs)


COMMANDS = {
    b"SEARCH": Command(partial(_search, uid=False), expunges=False),
    b"UID SEARCH": Command(partial(_search, uid=True)),
}
