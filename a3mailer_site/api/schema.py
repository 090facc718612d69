"""What the OpenAPI document says of every operation: its errors, headers and permissions, its list's name, its area.

A view says of itself only what is its own: request, answer, parameters, examples, a summary. The rest is the same for
all and is put in here, so that no view can forget it.
"""

from typing import Any

from drf_spectacular.openapi import AutoSchema

from a3mailer_site.api.permissions import declared

# Areas of the API, in the order of the page; a path's first part names its area.
AREAS = {
    "auth": "API keys. The first one is made by `manage.py quickstart` or `manage.py createapikey`.",
    "server": "What server this is; restart and reload.",
    "users": "Users and their mailboxes.",
    "domains": "Domains whose mail ends here, and their limits.",
    "aliases": "Addresses that stand for others, catch-alls among them.",
    "groups": "Groups of users. `admin` is built in: who is in it may administer the server.",
    "queue": "Mail that waits to be delivered.",
    "messages": "What became of every message, in and out.",
    "webhooks": "Programs that are told over HTTP what happens to mail.",
    "metrics": "Figures of the machine and of the server, measured where they arise, and figures of your own.",
    "security": "Blocked addresses, the audit log, rate limits.",
    "performance": "How fast the server is, what would make it faster, and doing that.",
    "health": "Whether the server is well and ready.",
}
_AREA_OF = {"ready": "health"}
_VERBS = {"list": "List", "retrieve": "Show one of the", "partial_update": "Change one of the"}
_VERBS |= {"create": "Add to the", "update": "Change one of the", "destroy": "Delete one of the"}

DESCRIPTION = """\
The management API of A3Mailer.

* Log in with `Authorization: Bearer sk_live_…`. Keys are taken over HTTPS only (from this machine also without), and
  never from the address. `x-permission` of an operation says which permission its key needs, by default and in strict
  mode; `admin` brings `write`, `write` brings `read`. Keys may be bound to networks and to domains.
* Times are UTC, `2024-01-15T10:30:00Z`. Sizes are bytes, durations seconds; what is called `…_time` is milliseconds.
  Rates are fractions from 0 to 1. What cannot be measured is `null`.
* Lists are `{"<plural>": […], "total", "page", "limit"}`. Making something is answered with 201 and its `Location`,
  deleting with 204.
* Errors have one form, below. `code` never changes; `message` and `details` follow `Accept-Language`.
* `X-Request-ID` is taken from the request, or made; it is in the answer, in errors, in the log and in the audit log.
* A POST with an `Idempotency-Key` acts once: for 24 hours the same request is answered as the first time.
* Answers may gain fields; none is ever lost or renamed.
"""

# The reference's example of an error.
ERROR_EXAMPLE = {
    "error": {
        "code": "INVALID_REQUEST",
        "message": "请求参数无效",
        "details": "字段 'email' 是必需的",
        "timestamp": "2024-01-15T10:30:00Z",
        "request_id": "req_123456789",
    }
}
_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "details", "timestamp", "request_id"],
            "properties": {
                "code": {"type": "string", "description": "One word that never changes."},
                "message": {"type": "string", "description": "What the code means, in the caller's language."},
                "details": {"type": "string", "description": "The first problem; names the field."},
                "timestamp": {"type": "string", "format": "date-time"},
                "request_id": {"type": "string"},
                "fields": {
                    "type": "object",
                    "additionalProperties": {"type": "array", "items": {"type": "string"}},
                    "description": "All problems, by field.",
                },
            },
        }
    },
    "examples": [ERROR_EXAMPLE],
}
# Status: name of the shared answer, the code in it, when it comes.
_ERRORS = {
    "400": ("InvalidRequest", "INVALID_REQUEST", "The request is not valid."),
    "401": ("Unauthorized", "UNAUTHORIZED", "There is no valid key and no session."),
    "403": ("Forbidden", "FORBIDDEN", "The key or session may not do this."),
    "404": ("NotFound", "NOT_FOUND", "There is no such thing."),
    "405": ("MethodNotAllowed", "METHOD_NOT_ALLOWED", "This method is not for this address."),
    "406": ("NotAcceptable", "NOT_ACCEPTABLE", "There is no answer in this form."),
    "409": ("Conflict", "CONFLICT", "It is there already, or would contradict what is."),
    "412": ("PreconditionFailed", "PRECONDITION_FAILED", "It was changed since the ETag in If-Match was given out."),
    "413": ("PayloadTooLarge", "PAYLOAD_TOO_LARGE", "The body is too large; unless said otherwise, it has 1 MiB."),
    "415": ("UnsupportedMediaType", "UNSUPPORTED_MEDIA_TYPE", "The body is not JSON."),
    "429": ("RateLimited", "RATE_LIMITED", "Too many requests; `Retry-After` says when to come back."),
    "500": ("InternalError", "INTERNAL_ERROR", "The server made a mistake."),
    "503": (
        "Unavailable",
        "SERVICE_UNAVAILABLE",
        "The database or the server behind the API is away; try again later.",
    ),
}
_ONLY_FOR_CHANGES = {"409", "415"}
_PARAMETERS = {
    "AcceptLanguage": {
        "name": "Accept-Language",
        "in": "header",
        "required": False,
        "description": "The language of texts: `en` or `zh-Hans`.",
        "schema": {"type": "string", "examples": ["en", "zh-Hans"]},
    },
    "RequestId": {
        "name": "X-Request-ID",
        "in": "header",
        "required": False,
        "description": "An id of your own for this request; one that is not of this form is replaced.",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._:-]{1,80}$"},
    },
    "IdempotencyKey": {
        "name": "Idempotency-Key",
        "in": "header",
        "required": False,
        "description": (
            "Any text of your own, different for every act. The same request with the same key is not carried out "
            "again for 24 hours: it gets the first answer, and `Idempotency-Replayed: true`. With another body it is "
            "409; while the first is still running, 409 with `Retry-After`."
        ),
        "schema": {"type": "string", "pattern": "^[\\x20-\\x7e]{1,200}$"},
        "example": "8e03978e-40d5-43dd-bc93-6894a57f9324",
    },
}


class EnvelopeSchema(AutoSchema):
    """Describes lists in the envelope that they really have, and says which permission an operation needs."""

    def get_operation(self, *args: Any, **kwargs: Any) -> dict[str, Any] | None:
        """Describe an operation; ``x-permission`` is what its view really asks for."""
        operation: dict[str, Any] | None = super().get_operation(*args, **kwargs)
        if operation is not None:
            usual, strict = declared(self.view, self.method)
            operation["x-permission"] = {"default": usual, "strict": strict}
        return operation

    def get_tags(self) -> list[str]:
        """Name the area."""
        first = self.path.removeprefix("/api/v1").strip("/").partition("/")[0]
        return [_AREA_OF.get(first, first)]

    def get_summary(self) -> str | None:
        """Return the view's own summary, or the first line of what its method says of itself."""
        given: str | None = super().get_summary()
        if given:
            return given
        action = str(getattr(self.view, "action", None) or self.method.lower())
        line = self.get_description().strip().partition("\n")[0]
        if line == (self.view.__doc__ or "").strip().partition("\n")[0]:
            # The method is the framework's: only the class says something, and of all its methods.
            return f"{_VERBS.get(action, action.capitalize())} {self._collection_name()}"
        return line.removesuffix(".")

    def _get_paginator(self) -> Any:
        paginator = super()._get_paginator()  # type: ignore[no-untyped-call]
        if paginator is not None:
            paginator.collection_name = self._collection_name()
            paginator.default_limit = getattr(self.view, "default_limit", paginator.default_limit)
        return paginator

    def _get_examples(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Take an example of a list as one row of it, or as the whole envelope; the generator knows only the former."""
        found: dict[str, Any] = super()._get_examples(*args, **kwargs)  # type: ignore[no-untyped-call]
        name = self._collection_name()
        for example in found.values():
            value = example.get("value")
            rows = value.get(name) if isinstance(value, dict) else None
            if isinstance(rows, list) and len(rows) == 1 and isinstance(rows[0], dict) and name in rows[0]:
                example["value"] = rows[0]
        return found

    def get_paginated_name(self, serializer_name: str) -> str:  # noqa: ARG002 - the generator passes it
        """Name the envelope after its collection."""
        return f"{self._collection_name().title().replace('_', '')}Page"

    def _collection_name(self) -> str:
        return str(getattr(self.view, "collection_name", "items"))


def finish(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:  # noqa: ARG001
    """Add the introduction, and what all operations have: errors and headers (a spectacular post-processing hook)."""
    result["info"]["description"] = DESCRIPTION
    result["tags"] = [{"name": name, "description": text} for name, text in AREAS.items()]
    components = result["components"]
    components.setdefault("schemas", {})["Error"] = _ERROR
    components["responses"] = {name: _answer(code, meaning) for name, code, meaning in _ERRORS.values()}
    components["parameters"] = _PARAMETERS
    for path, operations in result["paths"].items():
        for method, operation in operations.items():
            _complete(path, method, operation)
    return result


def _answer(code: str, meaning: str) -> dict[str, Any]:
    example = {"error": {**ERROR_EXAMPLE["error"], "code": code, "message": meaning, "details": ""}}
    examples = {"example": {"value": example}}
    if code == "INVALID_REQUEST":
        examples = {"a field is missing": {"value": ERROR_EXAMPLE}}
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}, "examples": examples}}
    return {"description": meaning, "content": content}


def _complete(path: str, method: str, operation: dict[str, Any]) -> None:
    parameters = operation.setdefault("parameters", [])
    named = {parameter.get("name") for parameter in parameters}
    for status, (name, _code, _meaning) in _ERRORS.items():
        is_for_changes = status in _ONLY_FOR_CHANGES and method == "get"
        if not (is_for_changes or (status == "412" and "If-Match" not in named)):
            operation["responses"].setdefault(status, {"$ref": f"#/components/responses/{name}"})
    wanted = ["AcceptLanguage", "RequestId"]
    if method == "post" and path.startswith("/api/"):
        wanted.append("IdempotencyKey")
    for name in wanted:
        if _PARAMETERS[name]["name"] not in named:
            parameters.append({"$ref": f"#/components/parameters/{name}"})
