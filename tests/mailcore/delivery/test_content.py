"""What is read of a queued message: all of it, but for the field that belongs to mailboxes here."""

import pytest

from mailcore.delivery.content import Content
from mailcore.store.prepared import prepare
from mailqueue.models import Body

pytestmark = pytest.mark.django_db
REST = b"Received: from a\r\n\tby b; date\r\nSubject: x\r\n\r\nReturn-Path: <not@a.field>\r\n"


class Doors:
    async def database(self, function, *args):
        return function(*args)


def read(content):
    ready = prepare(content)
    Body.objects.create(id=ready.body_id, size=ready.size, data=ready.data)
    source, pieces = Content(Doors(), ready.body_id), []
    while True:
        with pytest.raises(StopIteration) as done:
            source().send(None)
        if done.value.value is None:
            source.close()
            return b"".join(pieces)
        pieces.append(done.value.value)


@pytest.mark.parametrize(
    "field",
    [b"", b"Return-Path: <>\r\n", b"Return-Path: <a@b.example>\r\n", b"return-path:\r\n\t<long@b.example>\r\n"],
)
@pytest.mark.parametrize("filling", [b"", b"y" * 100_000 + b"\r\n"], ids=["row", "file"])
def test_the_return_path_of_our_mailboxes_does_not_leave_us(field, filling):
    assert read(field + REST + filling) == REST + filling
