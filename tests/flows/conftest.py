"""Running servers for the tests of this folder.

``server``, ``postgres_server`` and ``any_server`` are shared by many tests, each of which has mailboxes of its own
(``person``). What disturbs a server takes ``rough_server``, which has to be well again after each test, or starts one.
Tests of one server stay in one worker process, so that no server is started twice.
"""

import pytest
from internet import Internet
from running import quick_retries, running

from fakedns import FakeDns
from peers.postfix import Postfix
from postgres import BINARIES, Postgres

# Fixture and the group of tests that stay together for it. PostgreSQL itself is started once in a worker, too.
_GROUPS = {
    "server": "server",
    "postgres_server": "postgres_server",
    "postgres": "postgres_server",
    "rough_server": "rough_server",
    "internet": "internet",
}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Keep the tests of a shared server in one worker."""
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        used = [item.callspec.params["any_server"]] if "any_server" in fixtures else fixtures
        groups = [group for name, group in _GROUPS.items() if name in used]
        if groups:
            item.add_marker(pytest.mark.xdist_group(groups[0]))


def pytest_runtest_setup(item):
    """Leave out what needs PostgreSQL where it is not installed (in CI it is, and a skip is a failure)."""
    if item.get_closest_marker("postgresql") and not BINARIES.exists():
        pytest.skip("Debian's postgresql-15 is not installed")


@pytest.fixture(scope="session")
def fake_dns():
    """DNS for the servers of this worker: knows nothing but what tests put there."""
    with FakeDns() as dns:
        yield dns


@pytest.fixture(scope="session")
def server(fake_dns):
    """A server on SQLite."""
    # The delay is for others than those on this machine: for those who come through the balancer.
    environment = {"A3MAILER_MAIL_PROXIES": "127.0.9.25", "A3MAILER_GREET_DELAY": "1", **quick_retries(fake_dns)}
    with running("sqlite", environment) as one:
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
def postgres_server(postgres, fake_dns):
    """A server on PostgreSQL."""
    environment = {"DATABASE_URL": postgres.create("flows"), **quick_retries(fake_dns)}
    with running("postgresql", environment) as one:
        yield one


@pytest.fixture(scope="session")
def rough_server():
    """A server on SQLite whose DNS is a closed port, for tests that disturb it. Each leaves it running and well."""
    with FakeDns() as gone:
        closed = gone.address
    environment = {
        "A3MAILER_DNS_SERVERS": closed,
        "A3MAILER_RETRY_FIRST": "1",
        "A3MAILER_RETRY_LONGEST": "2",
    }
    with running("rough", environment) as one:
        yield one


@pytest.fixture(params=["server", pytest.param("postgres_server", marks=pytest.mark.postgresql)])
def any_server(request):
    """A server on each of the two databases in turn."""
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="session")
def internet():
    """A server that lives in an internet of the tests' own."""
    with Internet() as one:
        yield one


@pytest.fixture
def person(request):
    """Somebody with an empty mailbox on the server that the test uses."""
    return next(_the_server(request).unused)


@pytest.fixture
def friend(request):
    """Somebody else with an empty mailbox on the same server."""
    return next(_the_server(request).unused)


def _the_server(request):
    names = ("any_server", *_GROUPS)
    one = request.getfixturevalue(next(name for name in names if name in request.fixturenames))
    return getattr(one, "server", one)


@pytest.fixture(scope="session")
def postfix(server):
    """A real Postfix that takes mail for postfix.test and hands example.test to ``server``, and the way back to it.

    What is for lmtp.test it hands to the server by LMTP.
    """
    relay = {server.domain: server.ports["smtp"], "lmtp.test": f"lmtp:{server.ports['lmtp']}"}
    with Postfix(domain="postfix.test", relay=relay) as one:
        server.manage("addroute", "postfix.test", f"127.0.0.1:{one.port}")
        yield one
