"""``python -m mailcore.supervisor``: what ``manage.py runmailserver`` becomes after its checks."""

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import structlog

from a3mailer_site.env import BASE_DIR, Env, SettingError, current
from mailcore import journal
from mailcore.supervisor.lock import AlreadyRunningError, take_lock
from mailcore.supervisor.output import Output
from mailcore.supervisor.privileges import PrivilegeError, drop
from mailcore.supervisor.process import Program
from mailcore.supervisor.sockets import ListenError, open_listeners
from mailcore.supervisor.supervisor import Supervisor, wanted_listeners

log = structlog.get_logger("mailcore.supervisor")


def _program(name: str, *listens: str) -> Program:
    return Program(name, (sys.executable, "-m", "mailcore.start", name), frozenset(listens))


PROGRAMS = (
    _program("mail", "smtp", "submission", "submissions", "lmtp", "imap", "imaps", "pop3", "pop3s"),
    _program("web", "http", "https"),
    Program("worker", (sys.executable, "-m", "mailcore.start", "worker"), patient=True),
)


def main() -> int:
    """Run the server until it is told to stop. Returns 0 for an orderly end, 1 when it cannot start."""
    journal.configure("supervisor")
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is something to reload
    try:
        return run(current(), PROGRAMS)
    except (AlreadyRunningError, ListenError, PrivilegeError, SettingError) as error:
        log.critical("cannot start", reason=str(error))
        return 1


def run(env: Env, programs: tuple[Program, ...]) -> int:
    """Run these programs on this data directory."""
    lock = take_lock(env.data_dir)
    listeners = open_listeners(wanted_listeners(env, programs), os.environ)
    drop(env.user, env.data_dir)
    _check_certificate(env)
    from twisted.internet import reactor as default_reactor  # noqa: PLC0415 - installs itself; not before all is checked

    reactor: Any = default_reactor
    reactor.seconds = time.monotonic  # a jump of the clock must not stall or hurry anything
    journal.take_over_twisted()
    output = Output(sys.stderr.fileno(), as_json=journal.wanted_format() == "json")
    # The children find the code wherever they are started from.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(BASE_DIR), os.environ.get("PYTHONPATH", "")]))
    supervisor = Supervisor(reactor, programs, listeners, output)
    supervisor.open_control_socket(env.data_dir)
    reactor.callWhenRunning(_heed_signals, reactor, supervisor)
    reactor.callWhenRunning(supervisor.start)
    reactor.run()
    output.close()
    os.close(lock)
    return 0


def _heed_signals(reactor: Any, supervisor: Supervisor) -> None:
    """Reload and drain; asked twice to end (Ctrl-C, and again), go on ending. Twisted's own handlers would complain."""
    signal.signal(signal.SIGHUP, lambda *_: reactor.callFromThread(supervisor.hang_up))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: reactor.callFromThread(supervisor.drain))


def _check_certificate(env: Env) -> None:
    """Say at once when the user that we now are cannot read the certificate; the children would die of it."""
    for variable, path in (("A3MAILER_TLS_CERT", env.tls_cert), ("A3MAILER_TLS_KEY", env.tls_key)):
        if path and not os.access(Path(path), os.R_OK):
            raise SettingError(f"{variable} is {path!r}, which {env.user or 'this user'} cannot read")


if __name__ == "__main__":
    sys.exit(main())
