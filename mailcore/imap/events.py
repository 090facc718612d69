"""What a client wants to hear of unasked (RFC 5465), and what it has been told of each mailbox so far."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple

from mailcore.imap import names
from mailcore.imap.questions import ANNOTATIONS, EVERYTHING, NAMES

# Mailboxes of others stand below this name.
_OTHERS = "Other Users" + names.SEPARATOR


def is_foreign(name: str) -> bool:
    """Say whether a mailbox is outside the account's own namespace (RFC 2342)."""
    return name.startswith(_OTHERS)


class Event(Enum):
    """The events of RFC 5465 section 5 that there are here."""

    MESSAGE_NEW = b"MessageNew"
    MESSAGE_EXPUNGE = b"MessageExpunge"
    FLAG_CHANGE = b"FlagChange"
    MAILBOX_NAME = b"MailboxName"
    SUBSCRIPTION_CHANGE = b"SubscriptionChange"
    MAILBOX_METADATA_CHANGE = b"MailboxMetadataChange"
    SERVER_METADATA_CHANGE = b"ServerMetadataChange"


Events = frozenset[Event]
NOTHING: Events = frozenset()
ABOUT_MESSAGES: Events = frozenset({Event.MESSAGE_NEW, Event.MESSAGE_EXPUNGE, Event.FLAG_CHANGE})
ABOUT_ANNOTATIONS: Events = frozenset({Event.MAILBOX_METADATA_CHANGE, Event.SERVER_METADATA_CHANGE})


class Scope(Enum):
    """Which mailboxes are meant, besides the selected one (RFC 5465 section 6)."""

    PERSONAL = b"PERSONAL"
    INBOXES = b"INBOXES"  # where mail is delivered: INBOX alone
    SUBSCRIBED = b"SUBSCRIBED"
    SUBTREE = b"SUBTREE"
    MAILBOXES = b"MAILBOXES"


@dataclass(frozen=True, slots=True)
class Group:
    """Events that are wanted of some mailboxes."""

    scope: Scope
    events: Events
    names: frozenset[str] = frozenset()

    def covers(self, name: str, *, subscribed: bool) -> bool:
        """Say whether a mailbox is meant."""
        match self.scope:
            case Scope.PERSONAL:
                return not is_foreign(name)
            case Scope.INBOXES:
                return name == names.INBOX
            case Scope.SUBSCRIBED:
                return subscribed
            case Scope.SUBTREE:
                return name in self.names or not self.names.isdisjoint(names.parents(name))
            case Scope.MAILBOXES:
                return name in self.names


class Told(NamedTuple):
    """A mailbox as the client knows it from what it was told; at first an empty one."""

    name: str
    subscribed: bool
    uidnext: int = 1
    messages: int = 0
    modseq: int = 1


@dataclass(slots=True)
class Notify:
    """What a NOTIFY has switched on, and what has happened since it was last told."""

    selected: Events = NOTHING  # of the selected mailbox
    delayed: bool = False  # EXPUNGE waits for a command (RFC 5465 section 6.1.2)
    # Tells more of new messages in the selected mailbox; takes the talk and their places.
    describe: Callable[[Any, Collection[int]], Any] | None = None
    groups: tuple[Group, ...] = ()
    told: dict[int, Told] = field(default_factory=dict)  # all mailboxes that the account may see
    orphans: frozenset[str] = frozenset()  # subscribed names without a mailbox
    foreign: frozenset[int] = frozenset()  # mailboxes of others among them
    mine: set[str] = field(default_factory=set)  # names that this client has made, removed or subscribed itself
    made: set[int] = field(default_factory=set)  # UIDs that it has put into the selected mailbox itself
    # Entries as they were read last, by mailbox (0: the server), each with what becomes another when it is written.
    annotations: Mapping[int, Mapping[str, object]] = field(default_factory=dict)
    written: set[tuple[str, str]] = field(default_factory=set)  # entries that it has written itself since then
    touched: set[int] = field(default_factory=set)  # mailboxes in which something is new
    rearranged: bool = False  # names or subscriptions may be others
    everything: bool = False  # anything may be
    annotated: bool = False  # annotations may be others
    resting: bool = False  # it could not be read: the next notice or command tries again

    @property
    def has_news(self) -> bool:
        """There is something to be looked at."""
        return bool(self.touched or self.rearranged or self.everything or self.annotated)

    def wants(self, events: Events) -> bool:
        """Say whether one of these is wanted of any mailbox."""
        return any(group.events & events for group in self.groups)

    def hear(self, mailbox: int) -> None:
        """Take note that something is new, unless nobody wants to know."""
        if not self.groups:
            return
        self.resting = False
        told = self.told.get(mailbox)
        if mailbox == NAMES:
            self.rearranged = True
        elif mailbox == ANNOTATIONS:
            self.annotated = self.wants(ABOUT_ANNOTATIONS)
        elif mailbox == EVERYTHING:
            self.everything = True
            self.annotated = self.wants(ABOUT_ANNOTATIONS)
        elif told is None or self.events_of(told) & ABOUT_MESSAGES:
            self.touched.add(mailbox)

    def events_of(self, mailbox: Told) -> Events:
        """Return what is wanted of a mailbox; groups that speak of the same one add up (RFC 5465 section 6)."""
        return NOTHING.union(
            *[group.events for group in self.groups if group.covers(mailbox.name, subscribed=mailbox.subscribed)]
        )
