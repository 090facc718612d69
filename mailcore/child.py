"""What every child of the supervisor has: its sockets, its link, its figures, and an orderly end.

    child = Child(reactor, "mail")
    child.listen("smtp", factory)
    child.on_drain(finish_sessions)
    child.run()

A child whose supervisor is gone closes its sockets at once, so that a new supervisor can have them, and ends.
"""

import os
import signal
import socket
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import structlog
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.internet.protocol import Factory
from twisted.internet.task import LoopingCall

from a3mailer_site.control import ControlError
from a3mailer_site.env import Env, SettingError, load, reload
from a3mailer_site.figures import figures
from mailcore import tls
from mailcore.control import Command, Link, Message

log = structlog.get_logger("mailcore.child")

LINK_FD = 3
# Seconds for the work in flight at an ordinary end (the supervisor allows a little more), and without a supervisor.
DRAIN_PATIENCE = 25.0
ORPHAN_PATIENCE = 5.0
FIGURES_EVERY = 1.0


class Child:
    """This process, as one of the supervisor's."""

    def __init__(self, reactor: Any, name: str) -> None:
        self.reactor = reactor
        self.name = name
        self._sockets = _inherited(os.environ.get("A3MAILER_FDS", ""))
        self._ports: list[IListeningPort] = []
        self._listening: list[str] = []
        self._on_drain: list[Callable[[], Deferred[Any] | None]] = []
        self._on_start: list[Callable[[], Deferred[Any] | None]] = []
        self._draining = self._stopped = False
        self._on_reload: list[Callable[[Env], object]] = []
        self._commands: dict[str, Command] = {"check": check, "reload": self._reload}
        self._link = Link(self._commands)

    def listen(self, name: str, factory: IProtocolFactory) -> None:
        """Serve the listeners of this name, if there are any."""
        for each in self._sockets.pop(name, []):
            self._ports.append(self.reactor.adoptStreamPort(each.fileno(), each.family, factory))
            each.close()  # the port has a copy
            self._listening.append(name)

    def command(self, name: str, function: Command) -> None:
        """Answer this command of the supervisor's."""
        self._commands[name] = function

    def serve_tls(self, certificates: tls.Certificates) -> None:
        """Check these certificates before a reload, and put the new ones in force with it."""
        self.command("check", partial(check, certificates))
        self.on_reload(certificates.replace)

    def on_start(self, function: Callable[[], Deferred[Any] | None]) -> None:
        """Call this in the running reactor before the child says that it is ready."""
        self._on_start.append(function)

    def on_drain(self, function: Callable[[], Deferred[Any] | None]) -> None:
        """Call this when the child is to end; it may return a Deferred that fires when its work is done."""
        self._on_drain.append(function)

    def on_reload(self, function: Callable[[Env], object]) -> None:
        """Call this with the new settings when they have been put in force."""
        self._on_reload.append(function)

    def run(self) -> None:
        """Serve until the end."""
        figures.gauge("process.rss_bytes", resident_bytes)
        figures.gauge("process.descriptors", lambda: len(os.listdir("/proc/self/fd")))  # noqa: PTH208
        figures.gauge("process.cpu_seconds", time.process_time)
        self.reactor.callWhenRunning(self._begin)
        self.reactor.run(installSignalHandlers=False)
        log.info("process ends")

    def _begin(self) -> None:
        # The supervisor alone decides: a Ctrl-C at the terminal reaches all of us, and only it acts on it.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda *_: self.reactor.callFromThread(self.drain, DRAIN_PATIENCE))
        self._connect()
        starting = DeferredList([maybeDeferred(function) for function in self._on_start], fireOnOneErrback=True)
        starting.addCallbacks(self._is_ready, self._cannot_start)

    def _connect(self) -> None:
        try:
            link = socket.socket(fileno=LINK_FD)
        except OSError:
            log.critical("this is started by the supervisor, not by hand: see manage.py runmailserver")
            self.reactor.stop()
            return
        link.setblocking(False)
        self.reactor.adoptStreamConnection(link.fileno(), socket.AF_UNIX, _ToOne(self._link))
        link.close()
        self._link.gone.addCallback(lambda _: self._orphaned())

    def _is_ready(self, _: Any) -> None:
        for name, sockets in self._sockets.items():
            log.warning("a listener has nobody to serve it", listener=name)
            for each in sockets:
                each.close()
        self._link.tell("ready", listening=sorted(set(self._listening)))
        LoopingCall(self._send_figures).start(FIGURES_EVERY)

    def _cannot_start(self, failure: Any) -> None:
        reason = getattr(failure.value, "subFailure", failure)
        log.critical("cannot start", exc_info=reason.value)
        self.reactor.stop()

    def _send_figures(self) -> None:
        self._link.tell("figures", figures=figures.snapshot())

    def drain(self, patience: float) -> None:
        """Stop accepting, finish what is in flight (for at most ``patience`` seconds), and end."""
        if self._draining:
            return
        self._draining = True
        for port in self._ports:
            port.stopListening()
        work = DeferredList([maybeDeferred(function) for function in self._on_drain], consumeErrors=True)
        work.addTimeout(patience, self.reactor)
        work.addBoth(self._stop)

    def _stop(self, result: Any) -> None:
        for fine, failure in result if isinstance(result, list) else []:
            if not fine:
                log.error("a part of the process did not end in order", exc_info=failure.value)
        self._send_figures()
        # The link closes when the last figures are written. One that is stuck is not waited for.
        self._link.gone.addCallback(lambda _: self._stop_reactor())
        self.reactor.callLater(1.0, self._stop_reactor)
        if self._link.transport is not None:
            self._link.transport.loseConnection()

    def _stop_reactor(self) -> None:
        if not self._stopped:
            self._stopped = True
            self.reactor.stop()

    def _orphaned(self) -> None:
        if not self._draining:
            log.critical("the supervisor is gone, so this process ends")
        self.drain(ORPHAN_PATIENCE)

    def _reload(self) -> Message:
        env = reload()
        for function in self._on_reload:
            function(env)
        return {}


class _ToOne(Factory):
    """Gives the one connection of a socket pair its protocol."""

    noisy = False

    def __init__(self, link: Link) -> None:
        self._link = link

    def buildProtocol(self, address: object) -> Link:  # noqa: ARG002, N802
        """Return the link."""
        return self._link


def _inherited(text: str) -> dict[str, list[socket.socket]]:
    """Read ``smtp=10,imap=11``; a name may come more than once."""
    sockets: dict[str, list[socket.socket]] = {}
    for item in filter(None, text.split(",")):
        name, _, number = item.partition("=")
        each = socket.socket(fileno=int(number))
        each.setblocking(False)
        os.set_inheritable(each.fileno(), False)
        sockets.setdefault(name, []).append(each)
    return sockets


def check(certificates: tls.Certificates | None = None) -> Message:
    """Say whether settings and certificates, as they are now, could be put in force, and which certificate that is."""
    try:
        env = load()
        tls.context(env)
        found = tls.describe(env)
    except SettingError as error:
        raise ControlError(str(error)) from error
    return {"certificate": {"before": certificates.described, "after": found}} if certificates else {}


def resident_bytes() -> int:
    """Return the memory that this process really uses, in bytes."""
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - once a second
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
