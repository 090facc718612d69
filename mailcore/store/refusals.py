"""Why the store does not do something that it was asked for: facts, not words.

Each protocol says them in its own way. ``batch.py`` has the two others: ``GoneError`` (a user or mailbox that the work
was about is not there any more) and ``OverQuotaError``.
"""


class StoreRefusedError(Exception):
    """The store will not do this, and asking again will not help."""


class NoSuchMailboxError(StoreRefusedError):
    """The user has no mailbox of that name."""


class MailboxExistsError(StoreRefusedError):
    """The name is taken."""


class NameNotAllowedError(StoreRefusedError):
    """No mailbox may have, or lose, this name."""


class HasChildrenError(StoreRefusedError):
    """The name has no mailbox of its own and cannot go because of those below it (RFC 3501 section 6.3.4)."""


class LimitError(StoreRefusedError):
    """Too many, or too long: mailboxes, keywords."""
