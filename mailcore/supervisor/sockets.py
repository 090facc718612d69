"""The listening sockets: opened here (or by systemd), served by the children, closed by nobody in between.

Because the supervisor keeps them open, a client that comes while a child is being replaced waits in the backlog for a
moment; it is never refused.
"""

import contextlib
import errno
import os
import socket
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import structlog

log = structlog.get_logger("mailcore.supervisor.sockets")

# The kernel cuts this to net.core.somaxconn; it holds those who come while a child starts.
BACKLOG = 1024
# The children of a supervisor that was killed need a moment to let go of its sockets.
BIND_PATIENCE = 5.0
_FIRST_SYSTEMD_FD = 3


class ListenError(Exception):
    """A socket cannot be opened; the message says which, why, and what to do."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A listener that the settings ask for."""

    name: str  # "smtp", "imaps", …
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Listener:
    """A listener that is open."""

    wanted: Wanted
    socket: socket.socket

    @property
    def name(self) -> str:
        """What is spoken here: "smtp", "imaps", …."""
        return self.wanted.name

    @property
    def address(self) -> str:
        """``host:port`` as it is really bound."""
        host, port = self.socket.getsockname()[:2]
        return str(Wanted(self.name, host, port))


def open_listeners(wanted: Iterable[Wanted], environ: Mapping[str, str]) -> list[Listener]:
    """Open all, or raise one ``ListenError`` that names every one that cannot be opened."""
    given = from_systemd(environ)
    opened: list[Listener] = []
    problems: list[str] = []
    deadline = time.monotonic() + BIND_PATIENCE
    for one in wanted:
        ready = _take(given, one)
        try:
            sockets = [ready] if ready is not None else bind(one, deadline)
        except OSError as error:
            problems.append(f"{one.name} cannot listen on {one}: {explain(error)}")
            continue
        opened += [Listener(one, each) for each in sockets]
    for name, each in given:
        log.warning("a socket from systemd is asked for by no setting and stays closed", name=name)
        each.close()
    if problems:
        for listener in opened:
            listener.socket.close()
        raise ListenError("; ".join(problems))
    return opened


def from_systemd(environ: Mapping[str, str]) -> list[tuple[str, socket.socket]]:
    """Take the sockets that systemd (or who speaks its protocol) has opened for this very process."""
    if environ.get("LISTEN_PID") != str(os.getpid()):
        return []
    count = int(environ.get("LISTEN_FDS", "0"))
    names = environ.get("LISTEN_FDNAMES", "").split(":")
    names += ["unknown"] * (count - len(names))
    sockets = []
    for position in range(count):
        each = socket.socket(fileno=_FIRST_SYSTEMD_FD + position)
        _prepare(each)
        sockets.append((names[position], each))
    return sockets


def bind(wanted: Wanted, deadline: float) -> list[socket.socket]:
    """Open the sockets of one setting: a host name may have several addresses. Raises ``OSError``."""
    sockets: list[socket.socket] = []
    try:
        for family, _, _, _, address in socket.getaddrinfo(
            wanted.host, wanted.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        ):
            sockets.append(_bind_one(family, address, deadline))
    except BaseException:
        for each in sockets:
            each.close()
        raise
    return sockets


def _bind_one(family: int, address: tuple[object, ...], deadline: float) -> socket.socket:
    try:
        each = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        if error.errno == errno.EAFNOSUPPORT and address[0] == "::":
            log.warning("no IPv6 on this machine, listening on IPv4 only", port=address[1])
            return _bind_one(socket.AF_INET, ("0.0.0.0", address[1]), deadline)  # noqa: S104 - as "::" asked
        raise
    try:
        each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # "[::]" stands for IPv4 too; another address of IPv6 does not concern IPv4 anyway.
            each.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        _bind_patiently(each, address, deadline)
        _prepare(each)
        each.listen(BACKLOG)
    except BaseException:
        each.close()
        raise
    return each


def _bind_patiently(each: socket.socket, address: tuple[object, ...], deadline: float) -> None:
    while True:
        try:
            each.bind(address)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def _prepare(each: socket.socket) -> None:
    # A blocking socket would hang the child's reactor in its first accept.
    each.setblocking(False)
    each.set_inheritable(False)
    # Linux hands these on to every accepted connection, which saves a system call or four for each.
    with contextlib.suppress(OSError):  # a Unix socket from systemd has none of them
        each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        each.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        each.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 120)
        each.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 30)
        each.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4)


def _take(given: list[tuple[str, socket.socket]], wanted: Wanted) -> socket.socket | None:
    """Find the socket that was given for this setting: by its name, or by its port where it has none."""
    for position, (name, each) in enumerate(given):
        address = each.getsockname()
        port = address[1] if isinstance(address, tuple) else None
        if name == wanted.name or (name == "unknown" and port == wanted.port):
            del given[position]
            return each
    return None


def explain(error: OSError) -> str:
    """Say why a socket cannot be opened, and what to do about it."""
    reason = error.strerror or str(error)
    if error.errno == errno.EACCES:
        return f"{reason} (ports below 1024 need root: start as root and set A3MAILER_USER, or let systemd open them)"
    if error.errno == errno.EADDRINUSE:
        return f"{reason} (another program listens there; stop it, or set another port)"
    return reason
