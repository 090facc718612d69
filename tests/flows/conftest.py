"""A running server for the tests of this folder; each worker process has its own."""

import contextlib
import shutil

import pytest
from server import MailServer

PASSWORD = "correct horse battery"


@contextlib.contextmanager
def running(tmp_path_factory, name, environment=None):
    """A prepared and started server; its log is shown when a test fails to start it."""
    directory = tmp_path_factory.mktemp(name)
    server = MailServer(directory, environment)
    try:
        server.prepare()
        for user in ("alice", "bob"):
            server.adduser(f"{user}@example.test", PASSWORD)
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """A server on SQLite with alice@example.test and bob@example.test."""
    with running(tmp_path_factory, "server") as one:
        yield one
