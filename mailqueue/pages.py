"""Pages of lists that may have a million rows: never counted to the end; and what is read out of path and query."""

from typing import Any

from django.db.models import QuerySet
from django.http import Http404
from django.utils.translation import gettext as _
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from a3mailer_site.api.pagination import MAX_LIMIT, MAX_PAGE, EnvelopePagination, number
from a3mailer_site.api.schema import EnvelopeSchema
from a3mailer_site.paging import MOST
from mailqueue.querysets import queue_id


class BoundedPagination(EnvelopePagination):
    """The envelope, with ``total_is_exact``: where it is false there are more than ``total`` rows.

    A view may know the number without counting: ``known_total(request)`` gives it, or ``None``.
    """

    def paginate_queryset(  # type: ignore[override] # a list in memory is no collection of ours
        self, queryset: QuerySet[Any], request: Request, view: Any = None
    ) -> list[Any]:
        """Return the rows of the page; raises ``ValidationError`` that names the parameter."""
        self.collection_name = view.collection_name
        self._page = number(request, "page", 1, MAX_PAGE)
        self._limit = number(request, "limit", getattr(view, "default_limit", self.default_limit), MAX_LIMIT)
        known = view.known_total(request)
        self._total = queryset.order_by()[: MOST + 1].count() if known is None else known
        self._is_exact = known is not None or self._total <= MOST
        if not self._is_exact:
            self._total = MOST
        start = (self._page - 1) * self._limit
        return list(queryset[start : start + self._limit]) if start < self._total else []

    def get_paginated_response(self, data: Any) -> Response:
        """Put the rows into the envelope."""
        response = super().get_paginated_response(data)
        response.data["total_is_exact"] = self._is_exact
        return response

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Describe the envelope."""
        described = super().get_paginated_response_schema(schema)
        described["properties"]["total_is_exact"] = {"type": "boolean"}
        described["required"].append("total_is_exact")
        return described


class LogPagination(BoundedPagination):
    """The same, with ``searched_from``: a time, where only what is younger was gone through."""

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Describe the envelope."""
        described = super().get_paginated_response_schema(schema)
        described["properties"]["searched_from"] = {"type": ["string", "null"], "format": "date-time"}
        return described


class PageSchema(EnvelopeSchema):
    """Names a page after what is on it: two lists here have the same key."""

    def get_paginated_name(self, serializer_name: str) -> str:
        """Name the envelope after its rows."""
        return f"{serializer_name}Page"


class QueueIdLookup:
    """Views whose path names a message by its queue id."""

    kwargs: dict[str, Any]

    def number(self) -> int:
        """Return the number of the message; raises ``Http404`` for what is no queue id."""
        found = queue_id(str(self.kwargs["message_id"]))
        if found is None:
            raise Http404
        return found


def choice(request: Request, name: str, choices: Any) -> str:
    """Read one of these words out of the query, or nothing; raises ``ValidationError`` that names the parameter."""
    text = str(request.query_params.get(name, ""))
    if text and text not in choices:
        words = ", ".join(choices)
        raise serializers.ValidationError({name: _("This must be one of: %(words)s.") % {"words": words}})
    return text


def text_of(request: Request, name: str, longest: int = 320) -> str:
    """Read text out of the query; raises ``ValidationError`` for what nothing of ours can contain."""
    text = str(request.query_params.get(name, "")).strip()
    if len(text) > longest or not text.isprintable():
        problem = _("This must be at most %(most)s printable characters.") % {"most": longest}
        raise serializers.ValidationError({name: problem})
    return text
