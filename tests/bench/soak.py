#!/usr/bin/env python3
"""Many clients over all protocols for a while: does memory grow, do descriptors or threads leak, does anything fail?

    soak.py [--minutes 30] [--clients 50]

Starts a server of its own on free ports, with its data in a temporary directory, and prints a line a minute and the
verdict at the end. Growth is measured from the second fifth of the time on: before that caches fill.
"""

import argparse
import asyncio
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from server import MailServer  # noqa: E402

PASSWORD = "soak"
PEOPLE = 25
# Another client has expunged them.
GONE = (b"BAD There are no messages", b"BAD No such message number", b"NO [EXPUNGEISSUED]")
FOLDER_LIMIT = 60  # messages that a client leaves in its mailbox, about


class Line:
    """A connection that is spoken to in lines."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer
        self.tag = 0

    gone = 0  # answers of all lines that messages are gone

    @classmethod
    async def open(cls, port):
        line = cls(*await asyncio.open_connection("127.0.0.1", port, limit=2**22))
        await line.read()
        return line

    async def read(self):
        line = await asyncio.wait_for(self.reader.readline(), 60)
        if not line:
            raise ConnectionResetError("closed")
        return line

    async def say(self, command, good=(b"2", b"3", b"+OK")):
        self.writer.write(command + b"\r\n")
        line = await self.read()
        while line[3:4] == b"-" and line[:3].isdigit():
            line = await self.read()
        if not line.startswith(good):
            raise RuntimeError(f"{command[:40]!r}: {line!r}")
        return line

    async def block(self):
        while (await self.read()) != b".\r\n":
            pass

    async def imap(self, command, literal=b""):
        self.tag += 1
        tag = b"t%d " % self.tag
        self.writer.write(tag + command + b"\r\n" + literal + (b"\r\n" if literal else b""))
        lines = []
        while not (line := await self.read()).startswith(tag):
            lines.append(line)
            if line.endswith(b"}\r\n") and b"{" in line:
                await self.reader.readexactly(int(line.rpartition(b"{")[2].rstrip(b"}\r\n")))
        if line.startswith(tuple(tag + gone for gone in GONE)):
            Line.gone += 1
        elif not line.startswith(tag + b"OK"):
            raise RuntimeError(f"{command[:40]!r}: {line!r}")
        return lines

    def close(self):
        self.writer.close()


def message(dice):
    size = dice.choice((500, 2_000, 2_000, 8_000, 40_000, 300_000))
    text = b"\r\n".join(b"line %d of a message that says little" % number for number in range(size // 40))
    return b"From: a@example.test\r\nSubject: soak %d\r\n\r\n%s\r\n" % (dice.randrange(10**9), text)


async def smtp_round(server, dice, me):
    line = await Line.open(server.ports["smtp"])
    await line.say(b"EHLO client.example")
    for _ in range(dice.randint(1, 4)):
        await line.say(b"MAIL FROM:<a@example.net>")
        await line.say(b"RCPT TO:<%s>" % dice.choice(server.people).encode())
        await line.say(b"DATA")
        await line.say(message(dice).replace(b"\r\n.", b"\r\n..") + b".")
    if dice.random() < 0.8:
        await line.say(b"QUIT")
    line.close()


async def pop3_round(server, dice, me):
    line = await Line.open(server.ports["pop3"])
    await line.say(b"USER " + me.encode())
    try:
        answer = await line.say(b"PASS " + PASSWORD.encode(), (b"+OK", b"-ERR [IN-USE]"))
        if answer.startswith(b"-"):
            return
        count = int((await line.say(b"STAT")).split()[1])
        for command in (b"UIDL", b"LIST"):
            await line.say(command)
            await line.block()
        for number in range(1, min(count, 15) + 1):
            # An IMAP session may have expunged it.
            if (await line.say(b"RETR %d" % number, (b"+OK", b"-ERR No such"))).startswith(b"+"):
                await line.block()
                if count > FOLDER_LIMIT:
                    await line.say(b"DELE %d" % number, (b"+OK", b"-ERR No such"))
        if dice.random() < 0.8:
            await line.say(b"QUIT")
    finally:
        line.close()


async def imap_round(server, dice, me):  # noqa: C901 - one line a command
    line = await Line.open(server.ports["imap"])
    await line.imap(b'LOGIN "%s" %s' % (me.encode(), PASSWORD.encode()))
    await line.imap(b'LIST "" *')
    await line.imap(b"SELECT INBOX")
    for _ in range(dice.randint(3, 15)):
        what = dice.randrange(8)
        if what == 0:
            await line.imap(b"FETCH 1:* (UID FLAGS ENVELOPE)")
        elif what == 1:
            await line.imap(b"FETCH 1:5 BODY.PEEK[]")
        elif what == 2:
            await line.imap(b"UID SEARCH OR SUBJECT soak UNSEEN")
        elif what == 3:
            await line.imap(b"STORE 1:3 +FLAGS.SILENT (\\Seen)")
        elif what == 4:
            text = message(dice)
            await line.imap(b"APPEND INBOX {%d+}" % len(text), text)
        elif what == 5:
            await line.imap(b"COPY 1:2 Trash")
        elif what == 6:
            found = await line.imap(b"UID SEARCH ALL")
            uids = b" ".join(found).split()[2:] if found else []
            if len(uids) > FOLDER_LIMIT // 2:
                await line.imap(b"UID STORE %s +FLAGS.SILENT (\\Deleted)" % b",".join(uids[:10]))
                await line.imap(b"EXPUNGE")
        else:
            line.writer.write(b"i IDLE\r\n")
            await line.read()
            await asyncio.sleep(dice.random() * 3)
            line.writer.write(b"DONE\r\n")
            while not (await line.read()).startswith(b"i OK"):
                pass
    if dice.random() < 0.3:
        await line.imap(b"SELECT Trash")
        await line.imap(b"STORE 1:* +FLAGS.SILENT (\\Deleted)")
        await line.imap(b"EXPUNGE")
    if dice.random() < 0.8:
        await line.imap(b"LOGOUT")
    line.close()


async def client(server, number, ends, done, failed):
    dice = random.Random(number)
    me = server.people[number % len(server.people)]
    while time.monotonic() < ends:
        play = dice.choice((smtp_round, pop3_round, imap_round, imap_round))
        try:
            await play(server, dice, me)
        except Exception as error:
            failed[f"{play.__name__}: {error!r}"[:150]] += 1
        else:
            done[play.__name__] += 1
        await asyncio.sleep(dice.random() * 0.5)


def mail_process(supervisor):
    """The pid of the mail process."""
    children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
    return next(pid for pid in children if b"mail" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[3:4])


def sample(pid):
    """MiB resident, descriptors, threads."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(status["VmRSS"].split()[0]) / 1024, len(list(Path(f"/proc/{pid}/fd").iterdir())), int(status["Threads"])


async def watch(pid, begun, ends, samples, done, failed):
    last = 0
    while time.monotonic() < ends:
        samples.append((time.monotonic() - begun, *sample(pid)))
        if len(samples) % 12 == 1:
            minute = (time.monotonic() - begun) / 60
            rss, descriptors, threads = samples[-1][1:]
            total = sum(done.values())
            print(
                f"{minute:5.1f} min  {rss:6.1f} MiB  {descriptors:4d} fds  {threads:3d} threads  "
                f"{total - last:5d} rounds  {sum(failed.values())} failed",
                flush=True,
            )
            last = total
        await asyncio.sleep(5)


async def soak(server, minutes, clients):
    pid = mail_process(server.process.pid)
    begun = time.monotonic()
    ends = begun + minutes * 60
    done, failed, samples = Counter(), Counter(), []
    people = [client(server, number, ends, done, failed) for number in range(clients)]
    await asyncio.gather(watch(pid, begun, ends, samples, done, failed), *people)
    await asyncio.sleep(3)
    fifths = [[one for one in samples if at <= one[0] / (minutes * 60) < at + 0.2] for at in (0.2, 0.4, 0.6, 0.8)]
    print("rounds:", dict(done))
    print("failed:", dict(failed) or "none")
    print("answers that messages are gone:", Line.gone)
    for name, column in (("RSS, MiB", 1), ("descriptors", 2), ("threads", 3)):
        medians = [statistics.median(one[column] for one in fifth) for fifth in fifths if fifth]
        peak = max(one[column] for one in samples)
        print(f"{name}: medians of the fifths from the second on {[round(one, 1) for one in medians]}, peak {peak:.0f}")
    rss, descriptors, threads = sample(pid)
    print(f"after all have left: {rss:.1f} MiB, {descriptors} descriptors, {threads} threads")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--clients", type=int, default=50)
    arguments = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="a3mailer-soak-"))
    server = MailServer(directory, {"A3MAILER_PLAINTEXT_AUTH": "loopback"})
    try:
        server.prepare(PEOPLE, PASSWORD)
        server.start(180)
        server.raise_limits()
        asyncio.run(soak(server, arguments.minutes, arguments.clients))
        errors = subprocess.run(
            ["grep", "-c", '"level": *"error"', server.log], capture_output=True, text=True, check=False
        ).stdout.strip()
        print("errors in the server's log:", errors)
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
