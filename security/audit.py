"""The one way into the audit log: ``record``, in the transaction of the act.

Entries are written plain; the worker seals them into the hash chain afterwards.
"""

import unicodedata
from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest

from a3mailer_site.api.peers import client_address
from security.models import AuditEntry

# Keys whose values are never written down, at any depth.
_SECRET = ("password", "secret", "api_key", "digest", "token")


def record(
    action: str,
    event_type: AuditEntry.EventType,
    *,
    request: HttpRequest | None = None,
    source_ip: str | None = None,
    user_id: int | str | None = None,
    severity: AuditEntry.Severity = AuditEntry.Severity.INFO,
    outcome: AuditEntry.Outcome = AuditEntry.Outcome.SUCCESS,
    metadata: Mapping[str, Any] | None = None,
) -> AuditEntry:
    """Write an entry. ``action`` is a stable verb; with a ``request`` its address, id, agent and user are noted."""
    facts = dict(metadata or {})
    request_id = ""
    if request is not None:
        source_ip = source_ip or client_address(request)
        request_id = getattr(request, "request_id", "")
        facts.setdefault("user_agent", request.headers.get("User-Agent", "")[:300])
        user = getattr(request, "user", None)
        if user_id is None and user is not None and user.pk is not None:
            user_id = user.pk
        key = getattr(request, "auth", None)
        if key is not None and getattr(key, "pk", None) is not None:
            facts.setdefault("key_id", f"key_{key.pk}")
    return AuditEntry.objects.create(
        action=action,
        event_type=event_type,
        severity=severity,
        outcome=outcome,
        source_ip=source_ip,
        user_id="" if user_id is None else f"user_{user_id}" if isinstance(user_id, int) else user_id,
        request_id=request_id,
        metadata=_clean(facts),
    )


def changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``{"before": …, "after": …}`` with only what differs."""
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return {
        "before": {name: before[name] for name in names if name in before},
        "after": {name: after[name] for name in names if name in after},
    }


def printable(text: str) -> str:
    """Return text without what could forge a line of a log or break a database: control signs become U+FFFD."""
    return "".join("\ufffd" if unicodedata.category(sign) in {"Cc", "Cs", "Zl", "Zp"} else sign for sign in text)


def _clean(value: Any, name: str = "") -> Any:
    if any(word in name.lower() for word in _SECRET):
        return "***"
    if isinstance(value, Mapping):
        return {printable(str(key)): _clean(item, str(key)) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(item) for item in value]
    if isinstance(value, str):
        return printable(value)
    return value if value is None or isinstance(value, (bool, int, float)) else printable(str(value))
