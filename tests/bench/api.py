#!/usr/bin/env python3
"""Requests a second of one GET through the whole stack: a real server on loopback, wrk with kept connections, a key.

``tests/bench/api.py --users 100000 --path '/api/v1/users?limit=50'``; needs Debian's wrk. ``--profile F`` adds py-spy.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS), str(TESTS.parent)]

from server import MailServer  # noqa: E402

SEED = """
import sys
sys.path.insert(0, given[0])
from seeding import seed
seed(users=given[1], domains=given[2])
print(1)
"""


def cpu_seconds(pid):
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main():
    """Start, seed, warm up, measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--domains", type=int, default=50)
    parser.add_argument("--path", default="/api/v1/users?limit=50")
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--profile")
    given = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="a3mailer-bench-"))
    server = MailServer(directory)
    try:
        server.prepare()
        server.python(SEED, [str(TESTS), given.users, given.domains])
        server.start()
        server.raise_limits()
        url = f"http://127.0.0.1:{server.ports['http']}{given.path}"
        header = f"Authorization: Bearer {server.credentials['api_key']}"
        for number in range(given.rounds + 1):
            pid = server.pid("web")
            before = cpu_seconds(pid)
            command = ["wrk", "-t1", f"-c{given.connections}", "--latency", "-H", header, url]
            seconds = given.seconds if number else 3
            spy = None
            if given.profile and number == 1:
                spy = subprocess.Popen(
                    [
                        str(TESTS.parent / ".venv/bin/py-spy"),
                        "record",
                        "-p",
                        str(pid),
                        "-d",
                        str(seconds),
                        "-r",
                        "200",
                        "-f",
                        "raw",
                        "-o",
                        given.profile,
                    ]
                )
            said = subprocess.run([*command, f"-d{seconds}s"], capture_output=True, text=True, check=True).stdout
            if spy:
                spy.wait()
            if number:
                rate = float(re.search(r"Requests/sec: +([\d.]+)", said)[1])
                total = int(re.search(r"(\d+) requests in", said)[1])
                bad = re.search(r"Non-2xx[^\n]*", said)
                tail = re.search(r"99% +(\S+)", said)[1]
                spent = 1000 * (cpu_seconds(pid) - before) / total
                print(
                    f"{rate:7.0f} requests/s, p99 {tail}, {spent:.2f} ms CPU each {bad[0] if bad else ''}", flush=True
                )
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
