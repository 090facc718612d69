"""The supervisor itself: its roles, its state, and the commands of the control socket."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import structlog
from twisted.internet.defer import Deferred, DeferredList, inlineCallbacks
from twisted.internet.protocol import Factory
from twisted.internet.task import LoopingCall

from a3mailer_site.control import SOCKET_NAME, ControlError, short_path
from a3mailer_site.env import Env, SettingError, current, load, reload
from mailcore.control import Link, Message
from mailcore.supervisor import reloading
from mailcore.supervisor.output import Output
from mailcore.supervisor.process import Process, Program
from mailcore.supervisor.role import Role
from mailcore.supervisor.sockets import Listener, ListenError, Wanted, open_listeners
from mailcore.supervisor.totals import Totals
from mailcore.supervisor.windows import EVERY, Windows

log = structlog.get_logger("mailcore.supervisor")

# Seconds that patient processes wait for the others at the start.
PATIENCE = 5.0


def wanted_listeners(env: Env, programs: Sequence[Program]) -> list[Wanted]:
    """Say what the settings want to be listened on, for those programs that are there to serve it."""
    names = sorted({name for program in programs for name in program.listens})
    return [Wanted(name, host, port) for name in names for host, port in env.listen(name)]


class Supervisor:
    """Keeps every role filled from start to end."""

    def __init__(self, reactor: Any, programs: Sequence[Program], listeners: list[Listener], output: Output) -> None:
        self._reactor = reactor
        self._programs = programs
        self._listeners = listeners
        self._output = output
        self._totals = Totals()
        self._started = reactor.seconds()
        self._windows = Windows(self._started)
        self._draining = False
        self._restarting = False
        self._begun_with = self._restarted_with = current()
        self._roles = [self._role(program, name) for program, name in _named(programs, current().mail_processes)]
        self._was_ready: Deferred[Any] = DeferredList([role.first_ready for role in self._roles])
        self._everybody_came = False
        self._was_ready.addCallback(self._everybody_is_here)
        self._commands: dict[str, Callable[..., Any]] = {
            "status": self.status,
            "figures": self.figures,
            "reload": self.reload,
            "restart": self.restart,
            "drain": self.drain,
            "cut": self.cut,
            "wake": self.wake,
            "connections": self.connections,
        }

    def _role(self, program: Program, name: str) -> Role:
        def spawn() -> Process:
            process = Process(program, self._reactor, self._output, self._totals.update)
            process.start(self._listeners, os.environ)
            return process

        return Role(name, self._reactor, spawn, self._totals.retire)

    def start(self) -> None:
        """Fill all roles, and see to it that the end is orderly."""
        remembering = LoopingCall(lambda: self._windows.remember(self._reactor.seconds(), self._totals.sum()))
        remembering.clock = self._reactor
        remembering.start(EVERY, now=False)
        for listener in self._listeners:
            log.info(f"{listener.name} listening on {listener.address}")  # noqa: G004 - a line for people
        # Twisted's own handler of SIGTERM and SIGINT stops the reactor, which waits for this.
        self._reactor.addSystemEventTrigger("before", "shutdown", self._stop)
        patient = {program.name for program in self._programs if program.patient}
        first = [role for role in self._roles if role.name not in patient]
        later = [role for role in self._roles if role.name in patient]
        self._start(first)
        # Two processes on two cores answer sooner than three.
        their_turn = self._reactor.callLater(PATIENCE, self._start, later)
        ready = DeferredList([role.first_ready for role in first])
        ready.addCallback(lambda _: their_turn.reset(0) if their_turn.active() else None)

    @staticmethod
    def _start(roles: Sequence[Role]) -> None:
        for role in roles:
            role.start()

    def open_control_socket(self, data_dir: Path) -> None:
        """Answer on the control socket. One that a killed supervisor left behind is replaced."""
        (data_dir / SOCKET_NAME).unlink(missing_ok=True)
        # Open for as long as we live: Twisted removes the socket at the end by this name.
        directory = os.open(data_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        mask = os.umask(0o177)
        try:
            self._reactor.listenUNIX(short_path(directory), _ControlFactory(self._commands), mode=0o600)
        finally:
            os.umask(mask)

    @property
    def state(self) -> str:
        """``starting``, ``running``, ``degraded`` (a role is not filled) or ``draining``."""
        if self._draining:
            return "draining"
        if all(role.state == "ready" for role in self._roles):
            return "running"
        return "degraded" if self._everybody_came or any(role.restarts for role in self._roles) else "starting"

    # The commands.

    def status(self) -> Message:
        """Say how the server is: state, processes, and what is really listened on. Uptime in seconds."""
        return {
            "state": self.state,
            "restarting": self._restarting,
            "pid": os.getpid(),
            "uptime": round(self._reactor.seconds() - self._started, 3),
            "processes": [self._describe(role) for role in self._roles],
            "listeners": [
                {"name": listener.name, "address": listener.address, "served": self._is_served(listener)}
                for listener in self._listeners
            ],
        }

    def figures(self) -> Message:
        """Give the counters, timings and gauges of all processes, summed; gauges of each process, too.

        ``windows`` has what was counted in the last 60 and 300 seconds, with the real length of each in ``seconds``.
        """
        now, total = self._reactor.seconds(), self._totals.sum()
        return {
            **total,
            "uptime": round(now - self._started, 3),
            "windows": self._windows.differences(now, total),
            "processes": [
                {
                    "name": role.name,
                    "pid": role.current.pid,
                    "restarts": role.restarts,
                    "gauges": self._totals.gauges(role.current.pid),
                }
                for role in self._roles
                if role.current is not None
            ],
        }

    @inlineCallbacks
    def reload(self, dry_run: bool = False) -> Any:
        """Put settings and certificates in force as they are now; everything is checked first.

        Fails with ``ControlError``, and changes nothing, when anything is invalid. ``changes`` in the answer is what is
        different, ``warnings`` says what needs a restart, and ``notes`` the same for programs.
        """
        candidate = _loaded()
        notes = self._not_applied(candidate)
        answers = yield self._ask_all("check")
        changes = reloading.changes(current(), candidate) + reloading.certificate_changes(answers)
        notes += reloading.certificate_notes(answers)
        answer = {"changes": changes, "warnings": [reloading.in_words(note) for note in notes], "notes": notes}
        if dry_run:
            return answer
        reload()
        yield self._ask_all("reload")
        names = [change["name"] for change in changes]
        log.info("settings and certificates are reloaded", changed=names, warnings=answer["warnings"])
        return answer

    @inlineCallbacks
    def restart(self, process: str = "", background: bool = False) -> Any:
        """Replace all processes (or the one named) without refusing a connection; listeners become as they are set.

        In the ``background`` the answer is ``accepted`` at once, or else ``why`` not: "restarting" (already),
        "draining", or "invalid" settings, with the reason. Otherwise it comes when all are replaced, and what is wrong
        is a ``ControlError``.
        """
        roles = [role for role in self._roles if not process or role.name == process]
        if not roles:
            raise ControlError(f"there is no process {process!r}")
        why, reason = self._why_not_restart()
        closed: list[Listener] = []
        if not why:
            try:
                closed = self._change_listeners(_loaded())
            except ControlError as error:
                why, reason = "invalid", str(error)
        if why and background:
            return {"accepted": False, "why": why, "reason": reason}
        if why:
            raise ControlError(reason)
        replacing: Deferred[Any] = self._replace(roles, closed)
        if background:
            replacing.addErrback(lambda failure: log.error("the restart failed", reason=str(failure.value)))
            return {"accepted": True}
        yield replacing
        return {"replaced": [role.name for role in roles]}

    def _why_not_restart(self) -> tuple[str, str]:
        if self._draining:
            return "draining", "the server is going down"
        return ("restarting", "the server is being restarted already") if self._restarting else ("", "")

    @inlineCallbacks
    def _replace(self, roles: Sequence[Role], closed: Sequence[Listener]) -> Any:
        self._restarting = True
        self._restarted_with = reload()
        log.info("processes are being replaced", processes=[role.name for role in roles])
        try:
            for role in roles:
                yield role.replace()
        finally:
            self._restarting = False
        for listener in closed:
            listener.socket.close()

    def drain(self) -> Message:
        """Finish what is being done and go down."""
        self._reactor.callLater(0, self._stop_reactor)
        return {"state": "draining"}

    @inlineCallbacks
    def cut(self, account_id: int | None = None, address: str | None = None) -> Any:
        """End the connections of an account or from an address; return how many there were."""
        answers = yield self._ask_all("cut", only="mail", account_id=account_id, address=address)
        return {"connections": sum(answer.get("connections", 0) for answer in answers)}

    @inlineCallbacks
    def connections(self, limit: int = 1000) -> Any:
        """List the open connections to the mail ports."""
        answers = yield self._ask_all("connections", only="mail", limit=limit)
        return {
            "total": sum(answer["total"] for answer in answers),
            "connections": [one for answer in answers for one in answer["connections"]][:limit],
        }

    def wake(self) -> None:
        """Tell the worker that the queue has something due. A doorbell: losing it costs a moment, never a message."""
        for role in self._roles:
            if role.name == "worker" and role.current is not None:
                role.current.link.tell("wake")

    def hang_up(self) -> None:
        """Reload because of SIGHUP."""
        done: Deferred[Any] = self.reload()
        done.addErrback(lambda failure: log.error("reload refused, nothing is changed", reason=str(failure.value)))

    # The work.

    def _everybody_is_here(self, _: Any) -> None:
        self._everybody_came = True
        seconds = round(self._reactor.seconds() - self._started, 2)
        log.info("the server is up", seconds=seconds, processes=[role.name for role in self._roles])

    def _describe(self, role: Role) -> Message:
        process = role.current
        return {
            "name": role.name,
            "state": role.state,
            "pid": process.pid if process else None,
            "uptime": round(self._reactor.seconds() - process.started, 3) if process else None,
            "heartbeat": None if process is None else process.seconds_since_figures(),
            "restarts": role.restarts,
            "last_ending": role.last_ending or None,
        }

    def _is_served(self, listener: Listener) -> bool:
        return any(
            process.state == "ready" and listener.name in process.listening
            for process in (role.current for role in self._roles)
            if process is not None
        )

    @inlineCallbacks
    def _ask_all(self, command: str, only: str = "", **arguments: Any) -> Any:
        """Ask all ready processes; fails with all their refusals in one ``ControlError``."""
        asked = [
            (role, role.current.link.ask(command, **arguments))
            for role in self._roles
            if role.current is not None and role.current.state == "ready" and role.name.startswith(only)
        ]
        results = yield DeferredList([answer for _, answer in asked], consumeErrors=True)
        problems = [
            f"{role.name}: {result.getErrorMessage()}"
            for (role, _), (fine, result) in zip(asked, results, strict=True)
            if not fine
        ]
        if problems:
            raise ControlError("; ".join(problems))
        return [result for _, result in results]

    def _not_applied(self, candidate: Env) -> list[reloading.Note]:
        """Say what of these settings a reload does not put in force; raises ``ControlError`` for what nothing could."""
        wanted = wanted_listeners(candidate, self._programs)
        return [
            *reloading.fixed(self._begun_with, candidate),
            *reloading.for_new_processes(self._restarted_with, candidate),
            *reloading.listeners(wanted, self._listeners),
        ]

    def _change_listeners(self, env: Env) -> list[Listener]:
        """Open what is newly wanted; return what is no longer, to be closed when nobody serves it any more."""
        wanted = wanted_listeners(env, self._programs)
        bound = {listener.wanted for listener in self._listeners}
        try:
            opened = open_listeners([one for one in wanted if one not in bound], {})
        except ListenError as error:
            raise ControlError(str(error)) from error
        closed = [listener for listener in self._listeners if listener.wanted not in wanted]
        self._listeners = [listener for listener in self._listeners if listener not in closed] + opened
        return closed

    def _stop_reactor(self) -> None:
        if self._reactor.running and not self._draining:
            self._draining = True
            self._reactor.stop()

    def _stop(self) -> Deferred[Any]:
        """Let all finish. No new connection gets in: the children stop accepting, and the sockets close with us."""
        self._draining = True
        log.info("the server is going down")
        for listener in self._listeners:
            listener.socket.close()
        done = DeferredList([role.stop() for role in self._roles])
        done.addCallback(lambda _: log.info("the server is down"))
        return done


def _loaded() -> Env:
    """Read the settings as they are now; raises ``ControlError`` when they are invalid."""
    try:
        return load()
    except SettingError as error:
        raise ControlError(str(error)) from error


def _named(programs: Sequence[Program], mail_processes: int) -> list[tuple[Program, str]]:
    """Name each role: mail, or mail-1, mail-2, … when there are several."""
    named: list[tuple[Program, str]] = []
    for program in programs:
        count = mail_processes if program.name == "mail" else 1
        named += [(program, program.name if count == 1 else f"{program.name}-{place + 1}") for place in range(count)]
    return named


class _ControlFactory(Factory):
    """Makes a link for everybody who opens the control socket."""

    noisy = False

    def __init__(self, commands: dict[str, Callable[..., Any]]) -> None:
        self._commands = commands

    def buildProtocol(self, address: object) -> Link:  # noqa: ARG002, N802
        """Return a link."""
        return Link(self._commands)
