"""The first page of the web administration: how the server is, and where to look next."""

from typing import Any

from django.http import HttpRequest
from django.utils import timezone

from a3mailer_site.api.errors import UnavailableError
from mailqueue.models import QueueEntry
from monitoring import server

# Beyond this many nobody wants the exact number, and counting would take long.
_MOST = 10_000


def start_page(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG001 - unfold passes it
    """Add the figures of the first page (unfold's DASHBOARD_CALLBACK). What nobody can tell is ``None``."""
    try:
        answer: dict[str, Any] | None = server.status()
    except UnavailableError:
        answer = None
    now = timezone.now()
    entries = QueueEntry.objects
    context["a3"] = {
        "state": answer["state"] if answer else None,
        "uptime": int(answer["uptime"]) if answer else None,
        "listeners": server.listening(answer) if answer else {},
        "due": _count(entries.due(now)),
        "waiting": _count(entries.waiting().filter(next_attempt_at__gt=now)),
        "held": _count(entries.filter(state=QueueEntry.State.HELD)),
    }
    return context


def _count(entries: Any) -> str:
    number = entries.order_by()[:_MOST].count()
    return f"{number}+" if number == _MOST else str(number)
