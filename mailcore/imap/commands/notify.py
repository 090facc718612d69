"""NOTIFY: what the client wants to hear of unasked, in the selected mailbox and in others (RFC 5465)."""

from dataclasses import dataclass, field

from mailcore.conversation import CommandRefusedError
from mailcore.imap import responses
from mailcore.imap.commands.fetch import describing
from mailcore.imap.events import ABOUT_ANNOTATIONS, ABOUT_MESSAGES, Event, Events, Group, Notify, Scope
from mailcore.imap.fetch_items import FetchPlan, read_items
from mailcore.imap.grammar import Parser, SyntaxRefusedError
from mailcore.imap.notifications import MAILBOXES_LIMIT, learn, read_annotations, stop, watch_foreign
from mailcore.imap.questions import ListMailboxes, Mailboxes, WatchAccount
from mailcore.imap.talk import AFTER_LOGIN, Command, Exchange, Piece, Talk

# Event groups in one NOTIFY, and names in all of them: each is looked at for each mailbox that changes.
_GROUPS_LIMIT = 20
_NAMES_LIMIT = 1000

_EVENTS = {event.value.upper(): event for event in Event}
_SCOPES = {scope.value: scope for scope in Scope}
_SELECTED = frozenset({b"SELECTED", b"SELECTED-DELAYED"})


@dataclass(slots=True)
class _Wish:
    """What a NOTIFY SET asks for."""

    groups: list[Group] = field(default_factory=list)
    selected: Events | None = None
    delayed: bool = False
    plan: FetchPlan | None = None  # what to tell of new messages
    unknown: bool = False  # an event that there is not
    names: int = 0


def _notify(talk: Talk, arguments: Parser) -> Exchange:
    """Begin to tell, or end it: ``notify = "NOTIFY" SP ("SET" [SP "STATUS"] SP event-groups / "NONE")``."""
    arguments.space()
    kind = arguments.word()
    if kind == b"NONE":
        arguments.end()
        yield from stop(talk)
        return responses.completed(b"NOTIFY")
    if kind != b"SET":
        raise SyntaxRefusedError("Expected SET or NONE")
    arguments.space()
    status = arguments.accept_word(b"STATUS") is not None
    if status:
        arguments.space()
    wish = _event_groups(talk, arguments)
    if wish.unknown:
        return responses.BAD_EVENT
    before = talk.notify
    talk.notify = notify = Notify(
        selected=wish.selected or frozenset(),
        delayed=wish.delayed,
        describe=describing(wish.plan) if wish.plan else None,
        groups=tuple(wish.groups),
    )
    try:
        yield from _begin(talk, notify, status=status)
    except CommandRefusedError:
        talk.notify = before
        raise
    return responses.completed(b"NOTIFY")


def _begin(talk: Talk, notify: Notify, *, status: bool) -> Piece:
    """Learn how everything stands that is of interest."""
    if not notify.groups:
        return
    # From before the state is read: what comes in between is then heard of.
    talk.listens = True
    yield WatchAccount(talk.account, frozenset())
    mailboxes: Mailboxes = yield ListMailboxes(talk.account)
    if len(mailboxes.rows) > MAILBOXES_LIMIT:
        raise CommandRefusedError(responses.TOO_MUCH_TO_NOTIFY)
    notify.orphans = frozenset(mailboxes.orphaned_subscriptions)
    yield from learn(talk, notify, mailboxes.rows, status=status)
    if notify.wants(ABOUT_ANNOTATIONS):
        yield from read_annotations(talk, notify, mailboxes.rows)
    yield from watch_foreign(talk, notify, mailboxes.rows)


def _event_groups(talk: Talk, arguments: Parser) -> _Wish:
    """Take ``event-group *(SP event-group)``."""
    wish = _Wish()
    _event_group(talk, arguments, wish)
    count = 1
    while not arguments.is_done:
        arguments.space()
        _event_group(talk, arguments, wish)
        count += 1
        if count > _GROUPS_LIMIT or wish.names > _NAMES_LIMIT:
            raise SyntaxRefusedError("Too many event groups")
    return wish


def _event_group(talk: Talk, arguments: Parser, wish: _Wish) -> None:
    """Take ``"(" filter-mailboxes SP events ")"``."""
    arguments.expect(b"(")
    filter_ = arguments.word()
    if filter_ in _SELECTED:
        if wish.selected is not None:
            raise SyntaxRefusedError("The selected mailbox is named twice")
        arguments.space()
        wish.selected = _events(talk, arguments, wish, selected=True)
        wish.delayed = filter_ == b"SELECTED-DELAYED"
        if not wish.selected <= ABOUT_MESSAGES:
            raise SyntaxRefusedError("Of the selected mailbox there are only message events")
    elif filter_ in _SCOPES:
        scope = _SCOPES[filter_]
        named: list[str] = []
        if scope in {Scope.SUBTREE, Scope.MAILBOXES}:
            arguments.space()
            named = arguments.parenthesized(arguments.mailbox) if arguments.at(b"(") else [arguments.mailbox()]
            wish.names += len(named)
        arguments.space()
        wish.groups.append(Group(scope, _events(talk, arguments, wish, selected=False), frozenset(named)))
    else:
        raise SyntaxRefusedError("Unknown mailbox filter")
    arguments.expect(b")")


def _events(talk: Talk, arguments: Parser, wish: _Wish, *, selected: bool) -> Events:
    """Take ``"(" event *(SP event) ")" / "NONE"``."""
    if arguments.accept_word(b"NONE"):
        return frozenset()
    events: set[Event] = set()
    arguments.expect(b"(")
    while True:
        event = _EVENTS.get(arguments.word())
        if event is None:
            wish.unknown = True
        else:
            events.add(event)
        if arguments.accept(b")"):
            break
        arguments.space()
        if event is Event.MESSAGE_NEW and arguments.at(b"("):
            if not selected:
                raise SyntaxRefusedError("Only new messages of the selected mailbox can be described")
            wish.plan = read_items(arguments, form=talk.form)
            if arguments.accept(b")"):
                break
            arguments.space()
    about = events & ABOUT_MESSAGES
    # RFC 5465 section 5: neither goes without the other, and flags go with both, or message numbers would be lost. Of
    # other mailboxes only STATUS is told; there we are not as strict as the text, for clients that ask for one alone.
    if selected and about and not about >= {Event.MESSAGE_NEW, Event.MESSAGE_EXPUNGE} and not wish.unknown:
        raise SyntaxRefusedError("MessageNew and MessageExpunge go together")
    return frozenset(events)


COMMANDS = {b"NOTIFY": Command(_notify, AFTER_LOGIN, refreshes=True)}
