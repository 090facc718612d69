"""One running child: its process, its link, its output, and the sockets it was given."""

import contextlib
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import Factory, ProcessProtocol
from twisted.python.failure import Failure

from mailcore.control import Link, Message
from mailcore.supervisor.output import Lines, Output
from mailcore.supervisor.sockets import Listener

# Where a child finds its link and its first listening socket; the variable names them all.
LINK_FD = 3
FIRST_SOCKET_FD = 10


@dataclass(frozen=True, slots=True)
class Program:
    """How one kind of child is started."""

    name: str  # "mail", "web", "worker"
    command: Sequence[str]  # program and arguments
    listens: frozenset[str] = frozenset()  # names of the listeners it serves
    patient: bool = False  # nobody waits for it at a port: it lets the others start first


class Process(ProcessProtocol):
    """A child from its start to its end. It is ready when it says so over its link."""

    def __init__(
        self, program: Program, reactor: Any, output: Output, figures: Callable[[int, dict[str, Any]], None]
    ) -> None:
        self.program = program
        self.state = "starting"  # then ready, draining, gone
        self.pid = 0
        self.started = reactor.seconds()
        self.listening: list[str] = []
        self.ready: Deferred[Process] = Deferred()
        self.gone: Deferred[Process] = Deferred()
        self.ending = ""  # how it ended, for people
        self._reactor = reactor
        self._output = output
        self._figures = figures
        self._heard: float | None = None  # when figures came last
        self._lines: dict[int, Lines] = {}
        self.link = Link({"ready": self._ready, "figures": self._take_figures}, reactor)

    def start(self, listeners: Sequence[Listener], environ: Mapping[str, str]) -> None:
        """Start it, with its own sockets and no others."""
        ours, theirs = socket.socketpair()
        null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        served = [listener for listener in listeners if listener.name in self.program.listens]
        names = [f"{listener.name}={FIRST_SOCKET_FD + place}" for place, listener in enumerate(served)]
        descriptors: dict[int, int | str] = {0: null, 1: "r", 2: "r", LINK_FD: theirs.fileno()}
        descriptors |= {FIRST_SOCKET_FD + place: listener.socket.fileno() for place, listener in enumerate(served)}
        # LISTEN_PID cannot be right for a grandchild, so systemd's variables are not handed on.
        inherited = {name: value for name, value in environ.items() if not name.startswith("LISTEN_")}
        inherited |= {"A3MAILER_PROCESS": self.program.name, "A3MAILER_FDS": ",".join(names)}
        try:
            ours.setblocking(False)
            self._reactor.adoptStreamConnection(ours.fileno(), socket.AF_UNIX, _ToOne(self.link))
            transport = self._reactor.spawnProcess(
                self, self.program.command[0], self.program.command, env=inherited, childFDs=descriptors
            )
        finally:
            os.close(null)
            ours.close()
            theirs.close()
        self.pid = transport.pid
        self._lines = {fd: Lines(self._output, self.program.name, self.pid) for fd in (1, 2)}

    def terminate(self) -> None:
        """Ask it to finish its work and go."""
        if self.state != "gone":
            self.state = "draining"
            self._signal("TERM")

    def kill(self) -> None:
        """End it at once. What it has acknowledged is on disk."""
        if self.state != "gone":
            self._signal("KILL")

    def _signal(self, name: str) -> None:
        with contextlib.suppress(ProcessExitedAlready):  # processEnded follows
            self.transport.signalProcess(name)  # type: ignore[union-attr] # set by spawnProcess

    def _ready(self, listening: list[str]) -> None:
        self.listening = listening
        if self.state == "starting":
            self.state = "ready"
            self.ready.callback(self)

    def _take_figures(self, figures: Message) -> None:
        if self.state != "gone":
            self._heard = self._reactor.seconds()
            self._figures(self.pid, figures)

    def seconds_since_figures(self) -> float | None:
        """Return how long ago its figures came, which they do each second while it lives; ``None`` before the first."""
        return None if self._heard is None else round(self._reactor.seconds() - self._heard, 3)

    def childDataReceived(self, fd: int, data: bytes) -> None:  # noqa: N802
        """Pass on what it writes."""
        lines = self._lines.get(fd)
        if lines is not None:
            lines.feed(data)

    def processEnded(self, reason: Failure) -> None:  # noqa: N802
        """Say how it ended."""
        for lines in self._lines.values():
            lines.end()
        before, self.state = self.state, "gone"
        code, number = getattr(reason.value, "exitCode", None), getattr(reason.value, "signal", None)
        self.ending = f"signal {number}" if number is not None else f"exit code {code or 0}"
        if before == "starting":
            self.ready.errback(reason)
            self.ready.addErrback(lambda _: None)  # for the case that nobody waits for it
        self.gone.callback(self)


class _ToOne(Factory):
    """Gives the one connection of a socket pair its protocol."""

    noisy = False

    def __init__(self, link: Link) -> None:
        self._link = link

    def buildProtocol(self, address: object) -> Link:  # noqa: ARG002, N802
        """Return the link."""
        return self._link
