"""What every session that takes a login asks, and what it is answered."""

from dataclasses import dataclass, field
from enum import Enum

from mailcore.dialogue import Peer, Question


class LoginRefusal(Enum):
    """Why there is no ``Login``."""

    # No such account, wrong password, or disabled: the client is told the same for all.
    WRONG = "wrong"
    # Too many attempts from there, or too many at once: it may try again later.
    LATER = "later"


@dataclass(frozen=True, slots=True)
class VerifyPassword(Question):
    """Is this the password of this account? The answer is a ``Login`` or a ``LoginRefusal``.

    A delay after failures is the answerer's business: it simply answers later. The session closes after three.
    """

    login: str
    password: str = field(repr=False)
    mechanism: str  # "PLAIN", "LOGIN", or "USER" for POP3's USER and PASS, "LOGIN-COMMAND" for IMAP's LOGIN
    protocol: str  # "submission", "imap", "pop3"
    peer: Peer
    encrypted: bool
