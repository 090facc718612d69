"""Where others' mailboxes stand among an account's own (RFC 2342): ``Other Users/<address>/<name>``. Pure values.

The owner's login address is one level; an owner without an address has the login name there. What would end the level
is written as in a URL, "%2F": no address here has a percent sign.
"""

from typing import NamedTuple

SEPARATOR = "/"
INBOX = "INBOX"
OTHERS = "Other Users"
OTHERS_PREFIX = OTHERS + SEPARATOR


class Shared(NamedTuple):
    """A name in the others' namespace: whose it is, and the mailbox's name under its owner, "" for none."""

    owner: str
    name: str


def shared_name(owner: str, name: str) -> str:
    """Return the name under which others see a mailbox."""
    return OTHERS_PREFIX + owner.replace("%", "%25").replace(SEPARATOR, "%2F") + SEPARATOR + name


def parse_shared(name: str) -> Shared | None:
    """Take such a name apart; ``None`` for an account's own."""
    if not is_reserved(name):
        return None
    _, _, rest = name.partition(SEPARATOR)
    owner, _, own = rest.partition(SEPARATOR)
    return Shared(owner.replace("%2F", SEPARATOR).replace("%25", "%"), own)


def is_reserved(name: str) -> bool:
    """Say whether an account cannot have this name for a mailbox of its own."""
    return name == OTHERS or name.startswith(OTHERS_PREFIX)


def fold_inbox(name: str) -> str:
    """Write INBOX, as a name or as the first level of one, in capitals (RFC 3501 section 5.1: case-insensitive).

    So it is under another owner too.
    """
    if name.startswith(OTHERS_PREFIX):
        owner, separator, rest = name[len(OTHERS_PREFIX) :].partition(SEPARATOR)
        return OTHERS_PREFIX + owner + separator + (fold_inbox(rest) if not is_reserved(rest) else rest)
    first, separator, rest = name.partition(SEPARATOR)
    return INBOX + separator + rest if first.upper() == INBOX else name
