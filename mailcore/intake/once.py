"""A message that a program hands in twice is sent once: who got no answer the first time tries again.

The same is what has the same sender, the same recipients and the same bytes, a Message-ID of its own among them, from
the same login within ``A3MAILER_SUBMIT_ONCE`` seconds. What failed, or was taken out of the queue, is sent when it
comes again. Without a Message-ID two messages may be the same and yet be meant to be two.

    async with once(account, fingerprint):        # who hands in the same at the same time waits here
        earlier = await doors.database(Submission.objects.find, account, fingerprint, seconds)
"""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from twisted.internet.defer import Deferred

from mailcore.message.envelope import Envelope
from mailcore.message.headers import Headers, header_end

# Those who wait until the same message has been taken or refused, by account and fingerprint.
_under_way: dict[tuple[int, bytes], list[Deferred[None]]] = {}


def fingerprint(envelope: Envelope, content: bytes) -> bytes | None:
    """Return what tells a message from all others; ``None`` where nothing does, because it has no Message-ID."""
    header = Headers(content[: header_end(content)[0]])
    if not header.get(b"message-id"):
        return None
    recipients = sorted({recipient.address for recipient in envelope.recipients})
    around = "\0".join([envelope.sender, *recipients, ""]).encode("utf-8", "replace")
    return hashlib.sha256(around + content).digest()


@asynccontextmanager
async def once(account: int, mark: bytes) -> AsyncIterator[None]:
    """Let one after the other do something with this message."""
    key = account, mark
    mine: list[Deferred[None]] = []
    # In one step, because in the web process several threads come here.
    while (first := _under_way.setdefault(key, mine)) is not mine:
        turn: Deferred[None] = Deferred()
        first.append(turn)
        await turn
    try:
        yield
    finally:
        for turn in _under_way.pop(key):
            turn.callback(None)
