"""Messages over a local socket, on Twisted's side: between supervisor and children, and from the control socket.

Both ends speak the form of ``a3mailer_site/control.py``. A request carries an ``id``; the answer carries it back.
Used by the supervisor, so it knows neither Django nor the mail core.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, cast

import structlog
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure

from a3mailer_site.control import ControlError, Unframer, frame

log = structlog.get_logger("mailcore.control")

Message: TypeAlias = dict[str, Any]
# What a command may return: facts for the answer, now or later; ``None`` for none.
Command: TypeAlias = Callable[..., Message | Deferred[Message | None] | None]


class Link(Protocol):
    """One end of a connection: answers requests from ``commands``, and asks the other side."""

    def __init__(self, commands: Mapping[str, Command], clock: IReactorTime | None = None) -> None:
        self._commands = commands
        self._clock = clock
        self._unframer = Unframer()
        self._open: dict[int, Deferred[Message]] = {}
        self._last = 0
        self._up = False
        self.gone: Deferred[None] = Deferred()

    def connectionMade(self) -> None:  # noqa: N802
        """Both directions are open."""
        self._up = True

    def tell(self, command: str, **arguments: Any) -> None:
        """Send what needs no answer."""
        self._send({"do": command, **arguments})

    def ask(self, command: str, *, timeout: float = 10.0, **arguments: Any) -> Deferred[Message]:
        """Send a request; fires with the answer, or fails with ``ControlError`` (refused, gone, no answer in time)."""
        self._last += 1
        number = self._last
        answer: Deferred[Message] = Deferred()
        self._open[number] = answer
        if not self._up:
            del self._open[number]
            answer.errback(ControlError("the process is gone"))
            return answer
        self._send({"do": command, "id": number, **arguments})
        if self._clock is not None:
            answer.addTimeout(timeout, self._clock, onTimeoutCancel=lambda _, seconds: _too_late(command, seconds))
            answer.addErrback(self._forget, number)
        return answer

    def dataReceived(self, data: bytes) -> None:  # noqa: N802
        """Take messages apart from answers."""
        try:
            for message in self._unframer.feed(data):
                if "do" in message:
                    self._obey(message)
                else:
                    self._answered(message)
        except ValueError as error:
            log.warning("not a control message; the connection is closed", reason=str(error))
            cast("Any", self.transport).abortConnection()

    def connectionLost(self, reason: Failure = ConnectionDone()) -> None:  # type: ignore[assignment] # noqa: ARG002, B008, N802
        """Tell those who wait for an answer."""
        self._up = False
        waiting, self._open = self._open, {}
        for answer in waiting.values():
            answer.errback(ControlError("the process went away before it answered"))
        self.gone.callback(None)

    def _forget(self, failure: Failure, number: int) -> Failure:
        self._open.pop(number, None)
        return failure

    def _answered(self, message: Message) -> None:
        answer = self._open.pop(message.pop("id", 0), None)
        if answer is None:
            return
        if message.pop("ok", False):
            answer.callback(message)
        else:
            answer.errback(ControlError(str(message.get("error", "no reason given"))))

    def _obey(self, message: Message) -> None:
        name = str(message.pop("do"))
        number = message.pop("id", None)
        command = self._commands.get(name)
        if command is None:
            self._reply(number, {"ok": False, "error": f"there is no command {name!r}"})
            return
        done: Deferred[Message | None] = maybeDeferred(cast("Callable[..., Message | None]", command), **message)
        done.addCallbacks(
            lambda facts: self._reply(number, {"ok": True, **(facts or {})}),
            lambda failure: self._reply(number, {"ok": False, "error": _reason(name, failure)}),
        )

    def _reply(self, number: int | None, message: Message) -> None:
        if number is not None:  # what was only told wants no answer
            self._send({"id": number, **message})

    def _send(self, message: Message) -> None:
        if self._up and self.transport is not None:
            self.transport.write(frame(message))


def _too_late(command: str, seconds: float) -> Failure:
    return Failure(ControlError(f"no answer to {command} within {seconds:g} s"))  # type: ignore[no-untyped-call]


def _reason(name: str, failure: Failure) -> str:
    """Say why a command failed. What we did not expect goes to the log with its traceback."""
    if not isinstance(failure.value, ControlError):
        log.error("a command failed", command=name, exc_info=failure.value)
    return str(failure.value) or type(failure.value).__name__
