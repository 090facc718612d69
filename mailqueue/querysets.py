"""How one looks for mail: by queue id, by Message-ID, or by how an address begins. All of it on indexes.

With millions of rows no index helps against what matches half of them, but then the newest ones are soon found by going
through them from the end. So it is first found out whether a text matches few or many.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Substr
from django.db.models.lookups import Exact

from a3mailer_site.ids import first_id_at, from_text
from a3mailer_site.paging import MOST
from mailqueue.models import MessageTrace, QueuedMessage, QueueEntry
from mailqueue.reach import own_traces

# The last code point: greater than everything that follows a prefix.
_END = "\U0010ffff"

# Rows that are looked at in about half a second. Of the log no more than these, the newest, where no index finds what
# is wanted. Of the queue up to so many are asked for by an index; where more match, going through it finds them soon.
WINDOW = 200_000


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


def search_messages(messages: "QuerySet[QueuedMessage]", text: str, own: Q) -> "QuerySet[QueuedMessage]":
    """Find queued messages by queue id, Message-ID, destination, or how the address of sender or recipient begins.

    ``own``, here and below, are the entries that the caller may see: who is found by others would be told of them.
    """
    number = queue_id(text)
    if number is not None:
        return messages.filter(pk=number)
    if text.startswith("<"):
        return messages.filter(pk__in=MessageTrace.objects.filter(message_id=text[:250]).values("message"))
    beginning = text.casefold()
    either = begins_with("sender", beginning) | begins_with("recipient", beginning)
    entries = QueueEntry.objects.filter(own, message=OuterRef("pk"))
    here = begins_with("sender", beginning) | Q(
        Exists(entries.filter(begins_with("recipient", beginning) | Q(destination=beginning)))
    )
    logged, bound = MessageTrace.objects.filter(either), QueueEntry.objects.filter(destination=beginning)
    if _are_many(logged, WINDOW) or _are_many(bound, WINDOW):
        return messages.filter(here)
    return messages.filter(Q(pk__in=logged.values("message")) | Q(pk__in=bound.values("message_id")), here)


def from_sender(messages: "QuerySet[QueuedMessage]", text: str) -> "QuerySet[QueuedMessage]":
    """Messages whose sender's address begins so."""
    beginning = text.casefold()
    return _narrowed(messages, begins_with("sender", beginning), begins_with("sender", beginning))


def to_recipient(messages: "QuerySet[QueuedMessage]", text: str, own: Q) -> "QuerySet[QueuedMessage]":
    """Messages of which a recipient's address begins so."""
    begins = begins_with("recipient", text.casefold())
    return _narrowed(messages, begins, Q(Exists(QueueEntry.objects.filter(own, begins, message=OuterRef("pk")))))


def to_destination(messages: "QuerySet[QueuedMessage]", name: str, own: Q) -> "QuerySet[QueuedMessage]":
    """Messages with a recipient in this domain (A-labels)."""
    bound = QueueEntry.objects.filter(own, destination=name)
    if _are_many(bound, WINDOW):
        return messages.filter(Exists(bound.filter(message=OuterRef("pk"))))
    return messages.filter(pk__in=bound.values("message_id"))


def _narrowed(messages: "QuerySet[QueuedMessage]", logged: Q, here: Q) -> "QuerySet[QueuedMessage]":
    """Narrow by a condition; where the log knows few that meet it, ask the log's index which."""
    few = MessageTrace.objects.filter(logged)
    return messages.filter(here) if _are_many(few, WINDOW) else messages.filter(here, pk__in=few.values("message"))


def _are_many(rows: "QuerySet[Any]", most: int) -> bool:
    return rows.order_by()[: most + 1].count() > most


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to look for in the log. Addresses are matched whole, or by how they begin if nobody has exactly that one."""

    sender: str = ""
    recipient: str = ""
    message_id: str = ""
    search: str = ""
    since: datetime | None = None
    until: datetime | None = None
    status: str = ""
    direction: str = ""
    domains: Collection[str] | None = None


def find_in_log(wanted: Wanted) -> "tuple[QuerySet[MessageTrace], int | None]":
    """Return what is wanted, newest first, and the id from which on the log was gone through (``None``: all of it)."""
    traces = MessageTrace.objects.order_by("-pk")
    if wanted.since is not None:
        traces = traces.filter(pk__gte=_id_at(wanted.since))
    if wanted.until is not None:
        traces = traces.filter(pk__lt=_id_at(wanted.until))
    found, few = _by_index(traces, wanted)
    rest = {name: value for name, value in (("status", wanted.status), ("direction", wanted.direction)) if value}
    floor = None
    if not few and (found is not traces or rest or wanted.domains is not None):
        floor = traces.values_list("pk", flat=True)[WINDOW : WINDOW + 1].first()
        if floor is not None:
            found = found.filter(pk__gte=floor)
    return own_traces(found.filter(**rest), wanted.domains), floor


def _by_index(traces: "QuerySet[MessageTrace]", wanted: Wanted) -> "tuple[QuerySet[MessageTrace], bool]":
    """Narrow by what there are indexes for; says whether one of them leaves only few rows."""
    few = False
    for by_index, by_walking in _conditions(wanted):
        rows = MessageTrace.objects.filter(by_index)
        if _are_many(rows, MOST):
            traces = traces.filter(by_walking)
        else:
            # Said as a list of ids, or a database may prefer to go through all rows in their order.
            few, traces = True, traces.filter(pk__in=rows.values("pk"))
    return traces, few


def _conditions(wanted: Wanted) -> Iterator[tuple[Q, Q]]:
    """Give each condition in the form that uses its index, and in the form for many rows that are in order already."""
    for field, text in (("sender", wanted.sender.casefold()), ("recipient", wanted.recipient.casefold())):
        if text and MessageTrace.objects.filter(**{field: text}).exists():
            yield Q(**{field: text}), Q(**{field: text})  # the index has these in their order
        elif text:
            yield begins_with(field, text), _begins(field, text)
    if wanted.message_id:
        text = wanted.message_id if wanted.message_id.startswith("<") else f"<{wanted.message_id}>"
        yield Q(message_id=text[:250]), Q(message_id=text[:250])
    if wanted.search:
        text, rows = wanted.search.casefold(), search_log(MessageTrace.objects.order_by(), wanted.search).values("pk")
        is_id = text.startswith("<") or queue_id(text) is not None
        yield Q(pk__in=rows), Q(pk__in=rows) if is_id else _begins("sender", text) | _begins("recipient", text)


def _begins(field: str, text: str) -> Q:
    """Match what begins so without the index: the matches of an index over all addresses would have to be sorted."""
    return Q(Exact(Substr(field, 1, len(text)), text))


def _id_at(moment: datetime) -> int:
    return min(first_id_at(moment.timestamp()), 2**63 - 1)
