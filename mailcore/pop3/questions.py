"""What a POP3 session asks of what surrounds it, besides ``VerifyPassword`` (``mailcore/sasl/questions.py``)."""

from dataclasses import dataclass
from enum import Enum

from mailcore.dialogue import Login, Question


@dataclass(frozen=True, slots=True)
class MaildropMessage:
    """One message as it was when the maildrop was opened."""

    uid: int  # the IMAP UID in INBOX
    unique: str  # for UIDL: 1 to 70 printable ASCII characters without space, never used twice in this maildrop
    size: int  # octets as stored


@dataclass(frozen=True, slots=True)
class Maildrop:
    """What there was when it was opened; message numbers are places in ``messages``, from 1."""

    mailbox_id: int
    messages: tuple[MaildropMessage, ...]


class MaildropRefusal(Enum):
    """Why there is no ``Maildrop``."""

    IN_USE = "in use"  # another POP3 session has it


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
class FetchMessage(Question):
    """Read ``limit`` octets of a message from ``offset``. The answer is bytes, shorter only at the end of the message.

    ``None`` means that the message is gone: somebody expunged it over IMAP.
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
