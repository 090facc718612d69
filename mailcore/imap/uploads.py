"""An APPEND that is coming in: its messages, which go to sinks, and how far the command has been read."""

from dataclasses import dataclass, field

from mailcore.imap import responses
from mailcore.imap.questions import AppendedMessage
from mailcore.message.envelope import BodyRefusedError, BodySink


class Upload:
    """A message that is coming in. What is wrong with it is kept until the client has sent it all."""

    __slots__ = ("body", "refusal")

    def __init__(self, body: BodySink) -> None:
        self.body = body
        self.refusal = b""

    def write(self, data: bytes) -> None:
        """Take the next octets."""
        if self.refusal:
            return
        if b"\0" in data:
            # RFC 3501 section 9: CHAR8 is any octet except NUL.
            self._refuse(responses.NUL_IN_LITERAL)
            return
        try:
            self.body.write(data)
        except BodyRefusedError:
            self._refuse(responses.TEMPORARY_FAILURE)

    def _refuse(self, completion: bytes) -> None:
        self.refusal = completion
        self.body.abandon()


@dataclass(slots=True)
class Appending:
    """What has been read of an APPEND. Only what follows ``read`` is looked at when the next message is announced."""

    name: str
    messages: list[AppendedMessage] = field(default_factory=list)
    uploads: list[Upload] = field(default_factory=list)
    read: int = 0
    closing: bytes = b""  # what must come after the octets of the last message
    octets: int = 0  # announced

    def abandon(self) -> None:
        """Forget the messages."""
        for message in self.messages:
            message.body.abandon()
