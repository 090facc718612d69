#!/usr/bin/env python3
"""A PostgreSQL of the tests' own, on a free port, without a password, gone afterwards.

As a program it runs a command with ``DATABASE_URL`` set: ``tests/postgres.py pytest …``.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BINARIES = Path("/usr/lib/postgresql/15/bin")


class Postgres:
    """``start()``, ``url``, ``stop()``; ``stop`` and ``start`` again keep the data."""

    def __init__(self):
        self.directory = Path(tempfile.mkdtemp(prefix="a3mailer-pg-"))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.process = None
        # PostgreSQL refuses to run as root.
        self.user = "postgres" if os.geteuid() == 0 else None
        if self.user:
            shutil.chown(self.directory, self.user)
        self._run("initdb", "-D", self.data, "-U", "a3mailer", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8")

    @property
    def data(self):
        """Where it keeps its files."""
        return str(self.directory / "data")

    def url(self, database="postgres"):
        """What ``DATABASE_URL`` takes."""
        return f"postgres://a3mailer@127.0.0.1:{self.port}/{database}"

    def _run(self, program, *arguments):
        command = [BINARIES / program, *arguments]
        subprocess.run(command, user=self.user, cwd="/", check=True, stdout=subprocess.DEVNULL, timeout=120)

    def create(self, database):
        """Make an empty database; returns its URL."""
        self._run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "a3mailer", database)
        return self.url(database)

    def start(self):
        """Start, and wait until it answers."""
        options = ["-h", "127.0.0.1", "-p", str(self.port), "-k", "", "-c", "max_connections=200"]
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [BINARIES / "postgres", "-D", self.data, *options], user=self.user, cwd="/", stdout=log, stderr=log
            )
        end = time.monotonic() + 60
        while subprocess.run(
            [BINARIES / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)], check=False
        ).returncode:
            if time.monotonic() > end or self.process.poll() is not None:
                raise RuntimeError((self.directory / "log").read_text())
            time.sleep(0.05)
        return self

    def stop(self):
        """End it at once; clients are cut off (PostgreSQL's fast shutdown)."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(60)

    def remove(self):
        """End it and forget everything."""
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)


if __name__ == "__main__":
    postgres = Postgres()
    try:
        environment = {**os.environ, "DATABASE_URL": postgres.start().create("a3mailer")}
        sys.exit(subprocess.run(sys.argv[1:], env=environment, check=False).returncode)
    finally:
        postgres.remove()
