"""What all tests share: which tests run, that none is left out silently where all must run, and a few records."""

import os
import shutil
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import translation

# Of every user that ``make_user`` makes; hashed once for all tests of a process.
PASSWORD = "correct horse battery"
_hashes = []

sys.path.insert(0, str(Path(__file__).parent))


def pytest_addoption(parser):
    parser.addoption("--run-long", action="store_true", help="also run tests marked long")
    parser.addoption("--on-postgresql", action="store_true", help="run everything on PostgreSQL instead of SQLite")


def pytest_configure(config):
    """Give all processes of this run one directory for what is made once (``server.py``)."""
    if not hasattr(config, "workerinput"):
        os.environ["TESTS_OF_THIS_RUN"] = tempfile.mkdtemp(prefix="a3mailer-run-")


def pytest_unconfigure(config):
    """Remove it."""
    if not hasattr(config, "workerinput"):
        shutil.rmtree(os.environ.pop("TESTS_OF_THIS_RUN"), ignore_errors=True)


def pytest_collection_modifyitems(config, items):
    """Take out what is not for this run. Deselected is not skipped: a skip is a test that should have run."""

    def is_out(item):
        return (item.get_closest_marker("long") and not config.getoption("--run-long")) or (
            item.get_closest_marker("sqlite") and config.getoption("--on-postgresql")
        )

    config.hook.pytest_deselected(items=[item for item in items if is_out(item)])
    items[:] = [item for item in items if not is_out(item)]


def pytest_sessionfinish(session, exitstatus):
    """In CI a skipped test is a failure: everything that tests need can be installed there."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or not os.environ.get("CI"):
        return
    if reporter.stats.get("skipped") and exitstatus == 0:
        reporter.write_line("Tests were skipped, and CI must run all of them.", red=True)
        session.exitstatus = 1


@pytest.fixture(autouse=True)
def no_language_of_another_test():
    """Begin in English: a request in another language leaves that behind in its thread."""
    translation.deactivate()


@pytest.fixture
def django_assert_max_num_queries():
    """Count queries, but for looks at a generation: they come when a second is over, whatever is asked."""

    @contextmanager
    def at_most(number):
        with CaptureQueriesContext(connection) as context:
            yield
        asked = [query["sql"] for query in context if not query["sql"].startswith(_GENERATION_LOOK)]
        assert len(asked) <= number, asked

    return at_most


_GENERATION_LOOK = 'SELECT "site_floor_generation"."value" AS "value" FROM'


@pytest.fixture(autouse=True)
def _empty_caches():
    """Start every test without what another one cached: each has a database of its own."""
    from a3mailer_site.generations import announce_all, rely_on_poller

    rely_on_poller(False)
    announce_all()
    _forget_callers()
    yield
    rely_on_poller(False)
    announce_all()


def _forget_callers():
    """Forget who has called how often, and who was blocked: rate limits must not add up over tests."""
    from security import blocklist, budgets, ratelimits, tallies

    ratelimits.forget()
    budgets.forget()
    tallies.forget()
    blocklist.guard.use(blocklist.Blocklist())
    blocklist.guard.take_hits()
    # Where an earlier test had no database, the list would not be read again for half a second.
    blocklist._looks.not_before = 0.0


@pytest.fixture
def domain(db):
    """The domain ``example.com``."""
    from domains.models import Domain

    return Domain.objects.create(name="example.com")


@pytest.fixture
def make_user(domain):
    """Make users by address, with ``PASSWORD``."""
    from django.contrib.auth.hashers import make_password

    from accounts.models import User

    if not _hashes:
        _hashes.append(make_password(PASSWORD))

    def make(address, username=None, **fields):
        user = User(username=username or address, email=address, password=_hashes[0], **fields)
        user.full_clean(exclude=["password"])
        user.save()
        return user

    return make
