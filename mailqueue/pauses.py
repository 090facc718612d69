"""Pausing destinations: their mail stays in the queue, and nobody tries it, until somebody lets it go or for a while.

Mail that waits goes on getting old: its senders hear of the delay, and what is too old comes back.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from functools import partial

from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest
from django.utils.translation import gettext as _

from a3mailer_site.control import hint
from domains.names import to_ascii
from mailqueue.models import Parked, QueueDestination, QueueEntry
from security.audit import record
from security.models import AuditEntry

_COUNTED = 10_000


def destination_name(text: str) -> str:
    """Return a destination as the queue has it: A-labels, or an address literal. Raises ``ValidationError``."""
    text = text.strip()
    try:
        return text.lower() if text.startswith("[") and text.endswith("]") else to_ascii(text)
    except ValueError as error:
        raise ValidationError(_("This is not a domain name.")) from error


def pause(
    name: str, now: datetime, by: str, *, until: datetime | None = None, reason: str = "", request: HttpRequest | None
) -> QueueDestination:
    """Pause a destination; ``None`` for ``until``: until somebody lets it go."""
    with transaction.atomic():
        found, _made = QueueDestination.objects.get_or_create(name=name, defaults={"since": now})
        row = QueueDestination.objects.select_for_update().get(pk=found.pk)
        row.since = row.since if row.paused else now
        row.paused, row.paused_until, row.reason, row.paused_by = True, until, reason[:200], by[:254]
        row.save()
        facts = {"destination": name, "reason": reason, "until": until and until.isoformat()}
        record("queue_paused", AuditEntry.EventType.EMAIL, request=request, metadata=facts)
    return row


def resume(names: Collection[str], now: datetime, *, request: HttpRequest | None) -> int:
    """Let paused destinations go; returns how many."""
    resumed = 0
    with transaction.atomic():
        for row in QueueDestination.objects.select_for_update().filter(name__in=names, paused=True).order_by("name"):
            row.paused, row.paused_until, row.reason, row.paused_by = False, None, "", ""
            row.next_attempt_at, row.probing_until = now, None
            row.save()
            record("queue_resumed", AuditEntry.EventType.EMAIL, request=request, metadata={"destination": row.name})
            resumed += 1
        transaction.on_commit(partial(hint, "wake"))
    return resumed


def probe(names: Collection[str], now: datetime) -> int:
    """Look now whether destinations that are away are back; returns how many that are."""
    rows = QueueDestination.objects.filter(name__in=names, failures__gt=0, paused=False)
    count = rows.update(next_attempt_at=now, probing_until=None)
    transaction.on_commit(partial(hint, "wake"))
    return count


def waiting(names: Collection[str]) -> Mapping[str, int]:
    """Return how many recipients wait for each destination, counted to 10,000."""
    parked = QueueEntry.objects.filter(state=QueueEntry.State.QUEUED, parked__gt=Parked.NO)
    return {name: parked.filter(destination=name)[:_COUNTED].count() for name in names}
