"""System flags as bits (RFC 3501 section 2.3.2). The flag Recent is not stored: it belongs to a session."""

SEEN, ANSWERED, FLAGGED, DELETED, DRAFT = (1 << bit for bit in range(5))

BY_NAME = {
    "\\Seen": SEEN,
    "\\Answered": ANSWERED,
    "\\Flagged": FLAGGED,
    "\\Deleted": DELETED,
    "\\Draft": DRAFT,
}
NAMES = {bit: name for name, bit in BY_NAME.items()}


def names(bits: int) -> list[str]:
    """Return the names of the flags that are set, in the order of their bits."""
    return [name for bit, name in NAMES.items() if bits & bit]
