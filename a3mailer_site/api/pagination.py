"""Lists: ``{<plural>: […], total, page, limit}``. A page past the end is empty; a number out of range is refused."""

import re
from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _
from rest_framework import serializers
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response

MAX_LIMIT = 500
# Larger offsets are no pages of ours, and databases refuse numbers beyond 63 bits.
MAX_PAGE = 1_000_000
_NUMBER = re.compile(r"[0-9]{1,9}")


class EnvelopePagination(BasePagination):
    """Pages from 1. The view's ``collection_name`` is the key of the list, ``default_limit`` how long a page is."""

    default_limit = 50
    collection_name = "items"

    def paginate_queryset(  # type: ignore[override] # a list in memory is no collection of ours
        self, queryset: QuerySet[Any], request: Request, view: Any = None
    ) -> list[Any]:
        """Return the rows of the page that the query asks for; raises ``ValidationError`` that names the parameter."""
        self.collection_name = view.collection_name
        self._page, self._limit = page_of(request, getattr(view, "default_limit", self.default_limit))
        start = (self._page - 1) * self._limit
        rows = list(queryset[start : start + self._limit])
        if 0 < len(rows) < self._limit or (not rows and not start):
            self._total = start + len(rows)  # the last page says itself how many there are
        else:
            # A view may know how many follow; together with the page that is one pass instead of two.
            rest = getattr(view, "after", None)
            self._total = queryset.count() if rest is None or not rows else start + len(rows) + rest(queryset, rows[-1])
        return rows

    def get_paginated_response(self, data: Any) -> Response:
        """Put the rows into the envelope."""
        body = {self.collection_name: data, "total": self._total, "page": self._page, "limit": self._limit}
        return Response(body)

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Describe the envelope; ``schema.py`` has set its name. The examples stand round those of rows."""
        shown = {"total": 1, "page": 1, "limit": self.default_limit}
        counts = {name: {"type": "integer", "minimum": 0, "example": example} for name, example in shown.items()}
        return {
            "type": "object",
            "required": [self.collection_name, *counts],
            "properties": {self.collection_name: schema, **counts},
        }

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        """Describe the two query parameters."""
        limits = {"page": (1, MAX_PAGE), "limit": (getattr(view, "default_limit", self.default_limit), MAX_LIMIT)}
        return [
            {
                "name": name,
                "in": "query",
                "required": False,
                "schema": {"type": "integer", "minimum": 1, "maximum": most, "default": default},
            }
            for name, (default, most) in limits.items()
        ]


def page_of(request: Request, default_limit: int = EnvelopePagination.default_limit) -> tuple[int, int]:
    """Read which page, and of how many rows; raises ``ValidationError`` that names the parameter."""
    return number(request, "page", 1, MAX_PAGE), number(request, "limit", default_limit, MAX_LIMIT)


def number(request: Request, name: str, default: int, most: int) -> int:
    """Read a whole number from 1 to ``most`` out of the query; raises ``ValidationError`` that names it."""
    text = request.query_params.get(name)
    if text is None:
        return default
    if not _NUMBER.fullmatch(text) or not 1 <= int(text) <= most:
        raise serializers.ValidationError({name: _("This must be a whole number from 1 to %(most)s.") % {"most": most}})
    return int(text)


def search_text(request: Request) -> str:
    """Return the ``search`` parameter; raises ``ValidationError`` for what no text of ours can contain."""
    text = str(request.query_params.get("search", "")).strip()
    if len(text) > 200 or "\0" in text or not text.isprintable():
        raise serializers.ValidationError({"search": _("This must be at most 200 printable characters.")})
    return text
