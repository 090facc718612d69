"""A user, an INBOX, and a process that remembers nothing of the test before."""

import pytest

from mailcore.store import mailboxes, threading_mail
from mailcore.store.columns import columns
from mailcore.store.reading import being_read
from mailcore.store.views import views
from tests.mailcore.store.samples import make_user


@pytest.fixture(autouse=True)
def _nothing_remembered():
    """Ids come again in the next test's database; what this process remembers of them must not."""
    yield
    mailboxes._inboxes.clear()
    views._views.clear()
    views._idle.clear()
    columns.clear()
    threading_mail.answers.clear()
    being_read.clear()


@pytest.fixture(autouse=True)
def _bodies_of_this_test(settings, tmp_path):
    """Large bodies are files: each test has its own directory for them."""
    bodies = {**settings.STORAGES["bodies"], "OPTIONS": {"location": str(tmp_path / "bodies")}}
    settings.STORAGES = {**settings.STORAGES, "bodies": bodies}


@pytest.fixture
def user(db):
    return make_user()


@pytest.fixture
def inbox(user):
    return mailboxes.inbox_id(user)
