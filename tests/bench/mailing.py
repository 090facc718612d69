#!/usr/bin/env python3
"""Does a mailing delay a person's mail?

    mailing.py [--recipients 50000] [--seconds 60] [--slow 3]

Starts a server of its own. One user hands in a mailing to one slow destination, which takes its time over each message;
another one a single message every half second, by turns to that destination and to one that is quick. Prints how long
these took to arrive, before the mailing and with it in the queue.
"""

import argparse
import contextlib
import shutil
import socketserver
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[n]) for n in (1, 2)]

import psutil  # noqa: E402

from server import MailServer  # noqa: E402 - of tests/
from wire import Smtp  # noqa: E402

PASSWORD = "correct horse battery"
PORTION = 1000  # recipients of one message


class _Far(socketserver.StreamRequestHandler):
    """Takes mail after a while, and notes when each message was there by its subject."""

    def handle(self):
        far = self.server.far
        with contextlib.suppress(OSError):
            self.wfile.write(b"220 far ESMTP\r\n")
            while line := self.rfile.readline():
                verb = line[:4].upper()
                if verb == b"EHLO":
                    self.wfile.write(b"250-far\r\n250 PIPELINING\r\n")
                elif verb == b"DATA":
                    self.wfile.write(b"354 go on\r\n")
                    subject = b""
                    while (line := self.rfile.readline()) not in {b".\r\n", b""}:
                        if line.startswith(b"Subject: "):
                            subject = line[9:].strip()
                    time.sleep(far.seconds)
                    far.arrived.append((subject.decode(), time.monotonic()))
                    self.wfile.write(b"250 2.0.0 taken\r\n")
                elif verb == b"QUIT":
                    self.wfile.write(b"221 2.0.0 bye\r\n")
                    return
                else:
                    self.wfile.write(b"250 2.0.0 ok\r\n")


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 200


class Far:
    def __init__(self, seconds=0.0):
        self.seconds = seconds
        self.arrived = []
        self._server = _Server(("127.0.0.1", 0), _Far)
        self._server.far = self
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True).start()


def opened(server, person):
    """A submission session that is logged in."""
    smtp = Smtp(server.ports["submissions"], tls=True)
    answer = smtp.login(person, PASSWORD)
    assert answer.startswith(b"235"), answer
    return smtp


def fair(server, recipients, seconds, slowness):
    slow, quick = Far(slowness), Far()
    server.manage("addroute", "slow.test", f"127.0.0.1:{slow.port}", "--tls", "never")
    server.manage("addroute", "quick.test", f"127.0.0.1:{quick.port}", "--tls", "never")
    shop, person = server.people[:2]
    print_times("before the mailing", single_mail(server, person, slow, quick, 15, "a"))
    began = time.monotonic()
    with opened(server, shop) as smtp:
        for start in range(0, recipients, PORTION):
            smtp.envelope(shop, *(f"r{start + n}@slow.test" for n in range(min(PORTION, recipients - start))))
            smtp.data(f"From: <{shop}>\r\nSubject: mailing\r\n\r\nbuy\r\n".encode())
    print(f"a mailing of {recipients} recipients was handed in within {time.monotonic() - began:.1f} s")
    print_times("with the mailing in the queue", single_mail(server, person, slow, quick, seconds, "b"))
    print(f"of the mailing {sum(1 for subject, _ in slow.arrived if subject == 'mailing')} transactions had arrived")
    for process in psutil.Process(server.process.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            print(f"  {' '.join(process.cmdline()[-2:])[:60]}: {process.memory_info().rss >> 20} MiB")


def single_mail(server, person, slow, quick, seconds, mark):
    sent = {}
    with opened(server, person) as smtp:
        end = time.monotonic() + seconds
        number = 0
        while time.monotonic() < end:
            number += 1
            where = "slow" if number % 2 else "quick"
            subject = f"{mark}-{where}-{number}"
            smtp.envelope(person, f"friend{number}@{where}.test")
            smtp.data(f"From: <{person}>\r\nSubject: {subject}\r\n\r\nhello\r\n".encode())
            sent[subject] = time.monotonic()
            time.sleep(0.5)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        there = {subject: at for subject, at in [*slow.arrived, *quick.arrived] if subject in sent}
        if len(there) == len(sent):
            break
        time.sleep(0.2)
    if len(there) < len(sent):
        print(f"  {len(sent) - len(there)} of {len(sent)} had not arrived")
    return {
        where: sorted(there[subject] - sent[subject] for subject in there if f"-{where}-" in subject)
        for where in ("slow", "quick")
    }


def print_times(what, times):
    for where, found in times.items():
        last = found[min(len(found) - 1, int(len(found) * 0.99))]
        print(
            f"{what}, single mail to the {where} destination: median {statistics.median(found):.2f} s, p99 {last:.2f} s"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipients", type=int, default=50_000)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--slow", type=float, default=3.0, help="seconds that the slow destination takes for a message")
    arguments = parser.parse_args()
    directory = tempfile.mkdtemp(prefix="a3mailer-mailing-")
    server = MailServer(directory).prepare(people=2, password=PASSWORD)
    server.start()
    try:
        fair(server, arguments.recipients, arguments.seconds, arguments.slow)
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
