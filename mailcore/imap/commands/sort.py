"""SORT and UID SORT (RFC 5256, RFC 5957), with RETURN as well (RFC 5267 section 3)."""

from collections.abc import Sequence
from functools import partial

from mailcore.imap import responses
from mailcore.imap.commands.search import check_update, emptying, read_charset, read_options, read_program, report
from mailcore.imap.grammar import Parser, SyntaxRefusedError
from mailcore.imap.questions import SortMessages
from mailcore.imap.search_results import plain
from mailcore.imap.talk import Command, Exchange, Talk
from mailcore.store.sort_keys import SortCriterion, SortKey

_KEYS = {key.value.encode("ascii"): key for key in SortKey}


def _sort(talk: Talk, arguments: Parser, *, uid: bool) -> Exchange:
    """Find messages and put them in order.

    ``sort = ["UID" SP] "SORT" [SP "RETURN" SP "(" … ")"] SP "(" sort-criterion *(SP sort-criterion) ")" SP charset
    1*(SP search-key)`` (RFC 5256 section 5, RFC 5267 section 6)
    """
    arguments.space()
    returns = read_options(talk, arguments)
    selected = talk.mailbox
    with emptying(selected, returns):
        criteria = _criteria(arguments)
        arguments.space()
        charset = read_charset(arguments)
        arguments.space()
        program = read_program(talk, arguments, charset)
        check_update(talk, returns)
        found = yield from program.find(talk, selected)
        places = []
        if found:
            uids = [selected.uids[place] for place in found]
            order: Sequence[int] = yield SortMessages(selected.key, uids, criteria)
            # Looking for each of 10,000 UIDs would take longer than all the rest.
            places = list(map(dict(zip(uids, found, strict=True)).__getitem__, order))
        if returns is None:
            numbers = [selected.uids[place] if uid else place + 1 for place in places]
            yield plain(b"SORT", numbers, program.highest(selected, places))
        else:
            yield from report(talk, program, returns, places, criteria, uid=uid)
    return responses.completed(b"UID SORT" if uid else b"SORT")


def _criteria(arguments: Parser) -> tuple[SortCriterion, ...]:
    """Take the sort criteria; of a key that is named again the first time counts: later it decides nothing."""
    criteria: dict[SortKey, SortCriterion] = {}
    for criterion in arguments.parenthesized(lambda: _criterion(arguments)):
        criteria.setdefault(criterion.key, criterion)
    return tuple(criteria.values())


def _criterion(arguments: Parser) -> SortCriterion:
    # sort-criterion = ["REVERSE" SP] sort-key
    reverse = arguments.accept_word(b"REVERSE") is not None
    if reverse:
        arguments.space()
    key = _KEYS.get(arguments.word())
    if key is None:
        raise SyntaxRefusedError("Unknown sort key")
    return SortCriterion(key, reverse)


COMMANDS = {
    # Message numbers stand as in SEARCH, and so does what is said of expunged messages.
    b"SORT": Command(partial(_sort, uid=False), expunges=False),
    b"UID SORT": Command(partial(_sort, uid=True)),
}
