"""A small SMTP server on loopback that does as it is told, for tests of delivery.

    with FakeMx(says={"RCPT TO:<bob": "550 5.1.1 no"}) as mx:
        ...
        assert mx.messages[0].recipients == ["amy@example.com"]

``says`` maps the beginning of a command to a reply; ``GREETING`` and ``DOT`` stand for the greeting and the end of a
message. A reply of ``None`` drops the connection, ``HANG`` says nothing at all, ``DRIP`` something that never ends, a
byte a second. It runs in threads of its own.
"""

import contextlib
import itertools
import socket
import ssl
import threading
from dataclasses import dataclass, field
from typing import Self

HANG = "HANG"
DRIP = "DRIP"
LETTER = b"From: me@example.org\r\nSubject: hello\r\n\r\n.dot\r\nlast\r\n"


@dataclass
class Received:
    """One message as it came."""

    sender: str
    recipients: list[str]
    content: bytes  # without transparency dots
    tls: bool
    connection: int
    mail: str  # the whole MAIL command
    rcpts: list[str]  # the whole RCPT commands


@dataclass
class FakeMx:
    """The server; ``port`` is known once it is entered. All that it may say can be changed while it runs."""

    host: str = "127.0.0.1"
    says: dict[str, str | None] = field(default_factory=dict)
    offers: tuple[str, ...] = ("PIPELINING", "SIZE 10000000", "8BITMIME", "ENHANCEDSTATUSCODES")
    tls: ssl.SSLContext | None = None  # offers STARTTLS when there is one
    port: int = 0  # 0: a free one
    messages: list[Received] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    connections: int = 0
    open: int = 0
    most_open: int = 0
    most: int = 0  # connections at once; whoever comes after that is told 421; 0: any number
    drip_every: float = 1.0  # seconds
    read_every: float = 0.0  # seconds that it rests after each line of a message

    def __enter__(self) -> Self:
        self._lock = threading.Lock()
        self._arrived = threading.Condition(self._lock)
        self._stopping = threading.Event()
        self._sockets: set[socket.socket] = set()
        self._listener = socket.create_server((self.host, self.port))
        self._listener.settimeout(0.1)
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stopping.set()
        self._thread.join()
        self._listener.close()
        self.drop_all()

    def drop_all(self) -> None:
        """Break every connection."""
        with self._lock:
            for each in self._sockets:
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

    def wait(self, count: int, seconds: float = 20) -> list[Received]:
        """Wait for that many messages, and return them; for tests whose server is another process."""
        with self._arrived:
            assert self._arrived.wait_for(lambda: len(self.messages) >= count, seconds), (
                f"{len(self.messages)} messages, not {count}"
            )
            return list(self.messages)

    def _accept(self) -> None:
        while not self._stopping.is_set():
            with contextlib.suppress(TimeoutError):
                connection, _client = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with self._lock:
            self.connections += 1
            number = self.connections
            self.open += 1
            self.most_open = max(self.most_open, self.open)
            self._sockets.add(connection)
        try:
            with contextlib.suppress(OSError, EOFError):
                _Talk(self, connection, number).run()
        finally:
            with self._lock:
                self.open -= 1
                self._sockets.discard(connection)
            connection.close()

    def reply_to(self, command: str) -> str | None:
        """What is said to a command: the longest beginning in ``says`` counts."""
        told = [beginning for beginning in self.says if command.upper().startswith(beginning.upper())]
        if told:
            return self.says[max(told, key=len)]
        return {
            "GREETING": "220 mx.fake ESMTP",
            "DATA": "354 go on",
            "QUIT": "221 2.0.0 bye",
            "STARTTLS": "220 2.0.0 go on",
            "DOT": "250 2.0.0 queued",
            "AUTH": "235 2.7.0 welcome",
        }.get(command.split(" ", maxsplit=1)[0].upper(), "250 2.0.0 ok")

    def keep(self, message: Received) -> None:
        with self._arrived:
            self.messages.append(message)
            self._arrived.notify_all()


class _Talk:
    """One connection."""

    def __init__(self, server: FakeMx, connection: socket.socket, number: int) -> None:
        self.server = server
        self.number = number
        self.tls = False
        self._use(connection)

    def _use(self, connection: socket.socket) -> None:
        self.connection = connection
        self.file = connection.makefile("rb")

    def run(self) -> None:
        if 0 < self.server.most < self.server.open:
            self.write("421 4.7.0 too many connections")
            return
        self.say("GREETING")
        while True:
            command = self.line().decode().rstrip("\r\n")
            self.server.commands.append(command)
            verb = command.split(" ")[0].upper()
            if verb in {"EHLO", "HELO"}:
                self.sender, self.rcpts = "", []
                if self.server.reply_to(command) == "250 2.0.0 ok" and verb == "EHLO":
                    self.hello()
                    continue
            if verb == "DATA" and not self.rcpts and "DATA" not in self.server.says:
                self.write("503 5.5.1 no recipients")
                continue
            reply = self.say(command)
            if verb == "MAIL":
                self.mail, self.rcpts = command, []
            elif verb == "RCPT" and reply.startswith("2"):
                self.rcpts.append(command)
            elif verb == "DATA" and reply.startswith("354"):
                self.data()
            elif verb == "STARTTLS" and reply.startswith("220"):
                self.start_tls()
            elif verb == "QUIT":
                return

    def hello(self) -> None:
        offers = list(self.server.offers)
        if self.server.tls is not None and not self.tls:
            offers.append("STARTTLS")
        lines = ["mx.fake", *offers]
        self.write("\r\n".join([*(f"250-{line}" for line in lines[:-1]), f"250 {lines[-1]}"]))

    def start_tls(self) -> None:
        self._use(self.server.tls.wrap_socket(self.connection, server_side=True))
        self.tls = True

    def data(self) -> None:
        lines = []
        while (line := self.line()) != b".\r\n":
            assert line.endswith(b"\r\n"), "a bare LF came"
            if self.server.read_every and self.server._stopping.wait(self.server.read_every):
                raise EOFError
            lines.append(line[1:] if line.startswith(b".") else line)
        if self.say("DOT").startswith("2"):
            self.server.keep(
                Received(
                    _path(self.mail),
                    [_path(rcpt) for rcpt in self.rcpts],
                    b"".join(lines),
                    self.tls,
                    self.number,
                    self.mail,
                    self.rcpts,
                )
            )
        self.rcpts = []

    def line(self) -> bytes:
        line = self.file.readline()
        if not line:
            raise EOFError
        return line

    def say(self, command: str) -> str:
        reply = self.server.reply_to(command)
        if reply is None:
            raise EOFError
        if reply == HANG:
            self.server._stopping.wait(60)
            raise EOFError
        if reply == DRIP:
            self.drip()
        self.write(reply)
        return reply

    def drip(self) -> None:
        for byte in itertools.cycle(b"250-a"):
            self.connection.sendall(bytes([byte]))
            if self.server._stopping.wait(self.server.drip_every):
                raise EOFError

    def write(self, text: str) -> None:
        self.connection.sendall(text.encode() + b"\r\n")


def _path(command: str) -> str:
    return command.partition("<")[2].partition(">")[0]
