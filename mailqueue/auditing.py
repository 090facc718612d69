"""How acts on queued mail get into the audit log: in the transaction of the act, with the ids of the messages."""

from typing import Any

from django.http import HttpRequest
from rest_framework.request import Request

from mailqueue.interventions import Noted
from security.audit import record
from security.models import AuditEntry


def into_audit(action: str, request: HttpRequest | None, **facts: Any) -> Noted:
    """Return what writes an entry for each transaction; ``action`` is a stable verb, ``facts`` go with it."""

    def noted(queue_ids: list[str]) -> None:
        metadata = {"changed": len(queue_ids), "queue_ids": queue_ids, **facts}
        record(action, AuditEntry.EventType.EMAIL, request=request, metadata=metadata)

    return noted


def caller(request: Request) -> str:
    """Return who acts, for people who read the timeline: a login name, or the key where nobody owns it."""
    user: Any = request.user
    return f"key_{getattr(request.auth, 'pk', '')}" if user is None else str(user.get_username())
