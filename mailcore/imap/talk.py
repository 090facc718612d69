"""What a session and its commands share: the state of one conversation, and the form of a command."""

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Protocol, TypeAlias

from mailcore.conversation import CommandRefusedError
from mailcore.dialogue import Peer, Question
from mailcore.imap import responses
from mailcore.imap.events import Event, Notify
from mailcore.imap.forms import Form
from mailcore.imap.grammar import Parser
from mailcore.imap.questions import Refused
from mailcore.imap.selected import Known, Selected
from mailcore.imap.uploads import Appending
from mailcore.message.envelope import BodySink


class State(Enum):
    """RFC 3501 section 3."""

    NOT_AUTHENTICATED = auto()
    AUTHENTICATED = auto()
    SELECTED = auto()


ANY_STATE = frozenset(State)
_DEVICE_LIMIT = 80
BEFORE_LOGIN = frozenset({State.NOT_AUTHENTICATED})
AFTER_LOGIN = frozenset({State.AUTHENTICATED, State.SELECTED})
WITH_MAILBOX = frozenset({State.SELECTED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How a session behaves; made by the service once for each listener and reload."""

    tls_available: bool = False  # there is a certificate: STARTTLS can be offered
    plaintext_auth_ok: bool = False  # this client may send its password without TLS
    message_limit: int = 50 * 1024 * 1024  # octets


# A command yields questions (``conversation.NextLine`` asks the client) and pieces of untagged output, and returns
# what follows its tag.
Exchange: TypeAlias = Generator[Question | bytes, Any, bytes]
# A part of one.
Piece: TypeAlias = Generator[Question | bytes, Any, None]


class QuestionRefusedError(CommandRefusedError):
    """A question was answered with a ``Refused``; raised in the command, at the question."""

    def __init__(self, reason: Refused) -> None:
        super().__init__(responses.refused(reason))
        self.reason = reason


class GoodbyeError(Exception):
    """The connection ends here, with this line as the last; an empty one where no word could be understood."""

    def __init__(self, last_line: bytes) -> None:
        super().__init__(last_line)
        self.last_line = last_line


@dataclass(slots=True)
class Talk:
    """Who talks, about which mailbox, and what has been agreed."""

    peer: Peer
    policy: Policy
    new_body: Callable[[], BodySink]  # where the messages of APPEND go
    tag: bytes = b""  # of the command that is being carried out
    account: int = 0  # 0 before login
    login: str = ""
    selected: Selected | None = None
    # What the client has shown that it knows, and what it has switched on (RFC 5161).
    condstore: bool = False  # RFC 7162 section 3.1: MODSEQ
    qresync: bool = False  # RFC 7162 section 3.2: VANISHED in the place of EXPUNGE
    rev2: bool = False  # RFC 9051: IMAP4rev2
    utf8: bool = False  # RFC 6855: UTF8=ACCEPT
    uidonly: bool = False  # RFC 9586: no message numbers
    client: dict[str, str] = field(default_factory=dict)  # what it said of itself (RFC 2971)
    failures: int = 0  # failed logins
    news: bool = False  # the selected mailbox may have changed
    known: Known = field(default_factory=dict)  # changes that need not be told: the command has told them
    idling: bool = False  # the client waits for news
    notify: Notify | None = None  # what it wants to hear of unasked, once it has said so
    annotations: Notify | None = None  # the same of annotations, without a NOTIFY: it has enabled METADATA (RFC 5464)
    listens: bool = False  # it has asked to hear of all mailboxes of its account
    appending: Appending | None = None  # an APPEND whose messages the store does not have yet
    # How far a long command is and how far it has to go, in whatever it counts. Set it at the end of a line, and again
    # as the work goes on; it is told when the client has heard nothing for a while (RFC 9585).
    progress: tuple[int, int] | None = None
    starting_tls: bool = False
    starting_deflate: bool = False
    compressing: bool = False  # RFC 4978; from the command's completion on
    logging_out: bool = False  # the connection becomes nobody's again (RFC 8437)
    goodbye: bytes | None = None  # close after the completion, with this for a last line

    @property
    def state(self) -> State:
        """Where the conversation stands."""
        if not self.account:
            return State.NOT_AUTHENTICATED
        return State.SELECTED if self.selected else State.AUTHENTICATED

    @property
    def mailbox(self) -> Selected:
        """The selected mailbox, for commands that come only when there is one."""
        if self.selected is None:
            raise CommandRefusedError(responses.NOT_NOW)
        return self.selected

    @property
    def writable_mailbox(self) -> Selected:
        """The selected mailbox, unless it was opened with EXAMINE."""
        if self.mailbox.read_only:
            raise CommandRefusedError(responses.READ_ONLY)
        return self.mailbox

    def demand(self, rights: str) -> Selected:
        """Return the selected mailbox if it was opened for writing and the account has all these rights in it.

        Rights are those of RFC 4314 section 2.1: ``t`` to flag as deleted, ``e`` to expunge, ….
        """
        selected = self.writable_mailbox
        if not set(rights) <= set(selected.rights):
            raise CommandRefusedError(responses.refused(Refused.NO_PERMISSION))
        return selected

    @property
    def hears_messages(self) -> bool:
        """What others do in the selected mailbox is told unasked (RFC 5465 section 3.1)."""
        return self.notify is None or bool(self.notify.selected)

    @property
    def hears_flags(self) -> bool:
        """What others do to flags in the selected mailbox is told (RFC 5465 section 3.1)."""
        return self.notify is None or Event.FLAG_CHANGE in self.notify.selected

    def has_made(self, name: str, uids: Iterable[int]) -> None:
        """Take note that this client has put messages into a mailbox: it knows what they are."""
        if self.notify is not None and self.selected is not None and self.selected.name == name:
            self.notify.made.update(uids)

    def has_named(self, *called: str) -> None:
        """Take note that this client has made, removed or subscribed mailboxes: it need not be told."""
        if self.notify is not None:
            self.notify.mine.update(called)

    def has_annotated(self, name: str, entries: Iterable[str]) -> None:
        """Take note that this client has written annotations of a mailbox, or of the server: it knows what they are."""
        hearing = self.annotations if self.notify is None else self.notify
        if hearing is not None:
            hearing.written.update((name, entry) for entry in entries)

    @property
    def form(self) -> Form:
        """How this client is told of messages."""
        return Form(self.condstore, self.qresync, self.uidonly, self.rev2, self.notify is not None)

    @property
    def unicode_names(self) -> bool:
        """Mailbox names go over the wire in UTF-8, not in modified UTF-7 (RFC 9051 section 5.1, RFC 6855 section 3)."""
        return self.rev2 or self.utf8

    def mailbox_name(self, name: str) -> bytes:
        """Write a mailbox name as this client reads it."""
        return responses.mailbox(name, utf8=self.unicode_names)

    def parser(self, text: bytes, literals: Sequence[Any] = ()) -> Parser:
        """Return a parser that reads as this client writes."""
        return Parser(text, literals, utf8=self.unicode_names)

    @property
    def device(self) -> str:
        """What the client calls itself, for people to read; it may be anything (RFC 2971 section 3.3)."""
        words = " ".join(filter(None, (self.client.get("name"), self.client.get("version"))))
        return " ".join(words.split())[:_DEVICE_LIMIT]

    @property
    def may_authenticate(self) -> bool:
        """A password may be sent here."""
        return self.peer.tls is not None or self.policy.plaintext_auth_ok

    @property
    def may_start_tls(self) -> bool:
        """STARTTLS makes sense."""
        return self.peer.tls is None and self.policy.tls_available

    def learn_condstore(self) -> bytes:
        """Take note that the client knows MODSEQ; return what it is told of its mailbox then (RFC 7162 section 3.1)."""
        known, self.condstore = self.condstore, True
        if known or self.selected is None:
            return b""
        return responses.untagged(responses.ok(b"Highest", b"HIGHESTMODSEQ %d" % self.selected.snapshot.modseq))

    def learn_rev2(self) -> bytes:
        r"""Speak IMAP4rev2 from now on (RFC 9051 appendix A). What is ``\Recent`` is of no interest any more."""
        self.rev2 = True
        if self.selected:
            self.selected.ignore_recent()
        return b""

    def learn_utf8(self) -> bytes:
        """Read and write UTF-8 from now on (RFC 6855 section 3)."""
        self.utf8 = True
        return b""

    def learn_qresync(self) -> bytes:
        """Say VANISHED from now on (RFC 7162 section 3.2.3); return what the client is told of its mailbox."""
        self.qresync = True
        return self.learn_condstore()

    def learn_uidonly(self) -> bytes:
        """Use no message numbers from now on (RFC 9586 section 3)."""
        self.uidonly = True
        return b""

    def abandon_messages(self) -> None:
        """Forget messages that were being appended."""
        if self.appending is not None:
            self.appending.abandon()
            self.appending = None


class Handler(Protocol):
    """What carries out a command: takes its arguments from the parser, says what comes after the tag."""

    def __call__(self, talk: Talk, arguments: Parser, /) -> bytes | Exchange:
        """Do it, or return what does it step by step."""


@dataclass(frozen=True, slots=True)
class Command:
    """One row of the table of commands."""

    handler: Handler
    states: frozenset[State] = WITH_MAILBOX
    # EXPUNGE responses may come at its end. After FETCH, STORE and SEARCH they may not: message numbers in a command
    # that the client has sent meanwhile would be wrong (RFC 3501 section 7.4.1).
    expunges: bool = True
    # Look for changes at its end although nobody has rung.
    refreshes: bool = False
