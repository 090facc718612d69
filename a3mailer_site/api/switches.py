"""Switches in the query that many operations have: ``?dry_run=1`` and ``?explain=1``.

With ``dry_run`` an operation answers what it would do and does nothing. With ``explain`` an answer has one more member,
``explain``, which says of each number where it comes from:

    {"cpu_usage": 45.2, "explain": {"cpu_usage": {"source": "…", "window_seconds": 5, "samples": 5}}}
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.request import Request

_ON, _OFF = {"1", "true"}, {"", "0", "false"}

DRY_RUN = OpenApiParameter(
    "dry_run", bool, description="`1`: answer what would be done, and change nothing.", required=False
)
EXPLAIN = OpenApiParameter(
    "explain", bool, description="`1`: say of each number its source, window and sample count.", required=False
)


@dataclass(frozen=True, slots=True)
class Source:
    """Where a number comes from. ``window_seconds`` is ``None`` for what holds at this moment or since the start."""

    source: str
    window_seconds: float | None = None
    samples: int | None = None


def is_dry_run(request: Request) -> bool:
    """Say whether nothing must be changed."""
    return switch(request, "dry_run")


def explained(request: Request, answer: dict[str, Any], sources: Mapping[str, Source]) -> dict[str, Any]:
    """Return the answer, with ``explain`` if that is asked for; ``sources`` by field, inner fields as ``a.b``."""
    if not switch(request, "explain"):
        return answer
    return {**answer, "explain": {name: asdict(source) for name, source in sources.items()}}


def switch(request: Request, name: str) -> bool:
    """Read a switch out of the query; raises ``ValidationError`` that names it for what is neither on nor off."""
    text = request.query_params.get(name, "").lower()
    if text not in _ON | _OFF:
        raise serializers.ValidationError({name: _("This must be 1 or 0.")})
    return text in _ON
