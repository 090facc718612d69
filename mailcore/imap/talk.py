"""What a session and its commands share: the state of one conversation, and the form of a command."""

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Protocol, TypeAlias

from mailcore.conversation import CommandRefusedError
from mailcore.dialogue import Peer, Question
from mailcore.imap import responses
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
    condstore: bool = False  # RFC 7162 section 3.1: the client has shown that it knows MODSEQ
    client: dict[str, str] = field(default_factory=dict)  # what it said of itself (RFC 2971)
    failures: int = 0  # failed logins
    news: bool = False  # the selected mailbox may have changed
    known: Known = field(default_factory=dict)  # changes that need not be told: the command has told them
    idling: bool = False  # the client waits for news
    appending: Appending | None = None  # an APPEND whose messages the store does not have yet
    starting_tls: bool = False
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
