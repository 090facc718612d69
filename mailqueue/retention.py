"""How long the message log is kept, and how old entries go: few at a time, so that nobody waits for them."""

import time
from datetime import datetime

from django.db import transaction

from a3mailer_site.ids import first_id_at
from mailqueue.models import Attempt, MailboxAct, MessageEvent, MessageTrace, QueuedMessage

# About 15 ms of the write gate on SQLite, then a rest for the others.
BATCH = 200
REST = 0.02


def old_traces(before: datetime) -> int:
    """Say how many traces were made before this moment."""
    return MessageTrace.objects.filter(pk__lt=first_id_at(before.timestamp())).count()


def purge(before: datetime) -> int:
    """Delete traces made before this moment, with events and attempts, and acts in mailboxes; returns how many traces.

    Messages that are still in the queue keep theirs.
    """
    _purge_acts(before)
    deleted = 0
    last = -1
    while True:
        old = MessageTrace.objects.filter(pk__gt=last, pk__lt=first_id_at(before.timestamp())).order_by("pk")
        rows = list(old.values_list("pk", "message")[:BATCH])
        if not rows:
            return deleted
        last = rows[-1][0]
        queued = set(
            QueuedMessage.objects.filter(pk__in={message for _pk, message in rows}).values_list("pk", flat=True)
        )
        gone = [(pk, message) for pk, message in rows if message not in queued]
        with transaction.atomic():
            # Another one at the same work may have been faster: what counts is what went here.
            _all, went = MessageTrace.objects.filter(pk__in=[pk for pk, _message in gone]).delete()
            messages = {message for _pk, message in gone}
            # Events without a trace concern all recipients: they go with the last one.
            messages -= set(MessageTrace.objects.filter(message__in=messages).values_list("message", flat=True))
            MessageEvent.objects.filter(message__in=messages).delete()
            Attempt.objects.filter(message__in=messages).delete()
        deleted += went.get(MessageTrace._meta.label, 0)
        time.sleep(REST)


def _purge_acts(before: datetime) -> None:
    old = MailboxAct.objects.filter(pk__lt=first_id_at(before.timestamp())).order_by("pk")
    while ids := list(old.values_list("pk", flat=True)[:BATCH]):
        with transaction.atomic():
            MailboxAct.objects.filter(pk__in=ids).delete()
        time.sleep(REST)
