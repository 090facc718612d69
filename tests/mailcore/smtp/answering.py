"""What the tests of the answers to an SMTP session share: everything is done at once, in this thread."""

import pytest

from mailcore.dialogue import Login, Peer, TlsFacts
from mailcore.message.envelope import Client
from mailcore.store.commit import run


class Doors:
    """Does everything at once, here."""

    connection = None

    async def database(self, function, *args, **kwargs):
        return function(*args, **kwargs)

    async def commit(self, work):
        return run(work)


def now(coroutine):
    """The result of a coroutine that waits for nothing."""
    with pytest.raises(StopIteration) as stop:
        coroutine.send(None)
    return stop.value.value


def logged_in(user):
    return Client(
        Peer("192.0.2.1", 4000), TlsFacts("TLSv1.3", "X"), "[192.0.2.1]", "ESMTP", Login(user.pk, user.username)
    )
