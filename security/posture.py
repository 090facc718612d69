"""Posture checks: is the server set up as a careful administrator would have it? A registry that apps fill.

    check("plaintext_auth", 3, run, title=_("…"), advice=_("…"), texts={"never": _("…"), "loopback": _("…")})

``run`` returns a ``Finding``: a status, the name of a text and the facts in it, so that each reader gets it in their
language. The worker runs all checks at its start and every quarter of an hour, and keeps the results in a table. A
check looks at how the server is set up, never at how often it is attacked: the score does not fall because the server
defends itself. A check that cannot tell says unknown and does not count.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import structlog
from django.db import transaction
from django.utils import timezone
from django.utils.functional import Promise

from security.models import PostureResult

log = structlog.get_logger("security.posture")

Text: TypeAlias = str | Promise
Status: TypeAlias = PostureResult.Status


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found. ``text`` names one of the check's texts, ``facts`` (JSON) are the placeholders in it."""

    status: PostureResult.Status
    text: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Check:
    """A registered check. ``weight`` is its share in the score, ``advice`` what to do when it fails."""

    id: str
    weight: int
    run: Callable[[], Finding]
    title: Text
    advice: Text
    texts: Mapping[str, Text]

    def detail(self, text: str, facts: Mapping[str, Any]) -> str:
        """Say in the language in force what was found."""
        try:
            return str(self.texts.get(text, "")) % dict(facts)
        except (KeyError, TypeError, ValueError):
            return ""  # an older version wrote the facts


def passed(text: str = "", **facts: Any) -> Finding:
    """Return a finding that all is well."""
    return Finding(PostureResult.Status.PASS, text, facts)


def failed(text: str, **facts: Any) -> Finding:
    """Return a finding that something should be done."""
    return Finding(PostureResult.Status.FAIL, text, facts)


def unknown(text: str = "", **facts: Any) -> Finding:
    """Return a finding that nobody can tell."""
    return Finding(PostureResult.Status.UNKNOWN, text, facts)


_checks: dict[str, Check] = {}


def check(
    id: str,  # noqa: A002 - what it is
    weight: int,
    run: Callable[[], Finding],
    *,
    title: Text,
    advice: Text = "",
    texts: Mapping[str, Text] | None = None,
) -> None:
    """Register a check, in ``ready()``. ``weight`` from 1 to 5: how bad it is when it fails."""
    _checks[id] = Check(id, weight, run, title, advice, texts or {})


def registered() -> dict[str, Check]:
    """Return all checks by id."""
    return dict(_checks)


def scan() -> int:
    """Run all checks and keep what they found; returns how many. Takes seconds: it belongs in the worker."""
    now = timezone.now()
    found = {one.id: _run(one) for one in _checks.values()}
    with transaction.atomic():
        for check_id, finding in found.items():
            PostureResult.objects.update_or_create(
                check_id=check_id,
                defaults={
                    "status": finding.status,
                    "text": finding.text,
                    "facts": dict(finding.facts),
                    "ran_at": now,
                },
            )
        PostureResult.objects.exclude(check_id__in=found).delete()
    return len(found)


def _run(one: Check) -> Finding:
    try:
        return one.run()
    except Exception:
        # One check that cannot run must not stop the others.
        log.exception("a posture check failed to run", check=one.id)
        return unknown()


def results() -> list[dict[str, Any]]:
    """Return every check with what it found last, in the language in force; by weight, then by name."""
    rows = {row.check_id: row for row in PostureResult.objects.all()}
    return [_shown(one, rows.get(one.id)) for one in sorted(_checks.values(), key=lambda one: (-one.weight, one.id))]


def score() -> float | None:
    """Return the weight that passed over the weight that is known, from 0 to 1; ``None`` when nothing is known."""
    good = total = 0
    for check_id, status in PostureResult.objects.values_list("check_id", "status"):
        if check_id in _checks and status != PostureResult.Status.UNKNOWN:
            total += _checks[check_id].weight
            good += _checks[check_id].weight * (status == PostureResult.Status.PASS)
    return round(good / total, 4) if total else None


def _shown(one: Check, row: PostureResult | None) -> dict[str, Any]:
    status = row.status if row is not None else PostureResult.Status.UNKNOWN
    return {
        "id": one.id,
        "title": str(one.title),
        "status": status,
        "weight": one.weight,
        "detail": one.detail(row.text, row.facts) if row is not None else "",
        "advice": str(one.advice) if status == PostureResult.Status.FAIL else "",
        "checked_at": row.ran_at if row is not None else None,
    }
