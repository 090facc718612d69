"""Makes users and messages for tests of the store."""

import itertools

from accounts.models import User
from mailcore.store.changes import Append, NewMessage
from mailcore.store.commit import run
from mailcore.store.prepared import prepare

TEXT = (
    b"Date: Mon, 1 Jan 2024 10:00:00 +0200\r\nFrom: Alice <alice@example.com>\r\nTo: bob@example.com\r\n"
    b"Subject: %s\r\nMessage-ID: <%d@example.com>\r\n\r\n%s\r\n"
)
_numbers = itertools.count()


def make_user(**fields):
    number = next(_numbers)
    return User.objects.create(username=f"user{number}", **fields).pk


def message(subject=b"hello", body=b"body"):
    return TEXT % (subject, next(_numbers), body)


def append(owner, mailbox, *contents, flags=0, keywords=(), internal_date=None):
    """Append messages (bytes), return their UIDs."""
    new = [NewMessage(prepare(content), flags, keywords, internal_date) for content in contents]
    return run(Append(owner, mailbox, new)).uids
