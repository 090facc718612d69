"""What all tests share: caches that start empty, and a few records to begin with."""

import pytest

from a3mailer_site.generations import announce_all, rely_on_poller


@pytest.fixture(autouse=True)
def _empty_caches():
    """Start every test without what another one cached: each has a database of its own."""
    rely_on_poller(False)
    announce_all()
    yield
    rely_on_poller(False)
    announce_all()


@pytest.fixture
def domain(db):
    from domains.models import Domain

    return Domain.objects.create(name="example.com")


@pytest.fixture
def make_user(domain):
    """Make users by address; the password is ``correct horse battery``, hashed once for all."""
    from django.contrib.auth.hashers import make_password

    from accounts.models import User

    hashed = _hash_once(make_password)

    def make(address, username=None, **fields):
        user = User(username=username or address, email=address, password=hashed, **fields)
        user.full_clean(exclude=["password"])
        user.save()
        return user

    return make


PASSWORD = "correct horse battery"
_hashes = []


def _hash_once(make_password):
    if not _hashes:
        _hashes.append(make_password(PASSWORD))
    return _hashes[0]
