"""Clients of the API with keys of every power."""

import pytest
from rest_framework.test import APIClient


@pytest.fixture
def client_with(db):
    """``client_with("read")`` is a client with such a key; ``client_with()`` has none."""
    from accounts.models import ApiKey
    from security import blocklist, ratelimits

    # What every process reads once and keeps: a test counts what a call costs, not what the first one does.
    blocklist.look()
    ratelimits.limits()

    def make(*permissions, owner=None, **defaults):
        client = APIClient(**defaults)
        if permissions:
            _key, secret = ApiKey.issue("test", list(permissions), owner=owner)
            client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
        return client

    return make


@pytest.fixture
def admin_api(client_with):
    return client_with("admin")


@pytest.fixture
def write_api(client_with):
    return client_with("read", "write")


@pytest.fixture
def read_api(client_with):
    return client_with("read")


@pytest.fixture
def unlimited(monkeypatch):
    """For tests that call more often than the limits allow; ``test_rate_limits.py`` is about the limits."""
    from security import ratelimits
    from security.throttles import CostlyThrottle

    most = ratelimits.Limit(ratelimits.MOST_REQUESTS, 60)
    monkeypatch.setattr(ratelimits, "DEFAULTS", ratelimits.Limits(most, most, most))
    monkeypatch.setattr(CostlyThrottle, "allow_request", lambda *_: True)
