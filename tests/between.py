"""Stands between an SMTP client and a real server, passes on what they say, and breaks it off where it was told to.

    with Between(server_port) as between:
        between.plan["bob@example.test"] = LOSE_REPLY     # once, for the next message to him
        ...                                               # the client speaks to ``between.port``
        assert between.plan == {}

It speaks in turns, so it hides what would change that: STARTTLS, PIPELINING, CHUNKING.
"""

import contextlib
import socket
import threading

HIDDEN = (b"STARTTLS", b"PIPELINING", b"CHUNKING", b"PIPECONNECT", b"LIMITS")

# To the client: 421 in place of the answer to RCPT or DATA.
CLOSE_AT_RCPT, CLOSE_AT_DATA = "421 at RCPT", "421 at DATA"
# Both connections are cut: after half of the message; before its final dot; when the server has answered that.
CUT_IN_MESSAGE, CUT_BEFORE_DOT, LOSE_REPLY = "cut in the message", "cut before the dot", "reply lost"
ONCE = (CLOSE_AT_RCPT, CLOSE_AT_DATA, CUT_IN_MESSAGE, CUT_BEFORE_DOT)  # after which the server does not have it


class Between:
    """Enter it to start; ``plan`` may be changed at any time."""

    def __init__(self, target):
        self.target = target
        self.plan = {}
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.1)
        self.port = self._listener.getsockname()[1]
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exc_info):
        self._stopping.set()
        self._thread.join()
        self._listener.close()

    def _accept(self):
        while not self._stopping.is_set():
            with contextlib.suppress(TimeoutError):
                connection, _client = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with contextlib.suppress(OSError, _OverError), connection:
            connection.settimeout(60)
            with socket.create_connection(("127.0.0.1", self.target), 60) as onward:
                _Talk(self, connection, onward).run()


class _OverError(Exception):
    """One of the two has closed, or shall think that the other has."""


class _Talk:
    def __init__(self, between, client, server):
        self.plan = between.plan
        self.client, self.server = client, server
        self.from_client, self.from_server = client.makefile("rb"), server.makefile("rb")
        self.recipient = ""

    def run(self):
        self.client.sendall(self.reply())
        while True:
            command = self.line(self.from_client)
            verb = command[:4].upper()
            if verb == b"RCPT":
                self.recipient = command.partition(b"<")[2].partition(b">")[0].decode()
                self.close_if(CLOSE_AT_RCPT)
            elif verb == b"DATA":
                self.close_if(CLOSE_AT_DATA)
            self.server.sendall(command)
            reply = self.reply()
            if verb == b"EHLO":
                reply = _without_hidden(reply)
            self.client.sendall(reply)
            if verb == b"DATA" and reply.startswith(b"354"):
                self.message()

    def message(self):
        lines = []
        while (line := self.line(self.from_client)) != b".\r\n":
            lines.append(line)
        self.cut_if(CUT_IN_MESSAGE, b"".join(lines[: len(lines) // 2]))
        self.cut_if(CUT_BEFORE_DOT, b"".join(lines))
        self.server.sendall(b"".join(lines) + b".\r\n")
        reply = self.reply()
        self.cut_if(LOSE_REPLY)
        self.client.sendall(reply)

    def has_come(self, what):
        """Whether this is to happen now; then never again."""
        if self.plan.get(self.recipient) != what:
            return False
        del self.plan[self.recipient]
        return True

    def close_if(self, what):
        if self.has_come(what):
            self.client.sendall(b"421 4.3.2 Closing for a while\r\n")
            raise _OverError

    def cut_if(self, what, still=b""):
        if self.has_come(what):
            self.server.sendall(still)
            raise _OverError

    def reply(self):
        lines = [self.line(self.from_server)]
        while lines[-1][3:4] == b"-":
            lines.append(self.line(self.from_server))
        return b"".join(lines)

    @staticmethod
    def line(file):
        line = file.readline()
        if not line.endswith(b"\n"):
            raise _OverError
        return line


def _without_hidden(reply):
    lines = [line for line in reply.splitlines() if not line[4:].upper().startswith(HIDDEN)]
    return b"".join(line[:3] + b"-" + line[4:] + b"\r\n" for line in lines[:-1]) + b"250 " + lines[-1][4:] + b"\r\n"
