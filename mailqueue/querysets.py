"""How one looks for mail: by queue id, by Message-ID, or by how an address begins. All of it on indexes."""

from django.db import connection
from django.db.models import Q, QuerySet

from a3mailer_site.ids import from_text
from mailqueue.models import MessageTrace, QueueEntry

# The last code point: greater than everything that follows a prefix.
_END = "\U0010ffff"


def begins_with(field: str, text: str) -> Q:
    """Match values that begin with ``text``, in the form that uses the index.

    SQLite's LIKE does not use one, a range does. PostgreSQL's does where the index has the operator class for it (and
    there a range would follow the rules of some language instead of the order of characters).
    """
    if connection.vendor == "postgresql":
        return Q(**{f"{field}__startswith": text})
    return Q(**{f"{field}__gte": text, f"{field}__lt": text + _END})


def queue_id(text: str) -> int | None:
    """Return the message that a queue id names, or ``None`` when it is none."""
    try:
        return from_text(text)
    except ValueError:
        return None


def search_log(traces: "QuerySet[MessageTrace]", text: str) -> "QuerySet[MessageTrace]":
    """Find messages by queue id, Message-ID (in angle brackets), or how the sender's or recipient's address begins."""
    number = queue_id(text)
    if number is not None:
        return traces.filter(message=number)
    if text.startswith("<"):
        return traces.filter(message_id=text[:250])
    beginning = text.casefold()
    return traces.filter(begins_with("sender", beginning) | begins_with("recipient", beginning))


def search_queue(entries: "QuerySet[QueueEntry]", text: str) -> "QuerySet[QueueEntry]":
    """Find entries by queue id, destination, or the beginning of the recipient's or sender's address."""
    number = queue_id(text)
    if number is not None:
        return entries.filter(message_id=number)
    beginning = text.casefold()
    return entries.filter(
        begins_with("recipient", beginning) | begins_with("message__sender", beginning) | Q(destination=beginning)
    )
