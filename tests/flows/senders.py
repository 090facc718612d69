"""A load of mail in which every message is sent once and has an id, and what has to be true of it afterwards."""

import contextlib
import random
import re
import threading
import time

from running import PASSWORD

from wire import Imap, NotGreetedError, Smtp

ID = re.compile(rb"^X-Id: (\S+)\r$", re.MULTILINE)
# Mostly small ones, some that are kept in a file of their own.
SIZES = [0, 100, 2000, 4000, 9000, 40_000]


def message(name, size):
    """A message that can be recognised, and of which nothing can be missing unnoticed."""
    filling = b"".join(b"%070d\r\n" % number for number in range(size // 72))
    return b"Subject: load\r\nX-Id: %s\r\n\r\n%sthe end of %s\r\n" % (name.encode(), filling, name.encode())


class Senders:
    """Threads that send until they are stopped, reconnecting whenever they are cut off.

    ``acknowledged`` maps ids to recipients for what was answered 250; ``refusals`` has other replies to a message,
    ``unwelcome`` greetings that were none.
    """

    def __init__(self, server, recipients, count=6, login=None, port=None):
        self.server, self.recipients, self.login = server, recipients, login
        self.port = port or ("submissions" if login else "smtp")
        self.acknowledged, self.refusals, self.unwelcome = {}, [], []
        self.connections_refused, self.slowest = 0, 0.0
        self._stop = threading.Event()
        self._random = random.Random(time.time_ns())
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(count)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc_info):
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, number):
        sent = 0
        while not self._stop.is_set():
            try:
                with Smtp(self.server.ports[self.port], tls=self.login is not None, timeout=120) as smtp:
                    if not smtp.greeting.startswith(b"220"):
                        self.unwelcome.append(smtp.greeting)
                    if self.login and not smtp.login(*self.login).startswith(b"235"):
                        continue
                    for _ in range(20):
                        if self._stop.is_set():
                            break
                        sent += 1
                        self._one(smtp, f"{number}-{sent}-{time.time_ns()}")
            except NotGreetedError as error:
                self.unwelcome.append(str(error.__cause__))
            except ConnectionRefusedError:
                with self._lock:
                    self.connections_refused += 1
                self._stop.wait(0.05)
            except OSError:
                self._stop.wait(0.01)

    def _one(self, smtp, name):
        recipients = self._random.sample(
            self.recipients, k=min(len(self.recipients), self._random.choice([1, 1, 1, 3]))
        )
        sender = self.login[0] if self.login else "load@example.net"
        content = message(name, self._random.choice(SIZES))
        if self.login:
            content = b"From: <%s>\r\n" % sender.encode() + content
        began = time.monotonic()
        reply = smtp.envelope(sender, *recipients)
        if reply.startswith(b"250"):
            reply = smtp.data(content)
        with self._lock:
            self.slowest = max(self.slowest, time.monotonic() - began)
            if reply.startswith(b"250"):
                self.acknowledged[name] = recipients
            else:
                self.refusals.append(reply)
        if not reply.startswith(b"250"):
            smtp.say(b"RSET")


class Ledger:
    """What mailboxes held at the last look: UIDs keep their messages for ever, and each message is there once."""

    def __init__(self):
        self.uids, self.uidvalidity = {}, {}

    def check(self, people):
        """Read what is new and compare with what was there; returns the ids in each mailbox."""
        return {person.address: self._check(person) for person in people}

    def _check(self, person):
        with person.imap() as imap:
            status = imap.status(b"INBOX", b"MESSAGES", b"UNSEEN", b"UIDVALIDITY", b"UIDNEXT", b"SIZE")
            before = self.uids.setdefault(person.address, {})
            assert self.uidvalidity.setdefault(person.address, status["UIDVALIDITY"]) == status["UIDVALIDITY"]
            now, size = {}, 0
            for text, literals in imap.fine(b"UID FETCH 1:* (UID RFC822.SIZE BODY.PEEK[HEADER.FIELDS (X-ID)])"):
                uid = int(re.search(rb"UID (\d+)", text)[1])
                size += int(re.search(rb"RFC822.SIZE (\d+)", text)[1])
                now[uid] = ID.search(literals[0])[1].decode()
            assert {uid: now.get(uid) for uid in before} == before, "a UID has lost its message"
            assert not before or all(uid > max(before) for uid in now.keys() - before.keys())
            for uid, content in imap.bodies(max(before, default=0) + 1).items():
                name = now[uid].encode()
                assert content.endswith(b"the end of %s\r\n" % name), f"{name} is not whole"
                assert content.count(b"X-Id: ") == 1
            assert len(set(now.values())) == len(now), "a message is there twice"
            assert status["MESSAGES"] == status["UNSEEN"] == len(now)
            assert status["UIDNEXT"] > max(now, default=0)
            assert status["SIZE"] == size
            self.uids[person.address] = now
            return set(now.values())


def nothing_is_lost(acknowledged, found):
    """Compare what was said yes to with what ``Ledger.check`` found."""
    for name, recipients in acknowledged.items():
        for recipient in recipients:
            assert name in found[recipient], f"{name} was acknowledged and is not in the mailbox of {recipient}"


def read_in_loop(server, address, stop):
    """Read beside the load, as people do; errors of a server that is being killed are nothing special."""
    while not stop.is_set():
        with contextlib.suppress(OSError, AssertionError), Imap(server.ports["imaps"], tls=True) as imap:
            imap.login(address, PASSWORD)
            while not stop.is_set():
                imap.fine(b"SELECT INBOX")
                imap.fine(b"UID FETCH 1:* (FLAGS)")
        stop.wait(0.02)
