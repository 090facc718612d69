"""What all tests share: which tests run, and that none is left out silently where all must run."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


def pytest_addoption(parser):
    parser.addoption("--run-long", action="store_true", help="also run tests marked long")
    parser.addoption("--on-postgresql", action="store_true", help="run everything on PostgreSQL instead of SQLite")


def pytest_collection_modifyitems(config, items):
    """Take out what is not for this run. Deselected is not skipped: a skip is a test that should have run."""
    if config.getoption("--run-long") or "long" in (config.getoption("-m") or ""):
        return
    kept = [item for item in items if not item.get_closest_marker("long")]
    config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("long")])
    items[:] = kept


def pytest_sessionfinish(session, exitstatus):
    """In CI a skipped test is a failure: everything that tests need can be installed there."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or not os.environ.get("CI"):
        return
    if reporter.stats.get("skipped") and exitstatus == 0:
        reporter.write_line("Tests were skipped, and CI must run all of them.", red=True)
        session.exitstatus = 1
