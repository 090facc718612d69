"""What an SMTP session asks of what surrounds it. ``mailcore/smtp/backend.py`` answers.

Besides these it asks ``VerifyPassword`` (``mailcore/sasl/questions.py``).
"""

from dataclasses import dataclass

from mailcore.dialogue import Question
from mailcore.message.envelope import BodySink, Client, Envelope, Recipient


@dataclass(frozen=True, slots=True)
class BeginSession(Question):
    """May this client speak to us? The answer is ``None`` for yes, or the ``Reply`` to send before closing.

    It comes ``delay`` seconds later: programs that send junk do not wait for it.
    """

    client: Client
    delay: float = 0.0


@dataclass(frozen=True, slots=True)
class EndSession(Question):
    """This client, a stranger, has gone. Nobody hears the answer."""

    client: Client


@dataclass(frozen=True, slots=True)
class CountError(Question):
    """A stranger's mistake is about to be answered; it is the ``number``-th in this session.

    The answer is ``None``, or a ``Reply`` to give instead before closing.
    """

    client: Client
    number: int


@dataclass(frozen=True, slots=True)
class CheckSender(Question):
    """May this client send from this address? The answer is ``None`` for yes, or the ``Reply`` that refuses.

    The envelope has no recipients yet; its ``size`` is what the client declared, 0 if nothing.
    """

    envelope: Envelope


@dataclass(frozen=True, slots=True)
class CheckRecipients(Question):
    """May this client send to these addresses? The answer has one item for each, in order.

    ``None`` for yes, or the ``Reply`` that refuses. Recipients that were pipelined come in one question; the envelope
    has those accepted before. Whether to relay is decided here: grammar lets ``user%other@here``, ``other!user@here``
    and literals through.
    """

    envelope: Envelope
    recipients: tuple[Recipient, ...]


@dataclass(frozen=True, slots=True)
class AcceptMessage(Question):
    """Take this message. The answer is the ``Reply`` to the client; 250 only once it is durable.

    From here on the body belongs to who answers, who abandons or consumes it, whatever happens.
    """

    envelope: Envelope
    body: BodySink

    def dropped(self) -> None:
        """Let go of the body, which was nobody else's any more."""
        self.body.abandon()


@dataclass(frozen=True, slots=True)
class AcceptForEach(AcceptMessage):
    """The same over LMTP. The answer has a ``Reply`` for each recipient, in order (RFC 2033 section 4.2)."""
