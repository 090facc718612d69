"""What can be tuned while the server runs, within which bounds, and how that is put in force and taken back.

A value is a live setting: every process follows it within a second, and it holds over restarts. Bounds are those of
this machine, so that no value takes the memory or the descriptors that the server itself needs.
"""

import resource
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _

from a3mailer_site.api.errors import ConflictError
from a3mailer_site.env import current
from a3mailer_site.live import live, set_live
from a3mailer_site.models import Generation, Setting
from monitoring import machine
from monitoring.models import Optimization
from security.audit import changed, record
from security.callers import caller_of
from security.models import AuditEntry

MIB = 1024 * 1024
# The part of all memory that caches may have.
CACHE_PART = 0.5
MOST_CONNECTIONS = 1000
# Descriptors that a process needs beside its connections to other servers.
OTHER_DESCRIPTORS = 200


@dataclass(frozen=True, slots=True)
class Knob:
    """Something that can be tuned."""

    least: int
    most: Callable[[], int]


def total_memory() -> int:
    """Return the bytes of memory that this server may have: the machine's, or its container's."""
    return machine.memory().total


def most_cache() -> int:
    """Return the most bytes that caches may have on this machine."""
    return max(MIB, int(total_memory() * CACHE_PART))


def most_connections() -> int:
    """Return the most connections to other servers that a process may have here."""
    descriptors, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if descriptors == resource.RLIM_INFINITY:
        return MOST_CONNECTIONS
    return max(1, min(MOST_CONNECTIONS, descriptors - OTHER_DESCRIPTORS))


KNOBS = {
    Optimization.Kind.CACHE_SIZE.value: Knob(MIB, most_cache),
    Optimization.Kind.CONNECTION_POOL_SIZE.value: Knob(1, most_connections),
}


def value(kind: str) -> int:
    """Return the value in force."""
    return int(live(kind, getattr(current(), kind)))


def problem(kind: str, wanted: int) -> str:
    """Say why this value cannot be; empty when it can."""
    knob = KNOBS[kind]
    most = knob.most()
    if knob.least <= wanted <= most:
        return ""
    return _("On this machine this must be from %(least)d to %(most)d.") % {"least": knob.least, "most": most}


def apply(wanted: list[tuple[str, int]], request: HttpRequest, *, dry_run: bool) -> dict[str, Any]:
    """Put these values in force, each that is within its bounds; returns what was applied and what was not, and why.

    ``id`` names the entry of the history; it is ``None`` where nothing changed.
    """
    applied: list[dict[str, Any]] = []
    rejected: list[dict[str, Any]] = []
    problems = {kind: problem(kind, number) for kind, number in wanted}
    with transaction.atomic():
        for kind, number in wanted:
            if problems[kind]:
                rejected.append({"type": kind, "reason": problems[kind]})
                continue
            previous = _stored(kind)
            row = None
            if number != previous and not dry_run:
                row = Optimization.objects.create(
                    kind=kind, previous=previous, value=number, applied_by=_caller(request)
                )
                _set(kind, previous, number, "performance_optimized", row, request)
            applied.append(
                {"type": kind, "previous": previous, "value": number, "id": row and f"optimization_{row.pk}"}
            )
    return {"applied": applied, "rejected": rejected}


def revert(row: Optimization, request: HttpRequest) -> Optimization:
    """Put the value before in force again; raises ``ConflictError`` when that is done, overtaken or impossible now."""
    reason = problem(row.kind, row.previous)
    with transaction.atomic():
        marked = Optimization.objects.in_force().filter(pk=row.pk)
        if not marked.update(reverted_at=timezone.now(), reverted_by=_caller(request)):
            raise ConflictError(_("This has been taken back already."))
        now = _stored(row.kind)
        if now != row.value:
            raise ConflictError(_("It has been changed to %(value)d since then.") % {"value": now})
        if reason:
            raise ConflictError(reason)
        _set(row.kind, row.value, row.previous, "performance_optimization_reverted", row, request)
        row.refresh_from_db()
    return row


def _set(kind: str, before: int, after: int, action: str, row: Optimization, request: HttpRequest) -> None:
    set_live(kind, after)
    record(
        action,
        AuditEntry.EventType.CONFIGURATION_CHANGE,
        request=request,
        metadata={"target": f"optimization_{row.pk}", **changed({kind: before}, {kind: after})},
    )


def _stored(kind: str) -> int:
    """Return the value in force as this transaction sees it, and keep others from changing it meanwhile.

    Whoever changes a setting moves its generation, so that row is what one waits for.
    """
    Generation.objects.select_for_update().filter(name=Setting.cached_under).first()
    row = Setting.objects.filter(name=kind).values_list("value", flat=True).first()
    return int(getattr(current(), kind) if row is None else row)


def _caller(request: HttpRequest) -> str:
    """Return ``user_7``, or ``key_3`` where nobody owns the key."""
    user = getattr(getattr(request, "user", None), "pk", None)
    return f"user_{user}" if user is not None else caller_of(request) or ""
