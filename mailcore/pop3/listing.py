"""What is in a maildrop: listed from the database, and remembered for programs that leave their mail on the server.

They come every few minutes and find what they found before, or a little more: then only that is read. Lists are
immutable, so all sessions share them. For reader threads.
"""

import threading
from array import array
from collections import OrderedDict

from django.db import connection

from mailcore.pop3.questions import Maildrop
from mailcore.store import reading
from mailcore.store.batch import GoneError
from mailcore.store.mailboxes import inbox_id
from mailcore.store.models import Mailbox

# Written once: at every login Django would think about it for longer than the database.
_STATE = f'SELECT uidvalidity, uidnext, messages FROM "{Mailbox._meta.db_table}" WHERE id = %s AND owner_id = %s'  # noqa: S608

# Lists that are remembered, and messages in all of them together: 12 bytes each.
_LISTS = 1000
_MESSAGES = 1_000_000


class Listings:
    """The lists of a process. ``listings.open(user_id)``."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # By user, the least recently used first: the UIDNEXT before which it is complete, and the list.
        self._known: OrderedDict[int, tuple[int, Maildrop]] = OrderedDict()
        self._messages = 0

    def open(self, owner: int) -> Maildrop:
        """List INBOX; it is as new as the call. Raises ``GoneError`` when the user has been deleted."""
        inbox = inbox_id(owner)
        with connection.cursor() as cursor:
            cursor.execute(_STATE, [inbox, owner])
            rows = cursor.fetchall()
        if not rows:
            raise GoneError(f"user {owner} is gone")
        [(uidvalidity, uidnext, messages)] = rows
        with self._lock:
            known_to, known = self._known.get(owner, (1, None))
        if known is None or (known.mailbox_id, known.uidvalidity) != (inbox, uidvalidity):
            known_to, known = 1, Maildrop(inbox, uidvalidity, (), (), 0)
        if known_to == uidnext and len(known.uids) == messages:
            self._remember(owner, uidnext, known)
            return known
        # UIDs only grow. If what is new makes up the number, nothing has gone.
        maildrop = self._read(owner, known)
        if len(maildrop.uids) != messages and known.uids:
            maildrop = self._read(owner, Maildrop(inbox, uidvalidity, (), (), 0))
        if len(maildrop.uids) == messages and (not messages or maildrop.uids[-1] < uidnext):
            self._remember(owner, uidnext, maildrop)
        return maildrop

    def _read(self, owner: int, known: Maildrop) -> Maildrop:
        """Read what comes after a list that is known, and return both together."""
        uids, sizes = reading.sizes(owner, known.mailbox_id, known.uids[-1] if known.uids else 0)
        octets = known.octets + sum(sizes)
        all_uids, all_sizes = array("I", known.uids) + uids, array("Q", known.sizes) + sizes
        return Maildrop(known.mailbox_id, known.uidvalidity, all_uids, all_sizes, octets)

    def _remember(self, owner: int, uidnext: int, maildrop: Maildrop) -> None:
        with self._lock:
            if owner in self._known:
                self._forget(owner)
            self._known[owner] = (uidnext, maildrop)
            self._messages += len(maildrop.uids)
            while len(self._known) > _LISTS or (self._messages > _MESSAGES and len(self._known) > 1):
                self._forget(next(iter(self._known)))

    def _forget(self, owner: int) -> None:
        _, maildrop = self._known.pop(owner)
        self._messages -= len(maildrop.uids)


listings = Listings()
