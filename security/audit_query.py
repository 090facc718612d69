"""What can be asked of the audit log, and the note that somebody asked."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.core.cache import caches
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.request import Request

from security.audit import record
from security.callers import caller_of
from security.models import AuditEntry
from security.networks import parse_address
from security.ratelimits import broken

# Seconds in which one reader's readings are written down once: the log is there for what others do.
NOTED_EVERY = 60

# Parameters of a query that are kept.
_FILTERS = 20

_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?)([Zz]|[+\- ]\d\d:?\d\d)?")
_WORD = re.compile(r"[a-z0-9_.-]{1,60}")
_USER = re.compile(r"[A-Za-z0-9_.-]{1,40}")


def moment(text: str, *, end: bool = False) -> tuple[datetime, bool]:
    """Read a day or a time in UTC (RFC 3339; other zones are converted); raises ``ValueError``.

    Returns the moment, and whether it still belongs to the range. The ``end`` of a day is the beginning of the next.
    """
    if _DAY.fullmatch(text):
        day = date.fromisoformat(text)
        start = datetime(day.year, day.month, day.day, tzinfo=UTC)
        return (start + timedelta(days=1), False) if end else (start, True)
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError("neither a day nor a time")
    zone = (found[3] or "Z").upper().replace(" ", "+").replace("Z", "+00:00")  # a plus in a URL is read as a space
    when = datetime.fromisoformat(f"{found[1]}T{found[2]}{zone}").astimezone(UTC)
    # Times are shown in whole seconds: the second that is named belongs to the range as a whole.
    whole = "." not in found[2]
    return (when + timedelta(seconds=1), False) if end and whole else (when, True)


def _since(text: str) -> Q:
    return Q(at__gte=moment(text)[0])


def _until(text: str) -> Q:
    when, included = moment(text, end=True)
    return Q(at__lte=when) if included else Q(at__lt=when)


def _one_of(field: str, choices: Any) -> Callable[[str], Q]:
    def read(text: str) -> Q:
        if text not in choices.values:
            raise ValueError(text)
        return Q(**{field: text})

    return read


def _matching(field: str, pattern: re.Pattern[str]) -> Callable[[str], Q]:
    def read(text: str) -> Q:
        if not pattern.fullmatch(text):
            raise ValueError(text)
        return Q(**{field: text})

    return read


def _address(text: str) -> Q:
    return Q(source_ip=str(parse_address(text)))


_READERS: dict[str, Callable[[str], Q]] = {
    "start_date": _since,
    "end_date": _until,
    "event_type": _one_of("event_type", AuditEntry.EventType),
    "severity": _one_of("severity", AuditEntry.Severity),
    "outcome": _one_of("outcome", AuditEntry.Outcome),
    "user_id": _matching("user_id", _USER),
    "source_ip": _address,
    "action": _matching("action", _WORD),
}

PARAMETERS = [
    OpenApiParameter("start_date", str, description="A day or a time, UTC: `2024-01-01`, `2024-01-01T08:00:00Z`."),
    OpenApiParameter("end_date", str, description="A day, which belongs to the range, or a time; UTC."),
    OpenApiParameter("event_type", str, enum=AuditEntry.EventType.values),
    OpenApiParameter("severity", str, enum=AuditEntry.Severity.values),
    OpenApiParameter("outcome", str, enum=AuditEntry.Outcome.values),
    OpenApiParameter("user_id", str, description="Whose acts: `user_123`."),
    OpenApiParameter("source_ip", str, description="From which address."),
    OpenApiParameter("action", str, description="A verb, such as `login_failed`."),
]


def chosen(request: Request) -> QuerySet[AuditEntry]:
    """Return the entries that the query asks for, newest first; raises ``ValidationError`` that names a parameter."""
    wanted = Q()
    for name, read in _READERS.items():
        text = request.query_params.get(name, "")
        if not text:
            continue
        try:
            wanted &= read(text)
        except (ValueError, OverflowError) as error:
            raise serializers.ValidationError({name: _("This is nothing that can be searched for.")}) from error
    return AuditEntry.objects.filter(wanted).order_by("-at", "-id")


def note_reading(request: HttpRequest, query: Mapping[str, str]) -> None:
    """Write down that the log was read, once a minute for each reader: reading it is access to personal data (S16)."""
    reader = caller_of(request) or "nobody"
    try:
        if not caches["limits"].add(f"read:{reader}", 1, NOTED_EVERY):
            return
    except Exception as error:  # noqa: BLE001 - Redis' errors are of no common class; the log is told, and it is noted
        broken.tell(error)
    asked = {name: query[name] for name in list(query)[:_FILTERS] if query.get(name)}
    record("audit_log_read", AuditEntry.EventType.DATA_ACCESS, request=request, metadata={"filters": asked})
