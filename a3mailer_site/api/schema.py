"""What the OpenAPI document says of every operation: its errors, its list's name, its ids."""

from typing import Any

from drf_spectacular.openapi import AutoSchema

_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "details", "timestamp", "request_id"],
            "properties": {
                "code": {"type": "string"},
                "message": {"type": "string"},
                "details": {"type": "string"},
                "timestamp": {"type": "string", "format": "date-time"},
                "request_id": {"type": "string"},
                "fields": {"type": "object", "additionalProperties": {"type": "array", "items": {"type": "string"}}},
            },
        }
    },
}
_ERRORS = {
    "400": "The request is not valid.",
    "401": "There is no valid key and no session.",
    "403": "The key or session may not do this.",
    "404": "There is no such thing.",
    "405": "This method is not for this address.",
    "406": "There is no answer in this form.",
    "409": "It is there already, or would contradict what is.",
    "412": "It has been changed since the ETag in If-Match was given out.",
    "413": "The body is larger than 1 MiB.",
    "415": "The body is not JSON.",
    "429": "Too many requests.",
    "500": "The server made a mistake.",
    "503": "The database or the server behind the API is away; try again later.",
}


class EnvelopeSchema(AutoSchema):
    """Describes lists in the envelope that they really have."""

    def _get_paginator(self) -> Any:
        paginator = super()._get_paginator()  # type: ignore[no-untyped-call]
        if paginator is not None:
            paginator.collection_name = self._collection_name()
            paginator.default_limit = getattr(self.view, "default_limit", paginator.default_limit)
        return paginator

    def get_paginated_name(self, serializer_name: str) -> str:  # noqa: ARG002 - the generator passes it
        """Name the envelope after its collection."""
        return f"{self._collection_name().title().replace('_', '')}Page"

    def _collection_name(self) -> str:
        return str(getattr(self.view, "collection_name", "items"))


def finish(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:  # noqa: ARG001
    """Add the errors that every operation can answer with (a spectacular post-processing hook)."""
    result["components"].setdefault("schemas", {})["Error"] = _ERROR
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    for operations in result["paths"].values():
        for operation in operations.values():
            for status, meaning in _ERRORS.items():
                operation["responses"].setdefault(status, {"description": meaning, "content": content})
    return result
