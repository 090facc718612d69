"""What a caller reaches who is restricted to some domains: mail whose sender or recipient is in one of them.

Of a message from elsewhere he sees and changes only his own recipients; of a message that one of his senders has sent,
all of them. ``None`` stands for no restriction.
"""

from collections.abc import Collection

from django.db.models import Exists, OuterRef, Q, QuerySet

from domains.names import to_unicode
from mailqueue.models import MessageTrace, QueuedMessage, QueueEntry


def own_entries(domains: Collection[str] | None) -> Q:
    """Queue entries that the caller may see and change."""
    if domains is None:
        return Q()
    return Q(destination__in=domains) | _ends("message__sender", domains)


def own_messages(messages: "QuerySet[QueuedMessage]", domains: Collection[str] | None) -> "QuerySet[QueuedMessage]":
    """Messages of which the caller may see something."""
    if domains is None:
        return messages
    entries = QueueEntry.objects.filter(message=OuterRef("pk"), destination__in=domains)
    return messages.filter(_ends("sender", domains) | Exists(entries))


def own_traces(traces: "QuerySet[MessageTrace]", domains: Collection[str] | None) -> "QuerySet[MessageTrace]":
    """Traces that the caller may see."""
    if domains is None:
        return traces
    return traces.filter(_ends("sender", domains) | _ends("recipient", domains))


def _ends(field: str, domains: Collection[str]) -> Q:
    """Addresses in these domains, which may be written in either form. No domain: none."""
    found = Q(pk__in=[])
    for name in domains:
        for form in {name, to_unicode(name)}:
            found |= Q(**{f"{field}__iendswith": f"@{form}"})
    return found
