"""Running servers and the people on them: what the tests of this folder are made of."""

import contextlib
import itertools
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from server import MailServer
from wire import Imap, Pop3, Smtp, until

PASSWORD = "correct horse battery"


@dataclass(frozen=True)
class Person:
    """Somebody with an empty mailbox."""

    server: MailServer
    address: str
    password: str = PASSWORD

    def imap(self):
        """A session that is logged in, with INBOX selected."""
        imap = Imap(self.server.ports["imaps"], tls=True)
        answer = imap.login(self.address, self.password)
        assert answer.startswith(b"OK"), answer
        imap.fine(b"SELECT INBOX")
        return imap

    def pop3(self):
        """A session that is logged in."""
        pop3 = Pop3(self.server.ports["pop3s"], tls=True)
        answer = pop3.login(self.address, self.password)
        assert answer.startswith(b"+OK"), answer
        return pop3

    def submission(self):
        """A session that is logged in."""
        smtp = Smtp(self.server.ports["submissions"], tls=True)
        answer = smtp.login(self.address, self.password)
        assert answer.startswith(b"235"), answer
        return smtp

    def mail(self):
        """Octets of all messages in INBOX, oldest first."""
        with self.imap() as imap:
            return list(imap.bodies().values())

    def wait_for(self, count=1, seconds=60):
        """Wait for so many messages, and return them."""
        with self.imap() as imap:

            def come():
                return len(bodies := list(imap.bodies().values())) >= count and bodies

            return until(come, seconds, f"{self.address} did not get {count} messages")


def deliver(server, person, content, sender="friend@example.net", **options):
    """Send a message over the MX port; returns the last reply."""
    with Smtp(server.ports["smtp"], **options) as smtp:
        reply = smtp.envelope(sender, person.address)
        return smtp.data(content) if reply.startswith(b"250") else reply


def without_trace(content):
    """A message as it was sent: without the Return-Path and the Received field that we put on top."""
    lines = content.split(b"\r\n")
    assert lines[0].startswith(b"Return-Path: <"), lines[0]
    assert lines[1].startswith(b"Received: from "), lines[1]
    top = 2 + sum(1 for _ in itertools.takewhile(lambda line: line[:1] in b"\t " and line, lines[2:]))
    return b"\r\n".join(lines[top:])


@contextlib.contextmanager
def running(name, environment=None, people=300, directory=None):
    """A prepared and started server with people; its log is shown when it does not start."""
    directory = Path(directory or tempfile.mkdtemp(prefix=f"a3mailer-{name}-"))
    server = MailServer(directory, environment)
    try:
        server.prepare(people, PASSWORD)
        server.people = [Person(server, address) for address in server.people]
        server.unused = iter(server.people)
        server.start()
        server.raise_limits()
        yield server
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)


def quick_retries(dns):
    """Settings under which a test need not wait for minutes, and asks no DNS but the tests' own."""
    return {
        "A3MAILER_DNS_SERVERS": dns.address,
        "A3MAILER_RETRY_FIRST": "1",
        "A3MAILER_RETRY_LONGEST": "2",
        "A3MAILER_DELAY_NOTICE_AFTER": "2",
        "A3MAILER_WEBHOOK_TARGETS": "127.0.0.0/8",
    }
