"""A process that remembers nothing of the test before; large bodies in a directory of the test's own."""

import pytest

from mailcore.imap.answers import appending, notifying
from mailcore.store import mailboxes, threading_mail
from mailcore.store.columns import columns
from mailcore.store.notices import doorbells
from mailcore.store.readahead import read_ahead
from mailcore.store.reading import being_read
from mailcore.store.views import views


@pytest.fixture(autouse=True)
def _nothing_remembered():
    """Ids come again in the next test's database; what this process remembers of them must not."""
    yield
    mailboxes._inboxes.clear()
    appending._ids.clear()
    views._views.clear()
    views._idle.clear()
    columns.clear()
    threading_mail.answers.clear()
    read_ahead.clear()
    being_read.clear()
    doorbells._bells.clear()
    doorbells._accounts.clear()
    notifying._watches.clear()


@pytest.fixture
def _bodies_of_this_test(settings, tmp_path):
    bodies = {**settings.STORAGES["bodies"], "OPTIONS": {"location": str(tmp_path / "bodies")}}
    settings.STORAGES = {**settings.STORAGES, "bodies": bodies}
