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


class NoPermissionError(StoreRefusedError):
    """The account may know of the mailbox, and may not do this in it (RFC 4314)."""


class NoSuchIdentifierError(StoreRefusedError):
    """An identifier of an access control list means nobody here."""


class OwnerRightsError(StoreRefusedError):
    """The owner's rights in a mailbox are not to be changed."""


class UseNotAllowedError(StoreRefusedError):
    """A mailbox cannot have this special use (RFC 6154 section 3)."""


class TooManyEntriesError(StoreRefusedError):
    """No room for more metadata (RFC 5464 section 5)."""


class ValueTooLongError(StoreRefusedError):
    """A value of metadata is too long (RFC 5464 section 5)."""


class NoSuchQuotaRootError(StoreRefusedError):
    """There is no quota root of that name for who asks (RFC 9208)."""
