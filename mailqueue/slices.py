"""Walks through queue entries message by message, so few at a time that a transaction over them stays short."""

from collections.abc import Iterator

from django.db.models import QuerySet

from a3mailer_site.ids import new_id
from mailqueue.models import QueueEntry

# Entries changed in one transaction, with their events and traces: 10 ms of the write gate on a busy machine.
SLICE = 100


def slices(entries: "QuerySet[QueueEntry]") -> Iterator[list[int]]:
    """Give the ids of the messages of these entries, ascending; a message is never in two slices.

    The query is asked again for each slice; what has come into the queue since the beginning is left out.
    """
    last, end = -1, new_id()
    while True:
        rows = entries.filter(message_id__gt=last, message_id__lte=end).order_by("message_id")
        found = list(rows.values_list("message_id", flat=True)[:SLICE])
        if not found:
            return
        messages = sorted(set(found))
        if len(found) == SLICE and len(messages) > 1:
            messages.pop()  # perhaps not all of its entries were among them
        yield messages
        last = messages[-1]
