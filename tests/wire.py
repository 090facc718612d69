"""SMTP, IMAP and POP3 spoken by hand: every octet as a test wrote it, nothing smoothed over by a library."""

import base64
import contextlib
import re
import socket
import ssl
import time

HOST = "127.0.0.1"
LITERAL = re.compile(rb"\{(\d+)\}$")


def until(condition, seconds=60, what="it did not happen in time"):
    """Wait for something outside this process, which tells nobody when it happens; returns what the condition gave."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, what
        time.sleep(0.02)
    return value


def unverified():
    """TLS as a client speaks it that looks at no names: for tests that are about something else."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def stuffed(content):
    """What goes over the wire after DATA, the final dot included (RFC 5321 section 4.5.2)."""
    whole = content if content.endswith(b"\r\n") or not content else content + b"\r\n"
    return re.sub(rb"(?m)^\.", b"..", whole) + b".\r\n"


class NotGreetedError(OSError):
    """A connection was taken and then closed before anything was said."""


class Wire:
    """A connection that reads lines and blocks. ``source`` is another loopback address to come from."""

    def __init__(self, port, *, tls=False, source=None, timeout=60):
        self.socket = socket.create_connection((HOST, port), timeout, (source, 0) if source else None)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = None
        if tls:
            self.secure()
        else:
            self._file = self.socket.makefile("rb")

    def secure(self):
        """Make the handshake."""
        self.socket = unverified().wrap_socket(self.socket)
        self._file = self.socket.makefile("rb")

    def send(self, data):
        self.socket.sendall(data)

    def line(self):
        """The next line, without CRLF; ``ConnectionError`` when there is none any more."""
        read = self._file.readline()
        if not read.endswith(b"\r\n"):
            raise ConnectionResetError("the server closed the connection")
        return read[:-2]

    def octets(self, count):
        read = self._file.read(count)
        if len(read) < count:
            raise ConnectionResetError("the server closed the connection")
        return read

    def close(self):
        with contextlib.suppress(OSError):
            self._file.close()
            self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.close()


class Smtp(Wire):
    """Greets with EHLO; ``say`` returns the reply, all lines joined."""

    def __init__(self, port, **options):
        super().__init__(port, **options)
        try:
            self.greeting = self.reply()
        except OSError as error:
            raise NotGreetedError from error
        self.capabilities = self.say(b"EHLO client.example")

    def reply(self):
        lines = [self.line()]
        while lines[-1][3:4] == b"-":
            lines.append(self.line())
        return b"\n".join(lines)

    def say(self, command):
        self.send(command + b"\r\n")
        return self.reply()

    def starttls(self):
        assert self.say(b"STARTTLS").startswith(b"220 ")
        self.secure()
        self.capabilities = self.say(b"EHLO client.example")
        return self

    def login(self, login, password):
        secret = f"\0{login}\0{password}".encode()
        return self.say(b"AUTH PLAIN " + base64.b64encode(secret))

    def envelope(self, sender, *recipients, parameters=b""):
        """MAIL and RCPT; the last reply, or the first that is a refusal."""
        reply = self.say(b"MAIL FROM:<%s>%s" % (sender.encode(), parameters))
        for recipient in recipients:
            if not reply.startswith(b"250"):
                break
            reply = self.say(b"RCPT TO:<%s>" % recipient.encode())
        return reply

    def data(self, content):
        """A message after DATA; the reply to its end."""
        reply = self.say(b"DATA")
        if not reply.startswith(b"354"):
            return reply
        self.send(stuffed(content))
        return self.reply()

    def chunk(self, content, *, last=True):
        """A message, or a part of one, after BDAT (RFC 3030)."""
        self.send(b"BDAT %d%s\r\n" % (len(content), b" LAST" if last else b"") + content)
        return self.reply()


class Imap(Wire):
    """``command`` returns the tagged line and the untagged responses: (text, literals) pairs."""

    def __init__(self, port, **options):
        super().__init__(port, **options)
        self.greeting = self.line()
        self._number = 0

    def response(self):
        """One response: its text with literals left out, and the literals."""
        text, literals = self.line(), []
        while found := LITERAL.search(text):
            literals.append(self.octets(int(found[1])))
            text += b" " + self.line()
        return text, literals

    def send_command(self, command):
        self._number += 1
        tag = b"t%d" % self._number
        self.send(tag + b" " + command + b"\r\n")
        return tag

    def finish(self, tag):
        untagged = []
        while True:
            text, literals = self.response()
            if text.startswith(tag + b" "):
                return text[len(tag) + 1 :], untagged
            untagged.append((text, literals))

    def command(self, command):
        return self.finish(self.send_command(command))

    def fine(self, command):
        """The untagged responses of a command that must work."""
        tagged, untagged = self.command(command)
        assert tagged.startswith(b"OK"), (command, tagged)
        return untagged

    def starttls(self):
        self.fine(b"STARTTLS")
        self.secure()
        return self

    def login(self, login, password):
        return self.command(b'LOGIN "%s" "%s"' % (login.encode(), password.encode()))[0]

    def append(self, mailbox, content, flags=b""):
        """APPEND with a synchronising literal; the tagged line."""
        tag = self.send_command(b"APPEND %s %s{%d}" % (mailbox, flags and flags + b" ", len(content)))
        text, _ = self.response()
        if not text.startswith(b"+"):
            return text[len(tag) + 1 :]
        self.send(content + b"\r\n")
        return self.finish(tag)[0]

    def bodies(self, since=1):
        """UID and octets of each message of the selected mailbox, from a UID on."""
        found = {}
        for text, literals in self.fine(b"UID FETCH %d:* (UID BODY.PEEK[])" % since):
            if literals:
                uid = int(re.search(rb"UID (\d+)", text)[1])
                if uid >= since:
                    found[uid] = literals[0]
        return found

    def status(self, mailbox, *items):
        """STATUS as a dictionary of numbers."""
        answers = self.fine(b"STATUS %s (%s)" % (mailbox, b" ".join(items)))
        text = next(text for text, _ in answers if text.startswith(b"* STATUS"))
        words = text.rpartition(b"(")[2].rstrip(b")").split()
        return {name.decode(): int(value) for name, value in zip(words[::2], words[1::2], strict=True)}


class Pop3(Wire):
    """``say`` returns the first line of an answer, ``many`` the lines that follow."""

    def __init__(self, port, **options):
        super().__init__(port, **options)
        self.greeting = self.line()

    def say(self, command):
        self.send(command + b"\r\n")
        return self.line()

    def block(self):
        """Octets up to the final dot, without the dots that were put before others (RFC 1939 section 3)."""
        lines = []
        while (line := self.line()) != b".":
            lines.append(line.removeprefix(b"."))
        return b"".join(line + b"\r\n" for line in lines)

    def starttls(self):
        assert self.say(b"STLS").startswith(b"+OK")
        self.secure()
        return self

    def login(self, login, password):
        self.say(b"USER " + login.encode())
        return self.say(b"PASS " + password.encode())

    def retrieve(self, number):
        answer = self.say(b"RETR %d" % number)
        assert answer.startswith(b"+OK"), answer
        return self.block()
