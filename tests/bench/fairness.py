#!/usr/bin/env python3
"""How long does one client's heavy command delay another's NOOP? The aim is 100 ms at most.

    fairness.py [--messages 10000] [--rounds 3]

Starts a server of its own on free ports, with its data in a temporary directory, and fills one mailbox. Then it runs
each heavy command, over and over, while somebody else says NOOP every 5 ms; it prints the longest and the 99th
percentile of what those took. The clients run in one process: what the heavy answer costs this program to read is in
the figures, too, so it reads without looking.
"""

import argparse
import asyncio
import random
import shutil
import tempfile
import time
from pathlib import Path

from soak import PASSWORD, Line, message  # puts tests/ on the path

from server import MailServer

EVERY = 0.005  # seconds between one answer and the next NOOP
PIECE = 2**16  # octets of a literal that are sent at once: more would hold up this program
LEAST = 2  # seconds that a command is repeated
HEAVY = (
    b"FETCH 1:* (UID FLAGS ENVELOPE BODYSTRUCTURE)",
    b"FETCH 1:* (BODY.PEEK[HEADER.FIELDS (FROM TO SUBJECT DATE)])",
    b"FETCH 1:2000 BODY.PEEK[]",
    b"SEARCH SUBJECT soak",
    b"SEARCH BODY nowhere",
    b"SEARCH TEXT message",
    b"SORT (SUBJECT) UTF-8 ALL",
    b"SORT (REVERSE DATE) UTF-8 ALL",
    b"THREAD REFERENCES UTF-8 ALL",
    b"STORE 1:* +FLAGS (\\Seen)",
    b"STORE 1:* -FLAGS (\\Seen)",
    b"COPY 1:2000 Trash",
)


async def logged_in(server, person):
    line = await Line.open(server.ports["imap"])
    await line.imap(b'LOGIN "%s" %s' % (person.encode(), PASSWORD.encode()))
    await line.imap(b"SELECT INBOX")
    return line


async def run(line, command, literal=b""):
    """Say a command and drop the answer, but for how it ended."""
    line.writer.write(b"heavy " + command + b"\r\n")
    for at in range(0, len(literal), PIECE):
        line.writer.write(literal[at : at + PIECE])
        await line.writer.drain()
    if literal:
        line.writer.write(b"\r\n")
    tail = b"\r\n"
    while True:
        tail = tail[-200:] + await asyncio.wait_for(line.reader.read(2**18), 120)
        at = tail.rfind(b"\r\nheavy ")
        if at >= 0 and tail.endswith(b"\r\n"):
            if not tail[at:].startswith(b"\r\nheavy OK"):
                raise RuntimeError(f"{command[:40]!r}: {tail[at:]!r}")
            return


async def noops(line, done, times):
    """Say NOOP until told to end; adds to ``times`` how many seconds each took."""
    while not done.is_set():
        begun = time.monotonic()
        await line.imap(b"NOOP")
        times.append(time.monotonic() - begun)
        await asyncio.sleep(EVERY)


async def beside(server, name, rounds, play):
    """Play something heavy a few times beside somebody's NOOPs, and print what became of those."""
    other = await logged_in(server, server.people[1])
    done, times = asyncio.Event(), []
    asking = asyncio.create_task(noops(other, done, times))
    began, played = time.monotonic(), 0
    while played < rounds or (rounds > 1 and time.monotonic() - began < LEAST):
        await play()
        played += 1
    took = (time.monotonic() - began) / played
    done.set()
    await asking
    other.close()
    times.sort()
    longest, nearly = times[-1] * 1000, times[int(len(times) * 0.99)] * 1000
    verdict = "" if longest <= 100 else "  over 100 ms"
    print(f"{name:62s} {took * 1000:8.0f} ms   NOOP max {longest:6.1f}  p99 {nearly:6.1f} ms{verdict}", flush=True)


async def measure(server, count, rounds):
    dice = random.Random(1)
    heavy = await logged_in(server, server.people[0])
    for at in range(0, count, 100):
        texts = [message(dice) for _ in range(min(100, count - at))]
        parts = b"".join(b" {%d+}\r\n%s" % (len(text), text) for text in texts)
        await run(heavy, b"APPEND INBOX" + parts)
    heavy.close()
    heavy = await logged_in(server, server.people[0])
    for command in HEAVY:
        await beside(server, command.decode(), rounds, lambda command=command: run(heavy, command))
    large = b"Subject: large\r\n\r\n" + b"0123456789abcdef0123456789abcdef0123456789abcdef\r\n" * 400_000
    upload = b"APPEND Trash {%d+}" % len(large)
    await beside(server, f"APPEND of {len(large) >> 20} MiB", rounds, lambda: run(heavy, upload, large))
    await run(heavy, b"STORE 1:* +FLAGS.SILENT (\\Deleted)")
    await beside(server, f"EXPUNGE of {count}", 1, lambda: run(heavy, b"EXPUNGE"))
    heavy.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="a3mailer-fairness-"))
    server = MailServer(directory, {"A3MAILER_PLAINTEXT_AUTH": "loopback"})
    try:
        server.prepare(2, PASSWORD)
        server.start(180)
        asyncio.run(measure(server, arguments.messages, arguments.rounds))
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
