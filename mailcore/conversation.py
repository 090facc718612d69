"""What SMTP and POP3 sessions have in common: input is buffered, one question is open at a time, output is gathered.

It knows no command. A session says in ``_step`` how it takes something off the buffer, and in ``_finish`` what
becomes of a handler's result.
"""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, TypeAlias

from mailcore.dialogue import LASTING, Action, Ask, Close, Question, Send, StartTls
from mailcore.lines import LineBuffer


@dataclass(frozen=True, slots=True)
class NextLine(Question):
    """Asked of the client itself, by sending ``challenge``: the answer is its next line (SASL)."""

    challenge: bytes


class CommandRefusedError(Exception):
    """A command is answered with ``reply`` (what ``_finish`` takes), and that is all that happens."""

    def __init__(self, reply: Any) -> None:
        super().__init__(str(reply))
        self.reply = reply


class UnansweredError(Exception):
    """Raised inside a handler, at its question, when the answer could not be found."""


# A handler that has to ask: yields questions and pieces of output; ``_finish`` knows what it returns.
Handler: TypeAlias = Generator[Question | bytes, Any, Any]


class Conversation:
    """Bytes in, actions out. An ``Ask`` is always the last action of a list."""

    # Questions that are answered so fast that replies given before may wait and leave in one packet.
    _QUICK: tuple[type[Question], ...] = ()

    def __init__(self) -> None:
        self._lines = LineBuffer()
        self._out: list[bytes] = []
        self._handler: Handler | None = None  # waits for an answer, or for a line
        self._question: Question | None = None
        self._wants_tls = False
        self._closing = False
        self._draining = False

    # What a protocol adds.

    def _step(self) -> bool:
        """Take one thing off the buffer and handle it; ``False`` when there is not enough."""
        raise NotImplementedError

    def _finish(self, result: Any) -> None:
        """Say what a handler returned."""
        raise NotImplementedError

    def _unanswered(self) -> None:
        """Say that a question could not be answered, where the handler does not say it itself."""
        raise NotImplementedError

    def _may_drain(self) -> bool:
        """Say whether nothing is in flight that would be lost by closing now."""
        raise NotImplementedError

    def _say_draining(self) -> None:
        """Say why the connection is closed, to a client that did nothing wrong."""
        raise NotImplementedError

    # What the transport calls.

    @property
    def stage(self) -> tuple[int, float]:
        """Most conversations may last for as long as the peer is not silent."""
        return LASTING

    def receive(self, data: bytes) -> list[Action]:
        """Take bytes as they came off the wire."""
        if self._closing or self._wants_tls:
            return []  # before the handshake is over nothing is believed (RFC 3207 section 6)
        self._lines.feed(data)
        if self._question is not None:
            return []
        return self._proceed()

    def answer(self, value: Any) -> list[Action]:
        """Take the answer to the open question."""
        handler = self._unhand()
        if self._closing or handler is None:
            return []
        self._drive(handler, value)
        return self._proceed()

    def failed(self, error: Exception) -> list[Action]:  # noqa: ARG002 - the transport logs it, the peer never sees it
        """Take note that the open question could not be answered."""
        handler = self._unhand()
        if self._closing or handler is None:
            return []
        self._drive(handler, None, UnansweredError())
        return self._proceed()

    def drain(self) -> list[Action]:
        """Close as soon as nothing is in flight."""
        self._draining = True
        if self._closing or self._wants_tls or self._question is not None:
            return []
        return self._proceed()

    def waiting(self) -> list[Action]:
        """Most protocols have no word for it."""
        return []

    def notice(self, news: object) -> list[Action]:  # noqa: ARG002
        """Nothing that happens outside is of interest."""
        return []

    # How it works.

    def _begin(self, handler: Handler) -> None:
        """Run a handler to its first question, or to its end."""
        self._drive(handler, None)

    def _proceed(self) -> list[Action]:
        """Handle what is in the buffer until it is used up or a question is open."""
        while self._question is None and not self._closing and not self._wants_tls:
            if self._draining and self._may_drain():
                self._say_draining()
                self._close()
            elif not self._step():
                break
        return self._flush()

    def _drive(self, handler: Handler, value: Any, error: Exception | None = None) -> None:
        try:
            item = handler.throw(error) if error else handler.send(value)
            while isinstance(item, bytes):
                self._out.append(item)
                item = next(handler)
        except StopIteration as stop:
            self._finish(stop.value)
        except CommandRefusedError as refused:
            self._finish(refused.reply)
        except UnansweredError:
            self._unanswered()
        else:
            if self._closing:
                handler.close()
                return
            self._handler = handler
            if isinstance(item, NextLine):
                self._out.append(item.challenge)
            else:
                self._question = item

    def _give_line(self, line: bytes) -> None:
        """Give the line that a handler asked for with ``NextLine``."""
        if handler := self._unhand():
            self._drive(handler, line)

    def _unhand(self) -> Handler | None:
        handler, self._handler, self._question = self._handler, None, None
        return handler

    def _close(self) -> None:
        """End the connection once the output is flushed. What is in the buffer is not looked at any more."""
        self._closing = True
        self._lines.clear()
        if handler := self._unhand():
            handler.close()

    def _flush(self) -> list[Action]:
        question = self._question
        actions: list[Action] = []
        if self._out and not isinstance(question, self._QUICK):
            actions.append(Send(self._out[0] if len(self._out) == 1 else b"".join(self._out)))
            self._out = []
        if question is not None:
            actions.append(Ask(question))
        elif self._closing:
            actions.append(Close())
        elif self._wants_tls:
            actions.append(StartTls())
        return actions
