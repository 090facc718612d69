#!/usr/bin/env python3
"""What does an idle IMAP connection cost in memory, in plain text and over TLS?

    idle.py [--connections 2000]

Starts a server of its own on free ports, with its data in a temporary directory. For each kind the server starts
afresh, 50 connections come and stay first (code and caches are then there), and then the others: each has logged in,
selected a mailbox of 50 messages and said IDLE. The figure is the growth of the mail process's resident memory, divided
by the number of those others. What the kernel keeps for the sockets is not in it.
"""

import argparse
import asyncio
import random
import resource
import shutil
import ssl
import tempfile
import time
from pathlib import Path

from soak import PASSWORD, Line, mail_process, message, sample  # puts tests/ on the path

from server import MailServer

PEOPLE = 100
FIRST = 50
SOURCES = 40  # addresses of loopback that the connections come from


async def idling(server, number, tls):
    """A connection that has logged in, has INBOX open and waits."""
    port = server.ports["imaps" if tls else "imap"]
    source = (f"127.0.1.{number % SOURCES + 1}", 0)
    context = ssl.create_default_context(cafile=server.certificate()) if tls else None
    if context:
        context.check_hostname = False
    line = Line(*await asyncio.open_connection("127.0.0.1", port, ssl=context, local_addr=source))
    await line.read()
    await line.imap(b'LOGIN "%s" %s' % (server.people[number % PEOPLE].encode(), PASSWORD.encode()))
    await line.imap(b"SELECT INBOX")
    line.writer.write(b"i IDLE\r\n")
    if not (answer := await line.read()).startswith(b"+"):
        raise RuntimeError(f"IDLE: {answer!r}")
    return line


async def fill(server):
    """Fifty messages for everybody."""
    dice = random.Random(1)
    for person in server.people:
        line = await Line.open(server.ports["imap"])
        await line.imap(b'LOGIN "%s" %s' % (person.encode(), PASSWORD.encode()))
        for _ in range(50):
            text = message(dice)
            await line.imap(b"APPEND INBOX {%d+}" % len(text), text)
        await line.imap(b"LOGOUT")
        line.close()


async def measure(server, connections, tls):
    """KiB of resident memory a connection, and what they were measured from and to, in MiB."""
    pid = mail_process(server.process.pid)
    lines = [await idling(server, number, tls) for number in range(FIRST)]
    await asyncio.sleep(3)
    before = sample(pid)[0]
    begun = time.monotonic()
    for at in range(FIRST, FIRST + connections, 20):
        # At most 20 at once: what a login needs for a moment is not what idling costs.
        lines += await asyncio.gather(*[idling(server, number, tls) for number in range(at, at + 20)])
    took = time.monotonic() - begun
    await asyncio.sleep(5)
    after, descriptors, _ = sample(pid)
    if descriptors < connections:
        raise RuntimeError(f"only {descriptors} descriptors are open for {connections} connections")
    for line in lines:
        line.close()
    return (after - before) * 1024 / connections, before, after, took


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--connections", type=int, default=2000, help="a multiple of 20")
    arguments = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    directory = Path(tempfile.mkdtemp(prefix="a3mailer-idle-"))
    server = MailServer(
        directory,
        {"A3MAILER_PLAINTEXT_AUTH": "loopback", "A3MAILER_CONNECTION_LIMIT": str(arguments.connections + 500)},
    )
    try:
        server.prepare(PEOPLE, PASSWORD)
        server.start(180)
        asyncio.run(fill(server))
        for name, tls in (("plain text", False), ("TLS", True)):
            server.stop()
            server.start(180)
            each, before, after, took = asyncio.run(measure(server, arguments.connections, tls))
            print(
                f"{name}: {each:.1f} KiB a connection ({before:.1f} to {after:.1f} MiB for {arguments.connections}"
                f" that came in {took:.0f} s)",
                flush=True,
            )
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
