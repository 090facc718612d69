"""Telling what NOTIFY asked for (RFC 5465).

Of other mailboxes by STATUS, of names and subscriptions by LIST, of annotations by METADATA.

What a notice says is only where to look. What has happened is the difference between what the client was told and
what is there now, so that many changes cost one answer, and a client that does not read costs nothing more.
"""

from collections.abc import Collection, Generator, Iterator, Sequence
from typing import Any

from mailcore.dialogue import Question
from mailcore.imap import names, responses
from mailcore.imap.changes import in_turns, tell_changes
from mailcore.imap.events import (
    ABOUT_ANNOTATIONS,
    ABOUT_MESSAGES,
    Event,
    Events,
    Group,
    Notify,
    Scope,
    Told,
    is_foreign,
)
from mailcore.imap.questions import (
    ListMailboxes,
    Mailboxes,
    MailboxRow,
    Pause,
    ReadAnnotations,
    Refused,
    Status,
    WatchAccount,
)
from mailcore.imap.talk import GoodbyeError, Piece, QuestionRefusedError, Talk
from mailcore.store.namespaces import OTHERS

# Mailboxes of one client; with more it is told that it is too much (RFC 5465 section 5.8).
MAILBOXES_LIMIT = 20_000
# Mailboxes asked about one by one; when more have changed, all are read at once.
ONE_BY_ONE = 20
# Mailboxes compared before others have their turn.
_COMPARED_AT_ONCE = 2000

_MESSAGE_STATUS = (b"MESSAGES", b"UIDNEXT", b"UIDVALIDITY")


def tell_unasked(talk: Talk) -> Generator[Question | bytes, Any, bytes]:
    """Tell everything that may be told while no command is in progress."""
    try:
        yield from tell_everything(talk, expunges=talk.notify is not None and not talk.notify.delayed)
    except GoodbyeError as error:
        talk.goodbye = error.last_line
    return b""


def wants_to_speak(talk: Talk) -> bool:
    """Say whether ``tell_unasked`` has something to do."""
    notify = talk.notify
    if notify is None or notify.resting:
        return False
    return _has_selected_news(talk, expunges=not notify.delayed) or notify.has_news


def _has_selected_news(talk: Talk, *, expunges: bool) -> bool:
    if talk.selected is None or not talk.hears_messages:
        return False
    return talk.news or (expunges and talk.selected.has_pending)


def has_news(talk: Talk) -> bool:
    """Say whether a client that idles has something to be told (RFC 5465 section 4)."""
    hearing = talk.annotations if talk.notify is None else talk.notify
    return _has_selected_news(talk, expunges=True) or (hearing is not None and hearing.has_news)


def tell_everything(talk: Talk, *, expunges: bool) -> Generator[Question | bytes, Any, bool]:
    """Tell what is new in the selected mailbox and in others. Returns ``False`` if something could not be read."""
    done = True
    if _has_selected_news(talk, expunges=expunges):
        done = yield from tell_changes(talk, expunges=expunges)
        if not done and talk.notify is not None:
            talk.notify.resting = True
    return (yield from tell_others(talk)) and done


def tell_others(talk: Talk) -> Generator[Question | bytes, Any, bool]:
    """Tell what is new in mailboxes that are not selected. Returns ``False`` if it could not be read."""
    notify = talk.notify
    if notify is None:
        return (yield from _tell_enabled(talk))
    try:
        while talk.notify is notify and notify.has_news:
            if notify.annotated:
                yield from _tell_annotations(talk, notify)
            elif notify.rearranged or notify.everything or len(notify.touched) > ONE_BY_ONE:
                yield from _tell_all(talk, notify)
            else:
                yield from _tell_touched(talk, notify)
    except QuestionRefusedError:
        notify.resting = True
        return False
    return True


def _tell_enabled(talk: Talk) -> Generator[Question | bytes, Any, bool]:
    """Tell what has been enabled without a NOTIFY. Returns ``False`` if it could not be read."""
    enabled = talk.annotations
    try:
        while enabled is not None and enabled.annotated:
            yield from _tell_annotations(talk, enabled)
    except QuestionRefusedError:
        return False
    return True


def _tell_touched(talk: Talk, notify: Notify) -> Piece:
    mailbox = notify.touched.pop()
    told = notify.told.get(mailbox)
    if told is None:
        return  # a new one, of which a notice is under way
    try:
        row: MailboxRow = yield Status(talk.account, told.name)
    except QuestionRefusedError as error:
        if error.reason is Refused.UNAVAILABLE:
            notify.touched.add(mailbox)
            raise
        return  # it is gone, or no longer to be read: a notice of that is under way
    if row.mailbox == mailbox:
        yield _tell_status(talk, notify, row)


def _tell_all(talk: Talk, notify: Notify) -> Piece:
    """Compare all that is there with all that was told."""
    touched, notify.touched = notify.touched, set()
    everything, notify.everything, notify.rearranged = notify.everything, False, False
    try:
        mailboxes: Mailboxes = yield ListMailboxes(talk.account)
    except QuestionRefusedError:
        notify.touched |= touched
        notify.everything, notify.rearranged = everything, True
        raise
    if len(mailboxes.rows) > MAILBOXES_LIMIT:
        yield from stop(talk)
        yield responses.NOTIFICATION_OVERFLOW
        return
    yield from _tell_names(talk, notify, mailboxes)
    for place, row in enumerate(mailboxes.rows, 1):
        if everything or row.mailbox in touched or row.mailbox not in notify.told:
            yield _tell_status(talk, notify, row)
        elif notify.told[row.mailbox].name != row.name or notify.told[row.mailbox].subscribed != row.subscribed:
            notify.told[row.mailbox] = notify.told[row.mailbox]._replace(name=row.name, subscribed=row.subscribed)
        if place % _COMPARED_AT_ONCE == 0:
            yield Pause()
    for mailbox in notify.told.keys() - {row.mailbox for row in mailboxes.rows}:
        del notify.told[mailbox]
    notify.orphans = frozenset(mailboxes.orphaned_subscriptions)
    yield from watch_foreign(talk, notify, mailboxes.rows)


def learn(talk: Talk, notify: Notify, rows: Sequence[MailboxRow], *, status: bool) -> Piece:
    """Take all mailboxes as known from now on; with ``status`` tell of those whose messages are of interest."""
    lines = []
    for place, row in enumerate(rows, 1):
        told = notify.told[row.mailbox] = _as_told(row)
        wanted = notify.events_of(told) & ABOUT_MESSAGES
        if wanted and "r" not in row.rights:
            # RFC 5465 section 3.1: it may be seen, and what happens in it may not.
            lines.append(b'* LIST (\\NoAccess) "/" %b\r\n' % talk.mailbox_name(row.name))
        elif wanted and status and not _is_selected(talk, row.mailbox):
            lines.append(_status_line(talk, row, wanted))
        if place % _COMPARED_AT_ONCE == 0:
            yield Pause()
    yield from in_turns(lines)


def watch_foreign(talk: Talk, notify: Notify, rows: Sequence[MailboxRow]) -> Piece:
    """Hear of the mailboxes of others too, as they are now."""
    foreign = frozenset(row.mailbox for row in rows if is_foreign(row.name))
    if foreign != notify.foreign:
        new, notify.foreign = foreign - notify.foreign, foreign
        yield WatchAccount(talk.account, foreign)
        notify.touched |= new & notify.told.keys()  # they may have changed before anybody listened


def stop(talk: Talk) -> Piece:
    """Tell nothing unasked any more (NOTIFY NONE)."""
    talk.notify = Notify()
    if talk.listens:
        talk.listens = False
        yield WatchAccount(0, frozenset())


# -- Messages ---------------------------------------------------------------------------------------------------------


def _tell_status(talk: Talk, notify: Notify, row: MailboxRow) -> bytes:
    """Return a STATUS response if something has happened to the messages that the client wants to hear of."""
    before = notify.told.get(row.mailbox)
    now = notify.told[row.mailbox] = _as_told(row)
    wanted = notify.events_of(now)
    if _is_selected(talk, row.mailbox) or "r" not in row.rights:
        return b""
    if wanted.isdisjoint(_happened(before or Told(row.name, row.subscribed), now)):
        return b""
    return _status_line(talk, row, wanted)


def _happened(before: Told, now: Told) -> Iterator[Event]:
    if now.uidnext > before.uidnext:
        yield Event.MESSAGE_NEW
    if now.messages - before.messages < now.uidnext - before.uidnext:
        yield Event.MESSAGE_EXPUNGE
    if now.modseq > before.modseq:
        yield Event.FLAG_CHANGE


def _status_line(talk: Talk, row: MailboxRow, wanted: Events) -> bytes:
    """Write what RFC 5465 sections 3.1 and 5.1 to 5.3 ask for, and what they allow."""
    told = [b"MESSAGES %d UIDNEXT %d UIDVALIDITY %d" % (row.messages, row.uidnext, row.uidvalidity)]
    if Event.FLAG_CHANGE in wanted:
        told.append(b"UNSEEN %d" % row.unseen)
    if talk.condstore or Event.FLAG_CHANGE in wanted:
        told.append(b"HIGHESTMODSEQ %d" % row.highestmodseq)
    return b"* STATUS %b (%b)\r\n" % (talk.mailbox_name(row.name), b" ".join(told))


def _is_selected(talk: Talk, mailbox: int) -> bool:
    return talk.selected is not None and talk.selected.key.mailbox == mailbox


def _as_told(row: MailboxRow) -> Told:
    return Told(row.name, row.subscribed, row.uidnext, row.messages, row.highestmodseq)


# -- Annotations ------------------------------------------------------------------------------------------------------


def enable_metadata(talk: Talk, *, mailboxes: bool) -> Piece:
    """Tell from now on which annotations others change, of the server or of mailboxes too (RFC 5464 section 4.4).

    A NOTIFY says anew what is to be told. Where annotations cannot be read now, nothing is switched on.
    """
    events = ABOUT_ANNOTATIONS if mailboxes else frozenset({Event.SERVER_METADATA_CHANGE})
    hearing = Notify(groups=(Group(Scope.PERSONAL, events), Group(Scope.SUBTREE, events, frozenset({OTHERS}))))
    before, talk.annotations = talk.annotations, hearing
    try:
        # From before they are read: what comes in between is then heard of.
        talk.listens = True
        yield WatchAccount(talk.account, frozenset() if talk.notify is None else talk.notify.foreign)
        found: Mailboxes = yield ListMailboxes(talk.account)
        yield from read_annotations(talk, hearing, found.rows)
    except QuestionRefusedError:
        talk.annotations = before


def read_annotations(
    talk: Talk, notify: Notify, rows: Sequence[MailboxRow]
) -> Generator[Question | bytes, Any, dict[int, str]]:
    """Read what entries there are; return what the mailboxes are called of whose the client wants to hear."""
    wanted = {0: ""} if notify.wants(frozenset({Event.SERVER_METADATA_CHANGE})) else {}
    for place, row in enumerate(rows, 1):
        # RFC 5464 section 3.3: who may see the annotations of a mailbox.
        if Event.MAILBOX_METADATA_CHANGE in notify.events_of(_as_told(row)) and set("rswip") & set(row.rights):
            wanted[row.mailbox] = row.name
        if place % _COMPARED_AT_ONCE == 0:
            yield Pause()
    notify.annotations = yield ReadAnnotations(talk.account, [mailbox for mailbox in wanted if mailbox])
    return wanted


def _tell_annotations(talk: Talk, notify: Notify) -> Piece:
    """Name the entries that were written or removed, but for those that the client has written itself.

    ``metadata-resp = "METADATA" SP mailbox SP entry-list`` (RFC 5464 section 5)
    """
    before, notify.annotated = notify.annotations, False
    try:
        mailboxes: Mailboxes = yield ListMailboxes(talk.account)
        wanted = yield from read_annotations(talk, notify, mailboxes.rows)
    except QuestionRefusedError:
        notify.annotated = True
        raise
    mine, notify.written = notify.written, set()
    lines = []
    for place, (mailbox, name) in enumerate(wanted.items(), 1):
        old, new = before.get(mailbox, {}), notify.annotations.get(mailbox, {})
        changed = [entry for entry in sorted({*old, *new}) if old.get(entry) != new.get(entry)]
        told = [responses.astring(entry.encode()) for entry in changed if (name, entry) not in mine]
        if told:
            written = talk.mailbox_name(name) if name else b'""'
            lines.append(b"* METADATA %b %b\r\n" % (written, b" ".join(told)))
        if place % _COMPARED_AT_ONCE == 0:
            yield Pause()
    yield from in_turns(lines)


# -- Names and subscriptions ------------------------------------------------------------------------------------------


def _tell_names(talk: Talk, notify: Notify, mailboxes: Mailboxes) -> Piece:
    """Say LIST for every name that has changed and is of interest; what the client did itself is not told."""
    now = {row.mailbox: row for row in mailboxes.rows}
    by_name = {row.name: row for row in mailboxes.rows}
    inner = {above for row in mailboxes.rows for above in names.parents(row.name)[-1:]}
    mine, notify.mine = notify.mine, set()
    yield Pause()

    def line(name: str, old: str = "") -> bytes:
        row = by_name.get(name)
        attributes = [] if row else [b"\\NonExistent"]
        if row.subscribed if row else name in mailboxes.orphaned_subscriptions:
            attributes.append(b"\\Subscribed")
        attributes.append(b"\\HasChildren" if name in inner else b"\\HasNoChildren")
        if row and row.special_use:
            attributes.append(row.special_use.encode("ascii"))
        return responses.listed(b" ".join(attributes), talk.mailbox_name(name), talk.mailbox_name(old) if old else b"")

    lines: dict[str, bytes] = {}
    for name, old in _renamed(notify.told, now):
        if name not in mine and _wants(notify, Event.MAILBOX_NAME, (name, old), by_name):
            lines[name] = line(name, old)
    for name in _come_and_gone(notify.told, now):
        if name not in mine and _wants(notify, Event.MAILBOX_NAME, (name,), by_name):
            for affected in (*names.parents(name)[-1:], name):  # RFC 5465 section 5.4
                lines.setdefault(affected, line(affected))
    for name in _resubscribed(notify, mailboxes):
        if name not in mine and _wants(notify, Event.SUBSCRIPTION_CHANGE, (name,), by_name):
            lines.setdefault(name, line(name))
    yield from in_turns(lines.values())


def _wants(notify: Notify, event: Event, called: Sequence[str], by_name: dict[str, MailboxRow]) -> bool:
    def subscribed(name: str) -> bool:
        # One that is no longer subscribed was until now: both are changes of a subscribed mailbox.
        return event is Event.SUBSCRIPTION_CHANGE or (name in by_name and by_name[name].subscribed)

    return any(
        event in group.events and group.covers(name, subscribed=subscribed(name))
        for group in notify.groups
        for name in called
    )


def _renamed(told: dict[int, Told], now: dict[int, MailboxRow]) -> Iterator[tuple[str, str]]:
    """Give new and old names. What moved because something above it did is no event of its own (section 5.4)."""
    moved = {
        told[mailbox].name: row.name
        for mailbox, row in now.items()
        if mailbox in told and told[mailbox].name != row.name
    }
    for old, new in moved.items():
        above, _, last = old.rpartition(names.SEPARATOR)
        if above not in moved or moved[above] + names.SEPARATOR + last != new:
            yield new, old


def _come_and_gone(told: dict[int, Told], now: dict[int, MailboxRow]) -> list[str]:
    come = [row.name for mailbox, row in now.items() if mailbox not in told]
    gone = [was.name for mailbox, was in told.items() if mailbox not in now]
    return sorted({*come, *gone})


def _resubscribed(notify: Notify, mailboxes: Mailboxes) -> Collection[str]:
    before = {was.name for was in notify.told.values() if was.subscribed} | notify.orphans
    now = {row.name for row in mailboxes.rows if row.subscribed}.union(mailboxes.orphaned_subscriptions)
    return sorted(before ^ now)
