"""SEARCH and UID SEARCH (RFC 3501 section 6.4.4, RFC 9051 section 6.4.4), and what SORT and THREAD share with them."""

from array import array
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from mailcore.conversation import CommandRefusedError
from mailcore.dialogue import Question
from mailcore.imap import responses, updates
from mailcore.imap.commands.fetch import describing
from mailcore.imap.contexts import Context
from mailcore.imap.fetch_items import read_items
from mailcore.imap.grammar import Parser, SyntaxRefusedError
from mailcore.imap.search_keys import Key, Searcher, SearchReader, frozen
from mailcore.imap.search_results import PLAIN_ALL, Returns, correlator, extended, plain, read_returns
from mailcore.imap.selected import Selected
from mailcore.imap.talk import Command, Exchange, Piece, Talk
from mailcore.message import charsets
from mailcore.store.sort_keys import SortCriterion


@dataclass(frozen=True, slots=True)
class Program:
    """What to look for."""

    key: Key
    knows_modseq: bool
    names_selected: bool
    watches_clock: bool

    def find(self, talk: Talk, selected: Selected) -> Generator[Question | bytes, Any, Sequence[int]]:
        """Return the places of the messages found, ascending."""
        if self.knows_modseq:
            yield talk.learn_condstore()
        return (yield from Searcher(selected).find(self.key))

    def highest(self, selected: Selected, places: Sequence[int]) -> int:
        """Return the greatest MODSEQ of these messages; 0 when the client has not asked for it."""
        if not self.knows_modseq:
            return 0
        modseqs = selected.table().modseqs
        return max((modseqs[place] for place in places), default=0)


def read_options(talk: Talk, arguments: Parser) -> Returns | None:
    """Take the RETURN options, if there are any."""
    return read_returns(arguments, partial(read_items, form=talk.form))


def read_charset(arguments: Parser) -> bytes:
    """Take the name of a charset; any that mail is written in will do. Raises with the BADCHARSET of RFC 3501."""
    charset = arguments.astring()
    if not charsets.is_known(charset.decode("ascii", "replace")):
        raise CommandRefusedError(responses.BAD_CHARSET)
    return charset


def read_program(talk: Talk, arguments: Parser, charset: bytes = b"UTF-8") -> Program:
    """Take ``search-key *(SP search-key)`` to the end."""
    # US-ASCII is UTF-8 as well. SORT and THREAD have to name a charset, and these two always do (RFC 5256 section 3).
    if talk.utf8 and charset.upper() not in {b"UTF-8", b"US-ASCII"}:
        raise SyntaxRefusedError("Everything is in UTF-8")  # RFC 6855 section 3
    reader = SearchReader(arguments, charset=charset.decode("ascii"), uidonly=talk.uidonly)
    key = reader.read()
    return Program(key, reader.knows_modseq, reader.names_selected, reader.watches_clock)


def _search(talk: Talk, arguments: Parser, *, uid: bool) -> Exchange:
    """Find messages.

    ``search = "SEARCH" [SP "RETURN" SP "(" [search-return-opt *(SP search-return-opt)] ")"]
    [SP "CHARSET" SP astring] 1*(SP search-key)`` (RFC 4466 section 2.6.1)
    """
    arguments.space()
    returns = read_options(talk, arguments)
    selected = talk.mailbox
    with emptying(selected, returns):
        charset = b"UTF-8"
        if arguments.accept_word(b"CHARSET"):
            if talk.utf8:
                raise SyntaxRefusedError("Everything is in UTF-8")  # RFC 6855 section 3
            arguments.space()
            charset = read_charset(arguments)
            arguments.space()
        program = read_program(talk, arguments, charset)
        check_update(talk, returns)
        places = yield from program.find(talk, selected)
        if returns is None and not talk.rev2:
            numbers = [selected.uids[place] if uid else place + 1 for place in places]
            yield plain(b"SEARCH", numbers, program.highest(selected, places))
        else:
            # IMAP4rev2 has no SEARCH response any more (RFC 9051 section 6.4.4).
            yield from report(talk, program, returns or PLAIN_ALL, places, uid=uid)
    return responses.completed(b"UID SEARCH" if uid else b"SEARCH")


@contextmanager
def emptying(selected: Selected, returns: Returns | None) -> Iterator[None]:
    """Save nothing any more where SAVE was asked for and the answer is NO (RFC 5182 section 2.1).

    After BAD stays what was saved before.
    """
    try:
        yield
    except CommandRefusedError as refused:
        if returns is not None and b"SAVE" in returns and refused.reply.startswith(b"NO"):
            selected.save(())
        raise


def check_update(talk: Talk, returns: Returns | None) -> None:
    """Make sure that a tag does not stand for two searches that are kept up (RFC 5267 section 4.3)."""
    if returns is not None and b"UPDATE" in returns and talk.tag in talk.mailbox.contexts:
        raise SyntaxRefusedError("Tag stands for another search")


def report(
    talk: Talk,
    program: Program,
    returns: Returns,
    places: Sequence[int],
    criteria: Sequence[SortCriterion] = (),
    *,
    uid: bool,
    belongs_to: bytes = b"",
) -> Piece:
    """Say what was found (``places``, in the order of ``criteria``), save it, and keep it up, as was asked for.

    With ``belongs_to``, the correlator of several mailboxes, what has found nothing is not told of (RFC 7377).
    """
    selected = talk.mailbox
    numbers = [selected.uids[place] if uid else place + 1 for place in places]
    reported = returns.reported(places)
    if not returns.is_silent and (places or not belongs_to):
        modseq = program.highest(selected, reported)
        yield extended(belongs_to or correlator(talk.tag), returns, numbers, modseq, uid=uid)
    if b"SAVE" in returns:
        selected.save(sorted(reported))
    if b"UPDATE" not in returns:
        return
    if program.watches_clock or not updates.may_add(selected, len(places), is_sorted=bool(criteria)):
        yield responses.untagged(responses.no(b"Not kept up", b"NOUPDATE " + responses.string(talk.tag)))
        return
    uids = array("I", [selected.uids[place] for place in places])
    key, describe = frozen(program.key, selected), describing(returns.plan) if returns.plan else None
    selected.contexts[talk.tag] = Context(talk.tag, key, uid, criteria, uids, describe)


COMMANDS = {
    b"SEARCH": Command(partial(_search, uid=False), expunges=False),
    b"UID SEARCH": Command(partial(_search, uid=True)),
}
