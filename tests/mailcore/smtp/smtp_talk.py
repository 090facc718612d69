"""A transport for tests: feeds bytes to an SMTP session, answers its questions at once, writes down what happened."""

from collections.abc import Callable
from dataclasses import dataclass, field

from mailcore.dialogue import Action, Ask, Close, Login, Peer, Question, Send, StartTls, TlsFacts
from mailcore.message.envelope import BodyRefusedError, Envelope, Reply
from mailcore.sasl.questions import LoginRefusal, VerifyPassword
from mailcore.smtp.questions import (
    AcceptForEach,
    AcceptMessage,
    BeginSession,
    CheckRecipients,
    CheckSender,
    CountError,
)
from mailcore.smtp.session import Policy, SmtpSession

TLS = TlsFacts("TLSv1.3", "TLS_AES_256_GCM_SHA384")
MX = Policy(hostname="mx.example.com", tls_available=True)
STRANGER = Policy(hostname="mx.example.com", tls_available=True, stranger=True)
SUBMISSION = Policy(hostname="mx.example.com", submission=True, tls_available=True)
QUEUED = Reply(250, "2.0.0", "Ok: queued")
NO_MAILBOX = Reply(550, "5.1.1", "No such mailbox")
NO_SPACE = Reply(452, "4.3.1", "No space")


@dataclass
class MemoryBody:
    """A body in memory; ``room`` octets fit."""

    room: int = 10**9
    pieces: list[bytes] = field(default_factory=list)
    abandoned: bool = False

    @property
    def size(self) -> int:
        return sum(map(len, self.pieces))

    def write(self, data: bytes) -> None:
        assert not self.abandoned
        if self.size + len(data) > self.room:
            raise BodyRefusedError(NO_SPACE)
        self.pieces.append(data)

    def abandon(self) -> None:
        self.abandoned = True


def answer_kindly(question: Question) -> object:
    """Everybody is welcome, except recipients whose address begins with "no", and every password but "secret"."""
    match question:
        case BeginSession() | CheckSender() | CountError():
            return None
        case CheckRecipients(recipients=recipients):
            return tuple(NO_MAILBOX if one.address.startswith("no") else None for one in recipients)
        case VerifyPassword(login=login, password=password):
            return Login(7, login) if password == "secret" else LoginRefusal.WRONG
        case AcceptForEach(envelope=envelope):
            return [QUEUED] * len(envelope.recipients)
        case AcceptMessage():
            return QUEUED
    raise AssertionError(question)


class Talk:
    """One connection."""

    def __init__(
        self,
        policy: Policy = MX,
        peer: Peer | None = None,
        answers: Callable[[Question], object] = answer_kindly,
        room: int = 10**9,
        handshake: bool = True,  # False: a handshake that is asked for never ends
    ) -> None:
        self.said = b""
        self.sends: list[bytes] = []
        self.asked: list[Question] = []
        self.messages: list[tuple[Envelope, bytes]] = []
        self.bodies: list[MemoryBody] = []
        self.closed = False
        self._answers = answers
        self._room = room
        self._handshake = handshake
        self.session = SmtpSession(policy, peer or Peer("192.0.2.1", 4000), self._new_body)
        self._do(self.session.greet())

    def _new_body(self) -> MemoryBody:
        self.bodies.append(MemoryBody(self._room))
        return self.bodies[-1]

    def feed(self, *pieces: bytes) -> "Talk":
        for piece in pieces:
            self._do(self.session.receive(piece))
        return self

    def do(self, actions: list[Action]) -> "Talk":
        self._do(actions)
        return self

    def _do(self, actions: list[Action]) -> None:
        while actions:
            *others, last = actions
            assert not any(isinstance(action, Ask | Close | StartTls) for action in others)
            assert not self.closed, "nothing comes after Close"
            for action in actions:
                if isinstance(action, Send):
                    self.said += action.data
                    self.sends.append(action.data)
            actions = []
            match last:
                case Ask(question=question):
                    actions = self._ask(question)
                case StartTls():
                    self.said += b"<TLS>"
                    actions = self.session.tls_started(TLS) if self._handshake else []
                case Close():
                    self.said += b"<CLOSE>"
                    self.closed = True

    def _ask(self, question: Question) -> list[Action]:
        self.asked.append(question)
        if isinstance(question, AcceptMessage):
            self.messages.append((question.envelope, b"".join(question.body.pieces)))
        answer = self._answers(question)
        return self.session.failed(answer) if isinstance(answer, Exception) else self.session.answer(answer)

    @property
    def replies(self) -> list[bytes]:
        """Everything said after the banner, a line each; of EHLO's answer the first line only."""
        return [line for line in self.said.split(b"\r\n")[1:] if line and not line.startswith(b"250-")]

    @property
    def last(self) -> bytes:
        return self.said.removesuffix(b"<CLOSE>").split(b"\r\n")[-2]


def talk(*pieces: bytes, **options) -> Talk:
    return Talk(**options).feed(*pieces)
