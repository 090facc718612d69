"""The Python client is tested from its source; it is installed nowhere. One running server for all that need one."""

import sys

import pytest
from operations import SDK

from server import MailServer

sys.path.insert(0, str(SDK / "python" / "src"))

import a3mailer_sdk as sdk


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Keep the tests of the server in one worker."""
    for item in items:
        if "mail_server" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("sdk_server"))


@pytest.fixture(scope="session")
def mail_server(tmp_path_factory):
    """A server whose DNS is a closed port, with 120 people."""
    one = MailServer(tmp_path_factory.mktemp("sdk"), {"A3MAILER_DNS_SERVERS": "127.0.0.1:9"})
    try:
        one.prepare(120, "correct horse battery")
        one.start()
        one.url = f"http://127.0.0.1:{one.ports['http']}"
        one.key = one.credentials["api_key"]
        everything = {"max_requests": 1_000_000, "window_seconds": 60}
        raised = {"global_": everything, "per_ip": everything, "per_user": everything}
        with sdk.A3MailerClient(one.url, one.key) as client:
            client.security.set_rate_limits(**raised)
        yield one
    finally:
        one.stop()
