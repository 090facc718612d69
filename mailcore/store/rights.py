"""Rights as letters (RFC 4314 section 2.1), and which flags they let one set. Pure values."""

from functools import lru_cache

from mailcore.store.flags import ANSWERED, DELETED, DRAFT, FLAGGED, SEEN

# In the order in which they are told: lookup, read, seen, write, insert, post, create, delete mailbox, delete message,
# expunge, administer.
ALL_RIGHTS = "lrswipkxtea"

# RFC 4314 section 2.1.1: what the letters of RFC 2086 stand for. They are told too wherever one of these is.
OBSOLETE = {"c": "kx", "d": "te"}

# RFC 4314 section 5.2: with none of these nothing in a mailbox can be changed.
WRITING = "iswte"

_FLAGS = {"s": SEEN, "t": DELETED, "w": ANSWERED | FLAGGED | DRAFT}


def ordered(letters: str) -> str:
    """Return these rights, each once, in their order, the obsolete ones replaced; raises ``ValueError`` for others."""
    wanted: set[str] = set()
    for letter in letters:
        wanted.update(OBSOLETE.get(letter, letter))
    if not wanted <= set(ALL_RIGHTS):
        raise ValueError(f"no such right: {min(wanted - set(ALL_RIGHTS))}")
    return "".join(right for right in ALL_RIGHTS if right in wanted)


def told(rights: str) -> str:
    """Return rights as clients are told them, with the obsolete ones."""
    return rights + "".join(old for old, new in OBSOLETE.items() if set(new) & set(rights))


@lru_cache(maxsize=4096)
def settable(rights: str) -> int:
    r"""Return the system flags that may be changed (RFC 4314 section 4): ``s``, ``t``, and ``w`` for all others.

    ``w`` is for keywords too.
    """
    return sum(flags for right, flags in _FLAGS.items() if right in rights)
