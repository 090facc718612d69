"""A small SMTP server that writes down what it is given and answers as it is told: the far end of deliveries.

    with Sink() as sink:
        sink.answers["later@sink.test"] = [b"450 4.2.0 Not yet"]   # to RCPT, one after the other; then 250
        sink.received   # [Received(sender, recipients, content), …]

Without TLS and without extensions but PIPELINING and SIZE, so that the sender has to do everything itself.
"""

import contextlib
import socketserver
import threading
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Received:
    """One message that was answered 250."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes


class _Session(socketserver.StreamRequestHandler):
    timeout = 60

    def say(self, text):
        self.wfile.write(text + b"\r\n")
        self.wfile.flush()

    def handle(self):
        with contextlib.suppress(OSError):
            self.say(b"220 sink.test ESMTP")
            self._talk()

    def _talk(self):
        sink = self.server.sink
        sender, recipients = "", []
        while line := self.rfile.readline():
            verb, _, rest = line.strip().partition(b" ")
            path = rest.partition(b"<")[2].partition(b">")[0].decode()
            match verb.upper():
                case b"EHLO":
                    self.say(b"250-sink.test\r\n250-PIPELINING\r\n250 SIZE 100000000")
                case b"MAIL":
                    sender, recipients = path, []
                    self.say(b"250 2.1.0 Ok")
                case b"RCPT":
                    answer = sink.answer(path)
                    if answer.startswith(b"250"):
                        recipients.append(path)
                    self.say(answer)
                case b"DATA" if recipients:
                    self.say(b"354 Go on")
                    lines = []
                    while (line := self.rfile.readline()) != b".\r\n":
                        if not line:
                            return
                        lines.append(line.removeprefix(b"."))
                    sink.take(Received(sender, tuple(recipients), b"".join(lines)))
                    self.say(b"250 2.0.0 Taken")
                case b"DATA":
                    self.say(b"554 5.5.1 No valid recipients")
                case b"QUIT":
                    self.say(b"221 2.0.0 Bye")
                    return
                case _:
                    self.say(b"250 2.0.0 Ok")


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 100


@dataclass
class Sink:
    """Enter it to start; ``port`` is where it listens."""

    received: list[Received] = field(default_factory=list)
    answers: dict[str, list[bytes]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def __enter__(self):
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _Session)
        self._server.sink = self
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *exc_info):
        self._server.shutdown()
        self._server.server_close()

    def answer(self, recipient):
        """What to say to RCPT."""
        with self._lock:
            self.asked.append(recipient)
            planned = self.answers.get(recipient)
            return planned.pop(0) if planned else b"250 2.1.5 Ok"

    def take(self, received):
        """Write a message down."""
        with self._lock:
            self.received.append(received)

    def to(self, recipient):
        """What somebody was sent."""
        with self._lock:
            return [one for one in self.received if recipient in one.recipients]
