"""An APPEND or REPLACE that is coming in: its messages, which go to sinks, and how far the command has been read."""

from dataclasses import dataclass, field
from enum import Enum, auto

from mailcore.conversation import CommandRefusedError
from mailcore.imap import responses
from mailcore.imap.questions import AppendedMessage
from mailcore.message.envelope import BodyRefusedError, BodySink


class Upload:
    """A message that is coming in, in one literal or in several. What is wrong with it is kept until all is here."""

    __slots__ = ("binary", "body", "refusal")

    def __init__(self, body: BodySink) -> None:
        self.body = body
        self.refusal = b""
        self.binary = False  # what comes now is a literal8

    def write(self, data: bytes) -> None:
        """Take the next octets."""
        if self.refusal:
            return
        if not self.binary and b"\0" in data:
            # RFC 3501 section 9: CHAR8 is any octet except NUL.
            self._refuse(responses.NUL_IN_LITERAL)
            return
        try:
            self.body.write(data)
        except BodyRefusedError:
            self._refuse(responses.TEMPORARY_FAILURE)

    def copy(self, data: bytes) -> None:
        """Take octets that do not come from the client; raises ``CommandRefusedError``."""
        self.write(data)
        if self.refusal:
            raise CommandRefusedError(self.refusal)

    def _refuse(self, completion: bytes) -> None:
        self.refusal = completion
        self.body.abandon()


class Expected(Enum):
    """What comes next in the command."""

    MESSAGE = auto()  # another one, or the end
    BRACKET = auto()  # the end of UTF8 (…)
    PART = auto()  # of a CATENATE
    AFTER_PART = auto()


@dataclass(slots=True)
class Appending:
    """What has been read of the command. Only what follows ``place`` is looked at at the next literal."""

    name: str
    given: str  # the name as the client wrote it
    replaced: int | None = None  # REPLACE: the UID of the message that goes
    messages: list[AppendedMessage] = field(default_factory=list)
    uploads: list[Upload] = field(default_factory=list)
    place: tuple[int, int] = (0, 0)
    expected: Expected = Expected.MESSAGE
    octets: int = 0  # of all messages, as far as they have been announced
    size: int = 0  # of the last one

    def abandon(self) -> None:
        """Forget the messages."""
        for message in self.messages:
            message.body.abandon()
