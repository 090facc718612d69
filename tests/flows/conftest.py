"""A running server for the tests of this folder; each worker process has its own."""

import contextlib
import shutil

import pytest
from postgres import Postgres
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


@pytest.fixture(scope="session")
def postgres():
    """A PostgreSQL for the tests of this worker."""
    one = Postgres()
    try:
        yield one.start()
    finally:
        one.remove()


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory, postgres):
    """A server on PostgreSQL with the same two people."""
    with running(tmp_path_factory, "postgres-server", {"DATABASE_URL": postgres.create("flows")}) as one:
        yield one


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def any_server(request):
    """A server on each of the two databases in turn."""
    return request.getfixturevalue("server" if request.param == "sqlite" else "postgres_server")
