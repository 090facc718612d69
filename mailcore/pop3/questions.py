"""What a POP3 session asks of what surrounds it, besides ``VerifyPassword`` (``mailcore/sasl/questions.py``)."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from mailcore.dialogue import Login, Question


@dataclass(frozen=True, slots=True)
class Maildrop:
    """What there was when it was opened. A message's number is its place in ``uids`` and ``sizes``, counted from 1."""

    mailbox_id: int
    uidvalidity: int
    uids: Sequence[int]  # the IMAP UIDs in INBOX, ascending
    sizes: Sequence[int]  # octets as stored
    octets: int  # all together


class MaildropRefusal(Enum):
    """Why there is no ``Maildrop``."""

    IN_USE = "in use"  # another POP3 session has it
    GONE = "gone"  # the account has been deleted since the password was looked at


class Holder:
    """Who holds a maildrop. Compared by identity; the session makes one for each ``OpenMaildrop``."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class OpenMaildrop(Question):
    """Lock the maildrop of this login and list it. The answer is a ``Maildrop`` or a ``MaildropRefusal``.

    The lock keeps out other POP3 sessions, not IMAP (RFC 1939 section 3). ``ReleaseMaildrop`` with the same holder
    may come before this is answered, when the connection breaks; then the lock is let go all the same.
    """

    login: Login
    holder: Holder


@dataclass(frozen=True, slots=True)
class FetchMessages(Question):
    """Read these messages whole: small ones, together. The answer is a dict from UID to bytes.

    What is not in it is gone: somebody expunged it over IMAP.
    """

    mailbox_id: int
    uids: tuple[int, ...]  # ascending


@dataclass(frozen=True, slots=True)
class FetchMessage(Question):
    """Read ``limit`` octets of a message from ``offset``. The answer is bytes, shorter only at the end of the message.

    ``None`` means that the message is gone.
    """

    mailbox_id: int
    uid: int
    offset: int
    limit: int


@dataclass(frozen=True, slots=True)
class DeleteMessages(Question):
    """Delete these messages. Answered with ``None`` once that is durable; those that are gone already do not matter."""

    mailbox_id: int
    uids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ReleaseMaildrop(Question):
    """Let go of the lock. The answer means nothing; without a lock nothing is to be done."""

    login: Login
    holder: Holder
