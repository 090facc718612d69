"""The IMAP server's side of a conversation: takes bytes, gives actions (RFC 9051, RFC 3501).

It collects commands, looks them up in the table, and tells the client what has changed in its mailbox before each
completion. What a command does stands in ``commands/``, one file a family.
"""

import re
from collections.abc import Callable, Generator, Sequence
from typing import Any

from a3mailer_site.figures import figures
from mailcore.conversation import CommandRefusedError, Conversation
from mailcore.dialogue import (
    LASTING,
    Action,
    Ask,
    Login,
    NoSpaceError,
    Peer,
    Question,
    Send,
    StartDeflate,
    StopDeflate,
    TlsFacts,
)
from mailcore.imap import responses
from mailcore.imap.changes import tell_changes
from mailcore.imap.collector import Announced, CommandCollector, Dropped
from mailcore.imap.commands import (
    acl,
    append,
    authentication,
    connection,
    context,
    copy,
    expunge,
    fetch,
    idle,
    listing,
    mailboxes,
    metadata,
    multisearch,
    notify,
    quota,
    replace,
    search,
    selection,
    sort,
    store,
    thread,
)
from mailcore.imap.grammar import Parser, SyntaxRefusedError, UnfitNameError
from mailcore.imap.notifications import tell_others, tell_unasked, wants_to_speak
from mailcore.imap.questions import (
    ANNOTATIONS,
    EVERYTHING,
    AccountChanged,
    AppendMessages,
    CloseMailbox,
    CopyMessages,
    DeleteMailbox,
    Expunge,
    MailboxChanged,
    OpenMailbox,
    Refused,
    RenameMailbox,
    SearchMessages,
    StoreFlags,
    WatchAccount,
)
from mailcore.imap.rights import is_shared, look_at_rights
from mailcore.imap.selected import NoSuchMessageError
from mailcore.imap.talk import WITH_MAILBOX, Command, Exchange, GoodbyeError, Policy, QuestionRefusedError, Talk
from mailcore.lines import LineTooLongError
from mailcore.message.envelope import BodySink
from mailcore.sasl.mechanisms import RESPONSE_LIMIT

COMMANDS: dict[bytes, Command] = {
    **connection.COMMANDS,
    **authentication.COMMANDS,
    **mailboxes.COMMANDS,
    **listing.COMMANDS,
    **acl.COMMANDS,
    **metadata.COMMANDS,
    **quota.COMMANDS,
    **selection.COMMANDS,
    **append.COMMANDS,
    **replace.COMMANDS,
    **fetch.COMMANDS,
    **search.COMMANDS,
    **sort.COMMANDS,
    **thread.COMMANDS,
    **context.COMMANDS,
    **multisearch.COMMANDS,
    **store.COMMANDS,
    **copy.COMMANDS,
    **expunge.COMMANDS,
    **idle.COMMANDS,
    **notify.COMMANDS,
}

# Octets: all lines of a command together, one literal, all literals. Before login a stranger can make us keep no more
# than this; after it a command is message numbers or a search text. The messages of APPEND are counted apart.
LINE_LIMIT = 64 * 1024
LITERAL_LIMIT = 64 * 1024
LITERALS_LIMIT = 256 * 1024
STRANGER_LITERAL_LIMIT = 4 * 1024
STRANGER_LITERALS_LIMIT = 32 * 1024
# Literals in one command, whatever their size: each is looked at when it is announced.
LITERAL_COUNT_LIMIT = 1000
STRANGER_LITERAL_COUNT_LIMIT = 10

# A refused literal that the client sends all the same is passed over up to so many octets; beyond that we hang up.
DROP_LIMIT = 1024 * 1024 * 1024

# BAD commands in a row.
ERROR_LIMIT = 20
STRANGER_ERROR_LIMIT = 5

# Seconds that a client may be silent: before login, in the middle of a command, and after login, where RFC 3501
# section 5.4 asks for at least 30 minutes.
STRANGER_PATIENCE = 60.0
UNFINISHED_PATIENCE = 300.0
PATIENCE = 30 * 60.0

# Questions that may take long, and are only asked where an untagged line may stand.
_LONG = (SearchMessages, StoreFlags, CopyMessages, AppendMessages, Expunge, RenameMailbox, DeleteMailbox)

# What a web browser, or a page in one that was talked into it, would say first.
_HTTP = re.compile(rb"(?:GET|POST|PUT|HEAD|OPTIONS|DELETE|CONNECT|TRACE|PATCH) |Host:", re.IGNORECASE)


class ImapSession(Conversation):
    r"""One connection. ``new_body`` makes the sink for a message; it may raise ``BodyRefusedError``.

    >>> session = ImapSession(Policy(), Peer("192.0.2.1", 4711), new_body)
    >>> session.greet()
    [Send(data=b'* OK [CAPABILITY IMAP4rev1 ...] IMAP ready\r\n')]
    """

    def __init__(self, policy: Policy, peer: Peer, new_body: Callable[[], BodySink]) -> None:
        super().__init__()
        self._talk = Talk(peer, policy, new_body)
        self._collector = CommandCollector(self._lines)
        self._refusal = b""  # what a dropped command is answered when its end has come
        self._errors = 0
        self._layer: StartDeflate | StopDeflate | None = (
            None  # what changes below the conversation after its last words
        )

    @property
    def login(self) -> Login | None:
        """Who is logged in: the transport may have to end the sessions of an account."""
        return Login(self._talk.account, self._talk.login) if self._talk.account else None

    @property
    def stage(self) -> tuple[int, float]:
        """A session lasts for as long as the client is not silent."""
        return LASTING

    @property
    def patience(self) -> float:
        """Seconds that the client may be silent."""
        if not self._talk.account:
            return STRANGER_PATIENCE
        if self._handler is None and not self._collector.is_empty:
            return UNFINISHED_PATIENCE
        return PATIENCE

    # What the transport calls, besides receive and drain.

    def greet(self) -> list[Action]:
        """Say who we are, and no version (RFC 3501 section 7.1.1)."""
        return [Send(b"* " + responses.ok(b"IMAP ready", connection.capabilities(self._talk)) + b"\r\n")]

    def answer(self, value: Any) -> list[Action]:
        """Take the answer to the open question; a ``Refused`` is raised in the command."""
        if not isinstance(value, Refused):
            return super().answer(value)
        handler = self._unhand()
        if self._closing or handler is None:
            return []
        self._drive(handler, None, QuestionRefusedError(value))
        return self._proceed()

    def failed(self, error: Exception) -> list[Action]:
        """Take note that the open question could not be answered: a temporary failure. The transport logs which."""
        return self.answer(Refused.LIMIT if isinstance(error, NoSpaceError) else Refused.UNAVAILABLE)

    def tls_started(self, facts: TlsFacts) -> list[Action]:
        """Begin anew inside TLS: nothing that was said before counts (RFC 3501 section 6.2.1)."""
        self._wants_tls = False
        self._lines.clear()
        peer = self._talk.peer
        self._begin_anew(Peer(peer.address, peer.port, facts))
        return self._proceed()

    def waiting(self) -> list[Action]:
        """Say that a command is still being carried out, and how far it is where that is known (RFC 9585)."""
        talk = self._talk
        if self._closing or (talk.progress is None and not isinstance(self._question, _LONG)):
            return []
        return [Send(responses.in_progress(talk.tag, talk.progress))]

    def timed_out(self) -> list[Action]:
        """Say goodbye to a silent client."""
        if self._closing:
            return []
        self._end(b"" if self._wants_tls else responses.IDLE_TOO_LONG)
        self._wants_tls = False
        return self._flush()

    def lost(self) -> list[Action]:
        """Let go of messages that were being appended, and leave the mailbox."""
        selected, opening = self._talk.selected, isinstance(self._question, OpenMailbox)
        self._end(b"")
        actions: list[Action] = []
        if selected or opening:
            actions.append(Ask(CloseMailbox(selected.key if selected else None)))
        if self._talk.listens:
            actions.append(Ask(WatchAccount(0, frozenset())))
        return actions

    def notice(self, news: object) -> list[Action]:
        """Remember what has changed; tell it at once to a client that idles, or has asked for that (RFC 5465)."""
        if self._closing or not self._takes(news) or self._question is not None:
            return []
        if self._talk.idling and (handler := self._unhand()):
            self._drive(handler, None)
        elif self._talk.notify is None or self._handler is not None:
            return []
        return self._proceed()

    def _takes(self, news: object) -> bool:
        """Take note of a notice; say whether it is of interest."""
        talk = self._talk
        if isinstance(news, MailboxChanged):
            if talk.selected is None or news.mailbox != talk.selected.key.mailbox:
                return False
            if talk.notify is not None:
                if not talk.notify.selected:
                    return False
                talk.notify.resting = False
            talk.news = True
            return True
        if isinstance(news, AccountChanged) and talk.notify is not None:
            talk.notify.hear(news.mailbox)
            return talk.notify.has_news
        if isinstance(news, AccountChanged) and talk.annotations is not None:
            talk.annotations.annotated |= news.mailbox in {ANNOTATIONS, EVERYTHING}
            return talk.annotations.annotated
        return False

    # What Conversation calls.

    def _step(self) -> bool:
        try:
            if self._handler is not None:
                line = self._lines.next_line(RESPONSE_LIMIT + 2)
                if line is not None:
                    self._give_line(line)
                return line is not None
            return self._take_command()
        except LineTooLongError:
            # What follows may be a literal that the lost end of the line announced, and must not be taken for commands.
            self._end(responses.LINE_TOO_LONG)
            return True

    def _finish(self, result: bytes) -> None:
        """Say the last words of a command, and do what it has brought about."""
        if result:
            self._out.append(result)
        talk = self._talk
        if talk.goodbye is not None:
            self._end(talk.goodbye)
        elif talk.starting_tls:
            # What came before the handshake was not protected by it and is forgotten (RFC 3501 section 6.2.1).
            talk.starting_tls = False
            self._lines.clear()
            self._collector.reset()
            self._wants_tls = True
        elif talk.logging_out:
            if talk.compressing:
                self._change_layer(StopDeflate())
            self._begin_anew(talk.peer)
        elif talk.starting_deflate:
            talk.starting_deflate = False
            self._change_layer(StartDeflate())
        elif self._errors >= (ERROR_LIMIT if talk.account else STRANGER_ERROR_LIMIT):
            self._end(responses.TOO_MANY_ERRORS)

    def _change_layer(self, layer: StartDeflate | StopDeflate) -> None:
        """Change what lies below once the last words are said. What came before was in the other form."""
        self._layer = layer
        self._lines.clear()

    def _begin_anew(self, peer: Peer) -> None:
        """Know nothing of what was said."""
        self._talk = Talk(peer, self._talk.policy, self._talk.new_body)
        self._errors = 0

    def _flush(self) -> list[Action]:
        actions = super()._flush()
        if self._layer is not None and not self._closing:
            actions.append(self._layer)
        self._layer = None
        return actions

    def _unanswered(self) -> None:
        """Never: ``failed`` makes an answer of it, and every command that was refused has words for it."""

    def _may_drain(self) -> bool:
        return True

    def _say_draining(self) -> None:
        self._out.append(responses.SERVER_SHUTDOWN)
        self._talk.abandon_messages()

    # Commands.

    def _take_command(self) -> bool:
        if not self._talk.account and not self._collector.text and _HTTP.match(self._lines.peek(16)):
            # A page that makes a browser talk to us gets no word to make sense of.
            self._end(b"")
            return True
        event = self._collector.next(LINE_LIMIT)
        if event is None:
            return self._speak_unasked()
        if isinstance(event, Announced):
            self._begin(self._admit(event))
        elif isinstance(event, Dropped):
            self._finish(self._refusal)
        elif event.text:
            self._begin(self._carry_out(event.text, event.literals))
        return True

    def _speak_unasked(self) -> bool:
        """Tell what NOTIFY asked for, if nothing of a command has come; say whether there was anything to tell."""
        if self._talk.notify is None or not self._collector.is_empty or not wants_to_speak(self._talk):
            return False
        self._begin(tell_unasked(self._talk))
        return True

    def _carry_out(self, text: bytes, literals: Sequence[Any]) -> Exchange:
        """Do one command from its tag to its tagged line."""
        arguments = self._talk.parser(text, literals)
        try:
            tag = self._talk.tag = arguments.tag()
        except SyntaxRefusedError:
            self._errors += 1
            self._talk.abandon_messages()
            return responses.NO_TAG
        try:
            completion = yield from self._complete(arguments)
        except CommandRefusedError as error:
            completion = error.reply
        except (SyntaxRefusedError, NoSuchMessageError) as error:
            completion = _refusal(error)
        except GoodbyeError as error:
            self._talk.goodbye = error.last_line
            return b""
        finally:
            self._talk.abandon_messages()
            self._talk.progress = None
        self._errors = self._errors + 1 if completion.startswith(b"BAD") else 0
        return tag + b" " + completion + b"\r\n"

    def _complete(self, arguments: Parser) -> Exchange:
        arguments.space()
        name = arguments.word()
        if name == b"UID":
            arguments.space()
            name += b" " + arguments.word()
        command = COMMANDS.get(name)
        figures.count(f"imap.commands.{name.decode().replace(' ', '_') if command else 'OTHER'}")
        if command is None:
            return responses.UNKNOWN_COMMAND
        talk = self._talk
        if talk.state not in command.states:
            return responses.NOT_NOW
        if talk.uidonly and _uses_numbers(name):
            return responses.UID_REQUIRED
        if is_shared(talk) and command.states == WITH_MAILBOX:
            yield from look_at_rights(talk)
        done = command.handler(talk, arguments)
        completion = done if isinstance(done, bytes) else (yield from done)
        if talk.goodbye is not None:
            return completion
        if talk.selected and (talk.news or command.refreshes or (command.expunges and talk.selected.has_pending)):
            yield from tell_changes(talk, expunges=command.expunges)
        if talk.notify is not None:
            talk.notify.resting = False
        yield from tell_others(talk)
        return completion

    # Literals.

    def _admit(self, event: Announced) -> Generator[Question | bytes, Any, bytes]:
        """Decide whether a literal is welcome, and where it goes."""
        try:
            message = None
            if self._talk.account and append.brings_message(event.text):
                message = yield from append.admit(self._talk, event)
            if message is None:
                self._admit_text(event)
            self._collector.take(message)
        except CommandRefusedError as error:
            return self._turn_away(event, error.reply)
        except (SyntaxRefusedError, NoSuchMessageError) as error:
            return self._turn_away(event, _refusal(error))
        return b"+ OK\r\n" if event.waits else b""

    def _admit_text(self, event: Announced) -> None:
        """Let a literal into memory, or raise."""
        limit, total, count = LITERAL_LIMIT, LITERALS_LIMIT, LITERAL_COUNT_LIMIT
        if not self._talk.account:
            limit, total, count = STRANGER_LITERAL_LIMIT, STRANGER_LITERALS_LIMIT, STRANGER_LITERAL_COUNT_LIMIT
        if event.size > limit and self._talk.account and metadata.brings_value(event.text):
            raise CommandRefusedError(responses.refused(Refused.VALUE_TOO_LONG))
        if event.size > limit or event.kept + event.size > total or len(event.literals) >= count:
            raise CommandRefusedError(responses.LITERAL_REFUSED)

    def _turn_away(self, event: Announced, completion: bytes) -> bytes:
        """Answer at once where the client waits; otherwise pass over what it sends, and answer after that."""
        self._talk.abandon_messages()
        self._errors += 1
        try:
            line = Parser(event.text).tag() + b" " + completion + b"\r\n"
        except SyntaxRefusedError:
            line = responses.NO_TAG
        if event.waits:
            self._collector.reset()
            return line
        if event.size > DROP_LIMIT or not self._talk.account:
            self._talk.goodbye = responses.LITERAL_TOO_LONG
            return b""
        self._refusal = line
        self._collector.drop()
        return b""

    def _end(self, last_line: bytes) -> None:
        if last_line:
            self._out.append(last_line)
        self._close()
        self._collector.reset()
        self._talk.abandon_messages()


def _refusal(error: SyntaxRefusedError | NoSuchMessageError) -> bytes:
    text = str(error).encode("ascii", "replace")
    return responses.no(text, b"CANNOT") if isinstance(error, UnfitNameError) else responses.bad(text)


def _uses_numbers(name: bytes) -> bool:
    """Say whether a command speaks of message numbers: those do that have a form with UIDs, but for EXPUNGE."""
    return b"UID " + name in COMMANDS and name != b"EXPUNGE"
