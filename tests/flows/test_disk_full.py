"""A full disk: new mail is put off, what is there can be read, and it goes on by itself when there is room again."""

import contextlib
import os
import shutil
import sqlite3
import subprocess
import tempfile
import threading
from pathlib import Path

import pytest
from running import deliver, running, without_trace

from wire import Smtp, until

pytestmark = [pytest.mark.flow, pytest.mark.xdist_group("full_server")]

MIB = 1024 * 1024
SIZE = 96 * MIB
FLOOR = 16 * MIB
SMALL = b"Subject: small\r\n\r\n" + b"s" * 70 + b"\r\n"
LARGE = b"Subject: large\r\n\r\n" + (b"l" * 70 + b"\r\n") * 5000


@contextlib.contextmanager
def small_disk(path):
    """A file system of its own, in memory."""
    path.mkdir(mode=0o700)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=0700", "tmpfs", path], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount a file system: {mounted.stderr.decode()}")
    try:
        yield path
    finally:
        subprocess.run(["umount", path], check=True)


class Filler:
    """A file that takes up room."""

    def __init__(self, directory):
        self.path = directory / "filler"

    def leave(self, free):
        """Grow until only so many bytes are free."""
        with self.path.open("ab") as file:
            while (left := os.statvfs(self.path).f_bavail * os.statvfs(self.path).f_frsize - free) > 0:
                # The server writes as well. An allocation that fails takes nothing at all: measure again, and retry.
                with contextlib.suppress(OSError):
                    os.posix_fallocate(file.fileno(), file.seek(0, 2), left)

    @contextlib.contextmanager
    def leaving_none(self):
        """Take what room there is, and what the server gives back meanwhile: its worker deletes files."""
        done = threading.Event()

        def fill():
            while not done.wait(0.005):
                self.leave(0)

        self.leave(0)
        filling = threading.Thread(target=fill)
        filling.start()
        try:
            yield
        finally:
            done.set()
            filling.join()

    def go(self):
        """Give all of it back."""
        self.path.unlink(missing_ok=True)


@contextlib.contextmanager
def without_spare_room(server):
    """Let the write-ahead log begin anew and only grow: what is checkpointed in it is room that no disk shows."""
    with contextlib.closing(sqlite3.connect(server.data / "a3mailer.sqlite3", isolation_level=None)) as database:
        until(lambda: not database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0])
        # As long as somebody reads what stands here now, nothing is checkpointed.
        database.execute("BEGIN")
        database.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
        with server.filler.leaving_none():
            yield


@pytest.fixture(scope="module")
def full_server():
    directory = Path(tempfile.mkdtemp(prefix="a3mailer-full-"))
    environment = {"A3MAILER_DISK_FLOOR": str(FLOOR), "A3MAILER_MESSAGE_LIMIT": str(8 * MIB)}
    try:
        with small_disk(directory / "data") as disk, running("full", environment, 4, directory) as server:
            server.filler = Filler(disk)
            yield server
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def room(full_server):
    """See that there is room before and after a test."""
    full_server.filler.go()
    yield
    full_server.filler.go()


def test_below_the_floor_mail_is_put_off_at_mail_from(full_server, room):
    person = full_server.people[0]
    assert deliver(full_server, person, SMALL).startswith(b"250")
    full_server.filler.leave(FLOOR - MIB)

    def refused():
        with Smtp(full_server.ports["smtp"]) as smtp:
            reply = smtp.say(b"MAIL FROM:<friend@example.net>")
            return not reply.startswith(b"250") and reply

    assert until(refused).startswith(b"452 4.3.1")
    full_server.filler.go()
    until(lambda: not refused())
    assert deliver(full_server, person, SMALL).startswith(b"250")


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
def test_without_any_room_the_end_of_data_is_put_off_and_the_rest_goes_on(full_server, room, content):
    ports = full_server.ports
    person = full_server.people[1 if content is SMALL else 2]
    assert deliver(full_server, person, LARGE).startswith(b"250")
    with person.submission() as submitting, Smtp(ports["smtp"]) as data, Smtp(ports["smtp"]) as chunks:
        # All of them passed MAIL while there was room.
        assert data.envelope("friend@example.net", person.address).startswith(b"250")
        assert chunks.envelope("friend@example.net", person.address).startswith(b"250")
        assert submitting.envelope(person.address, person.address).startswith(b"250")
        with without_spare_room(full_server):
            reply = data.data(content)
            assert reply.startswith(b"452 4.3.1"), reply
            assert chunks.chunk(content).startswith(b"452 4.3.1")
            own = b"From: " + person.address.encode() + b"\r\n" + content
            assert submitting.data(own).startswith(b"452 4.3.1")
            with person.imap() as imap:
                # RFC 5530 and RFC 9208 leave us these words for it.
                answer = imap.append(b"INBOX", content)
                assert answer.startswith((b"NO [OVERQUOTA]", b"NO [LIMIT]", b"NO [UNAVAILABLE]")), answer
                assert without_trace(imap.bodies()[1]) == LARGE
            with person.pop3() as pop3:
                assert without_trace(pop3.retrieve(1)) == LARGE
        full_server.filler.go()
        until(lambda: deliver(full_server, person, content).startswith(b"250"))
        # The connections of before are as good as new ones.
        assert data.envelope("friend@example.net", person.address).startswith(b"250")
        assert data.data(content).startswith(b"250")
    assert len(person.mail()) == 3
    assert ", 0 wrong" in full_server.manage("checkquota", "--dry-run")
