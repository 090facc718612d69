"""The one writer of error answers: ``{"error": {code, message, details, timestamp, request_id}}``.

``code`` never changes; ``message`` and ``details`` follow the caller's language. ``details`` names the first problem;
``fields`` has all of them. Nothing of our insides (stack, SQL, paths) gets out.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import structlog
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import DataError, IntegrityError, InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.utils import translation
from django.utils.cache import patch_vary_headers
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views import defaults
from rest_framework import exceptions, serializers
from rest_framework.response import Response
from rest_framework.views import exception_handler as default_handler
from rest_framework.views import set_rollback

from a3mailer_site.api.request_ids import own_or_new

log = structlog.get_logger("a3mailer_site.api")

# Paths whose errors are for programs. Everything else is a page for people.
API_PATHS = ("/api/", "/health", "/ready", "/metrics")
# Seconds after which a caller may try again when the database was locked or away.
RETRY_AFTER = 5

# Status: code of the API reference, and what it says. The reference calls its list "common": 405 to 415 are ours.
_MEANINGS = {
    400: ("INVALID_REQUEST", gettext_lazy("The request is not valid.")),
    401: ("UNAUTHORIZED", gettext_lazy("You are not logged in.")),
    403: ("FORBIDDEN", gettext_lazy("You may not do this.")),
    404: ("NOT_FOUND", gettext_lazy("There is no such thing.")),
    405: ("METHOD_NOT_ALLOWED", gettext_lazy("This method is not for this address.")),
    406: ("NOT_ACCEPTABLE", gettext_lazy("There is no answer in this form.")),
    409: ("CONFLICT", gettext_lazy("This does not go together with what is there.")),
    412: ("PRECONDITION_FAILED", gettext_lazy("It has been changed since you looked at it.")),
    413: ("PAYLOAD_TOO_LARGE", gettext_lazy("The request is too large.")),
    415: ("UNSUPPORTED_MEDIA_TYPE", gettext_lazy("The request must be JSON.")),
    429: ("RATE_LIMITED", gettext_lazy("Too many requests.")),
    500: ("INTERNAL_ERROR", gettext_lazy("The server made a mistake.")),
    503: ("SERVICE_UNAVAILABLE", gettext_lazy("The service is not available now.")),
}


class ConflictError(exceptions.APIException):
    """What is asked for is there already, or would contradict what is."""

    status_code = 409
    default_detail = gettext_lazy("This is there already.")
    default_code = "conflict"


class ChangedSinceError(exceptions.APIException):
    """The caller's ``If-Match`` names an older state (RFC 9110 section 13.1.1)."""

    status_code = 412
    default_detail = gettext_lazy("Read it again, and send the change with the new ETag.")
    default_code = "precondition_failed"


class UnavailableError(exceptions.APIException):
    """What would answer cannot do so now."""

    status_code = 503
    default_detail = gettext_lazy("Try again later.")
    default_code = "unavailable"


def is_api(request: HttpRequest) -> bool:
    """Say whether errors of this request are for programs."""
    return _is_api_path(request.path)


def _is_api_path(path: str) -> bool:
    return path == "/api" or path.startswith(API_PATHS)


def error_body(
    request: HttpRequest, status: int, details: str = "", fields: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the body of an error answer."""
    code, message = _MEANINGS.get(status, _MEANINGS[500 if status >= 500 else 400])
    error: dict[str, Any] = {
        "code": code,
        "message": str(message),
        "details": details,
        "timestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "request_id": getattr(request, "request_id", ""),
    }
    if fields:
        error["fields"] = fields
    return {"error": error}


def plain_error(request: HttpRequest, status: int, details: str = "") -> JsonResponse:
    """Return an error answer from outside the REST framework."""
    body = error_body(request, status, details)
    response = JsonResponse(body, status=status, content_type="application/json; charset=utf-8")
    if status == 503:
        response["Retry-After"] = str(RETRY_AFTER)
    return response


def try_again(seconds: int) -> str:
    """Say when a call that was too much may be made again."""
    return ngettext("Try again in %(count)d second.", "Try again in %(count)d seconds.", seconds) % {"count": seconds}


def early_error(request: HttpRequest, status: int) -> JsonResponse:
    """Return an error answer from where nobody has looked yet which language the caller wants."""
    language = translation.get_language_from_request(request)
    with translation.override(language):
        response = plain_error(request, status)
    response["Content-Language"] = language
    patch_vary_headers(response, ["Accept-Language"])
    return response


def early_page(request: HttpRequest, status: int) -> HttpResponse:
    """Return an error page, of one sentence, from where nobody has looked yet which language the reader wants."""
    with translation.override(translation.get_language_from_request(request)):
        text = str(_MEANINGS[status][1])
        return HttpResponse(text, status=status, content_type="text/plain; charset=utf-8")


def bare_error(
    path: str, headers: Iterable[tuple[bytes, bytes]], status: int
) -> tuple[list[tuple[bytes, bytes]], bytes] | None:
    """Return headers and body of an error that the web server gives without Django; ``None`` outside of the API.

    ``headers`` are the request's, in any case.
    """
    if not _is_api_path(path):
        return None
    request = HttpRequest()
    request.path = path
    request.META = {
        f"HTTP_{name.decode('latin-1').upper().replace('-', '_')}": value.decode("latin-1") for name, value in headers
    }
    request.request_id = own_or_new(request.META.get("HTTP_X_REQUEST_ID", ""))  # type: ignore[attr-defined]
    response = early_error(request, status)
    response["X-Request-ID"] = request.request_id  # type: ignore[attr-defined]
    response["Content-Length"] = str(len(response.content))
    return [(name.encode(), value.encode()) for name, value in response.items()], response.content


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """Answer an exception of an API view (the REST framework's EXCEPTION_HANDLER)."""
    request = context["request"]
    error = _known(error)
    response = default_handler(error, context)
    if response is None:
        # Whoever runs the server is told here; the caller only that it happened.
        log.error("request.failed", exc_info=error, request_id=getattr(request, "request_id", ""), path=request.path)
        set_rollback()
        response = Response(status=500)
    fields = None
    if isinstance(error, serializers.ValidationError):
        details, fields = _problems(error.detail)
    elif isinstance(error, exceptions.Throttled) and "Retry-After" in response:
        details = try_again(int(response["Retry-After"]))
    else:
        details = str(getattr(error, "detail", "")) if isinstance(error, exceptions.APIException) else ""
    if response.status_code == 503:
        response["Retry-After"] = str(RETRY_AFTER)
    response.data = error_body(request, response.status_code, details, fields)
    return response


def row_problem(error: Exception) -> dict[str, Any]:
    """Return ``code``, ``details`` and ``fields`` for one of many things in a request that could not be done.

    A mistake of ours is no answer to the caller: it is raised again, and ends the request.
    """
    error = _known(error)
    if not isinstance(error, exceptions.APIException):
        raise error
    details, fields = _problems(error.detail) if isinstance(error, serializers.ValidationError) else ("", {})
    return {"code": _MEANINGS[error.status_code][0], "details": details or str(error.detail), "fields": fields}


def _known(error: Exception) -> Exception:
    """Turn what Django and the database raise into what the API says."""
    if isinstance(error, ValidationError):
        return from_django(error)
    if isinstance(error, (OperationalError, InterfaceError)):
        log.warning("request.database_away", reason=str(error))
        return UnavailableError()
    if isinstance(error, IntegrityError):
        return ConflictError()
    if isinstance(error, (DataError, OverflowError, UnicodeEncodeError)):
        return serializers.ValidationError(_("A value is out of range."))
    if isinstance(error, Http404):
        return exceptions.NotFound("")  # Django's text would name our classes
    if isinstance(error, PermissionDenied):
        return exceptions.PermissionDenied(*error.args)
    return error


def from_django(error: ValidationError, names: Mapping[str, str] | None = None) -> exceptions.APIException:
    """Turn a model's refusal into the API's: 409 when something is there already, else 400 with the fields named.

    ``names`` maps the model's field names to the API's, where they differ.
    """
    by_field: dict[str, list[ValidationError]]
    by_field = error.error_dict if hasattr(error, "error_dict") else {"non_field_errors": error.error_list}
    for name, errors in by_field.items():
        for one in errors:
            if one.code == "unique":
                return ConflictError(_field_text((names or {}).get(name, name), one.messages[0]))
    problems = {
        (names or {}).get(name, name).replace("__all__", "non_field_errors"): [
            text for one in errors for text in one.messages
        ]
        for name, errors in by_field.items()
    }
    return serializers.ValidationError(problems)


def _problems(detail: Any) -> tuple[str, dict[str, Any]]:
    """Return the first problem in words, and all of them by field."""
    found = list(_walk(detail, ""))
    fields: dict[str, list[str]] = {}
    for name, text in found:
        fields.setdefault(name or "non_field_errors", []).append(str(text))
    name, text = found[0] if found else ("", "")
    if name and getattr(text, "code", "") == "required":
        return _("Field '%(name)s' is required.") % {"name": name}, fields
    return _field_text(name, text), fields


def _walk(detail: Any, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(detail, Mapping):
        for key, value in detail.items():
            inner = "" if key in {"non_field_errors", "detail"} else str(key)
            yield from _walk(value, f"{name}.{inner}" if name and inner else name or inner)
    elif isinstance(detail, list):
        for value in detail:
            yield from _walk(value, name)
    else:
        yield name, detail


def _field_text(name: str, text: str) -> str:
    if not name or name == "non_field_errors":
        return text
    return _("Field '%(name)s': %(problem)s") % {"name": name, "problem": text}


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer what Django itself refuses (a forged host, a malformed form)."""
    return plain_error(request, 400) if is_api(request) else defaults.bad_request(request, exception)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer a refusal outside the REST framework."""
    return plain_error(request, 403) if is_api(request) else defaults.permission_denied(request, exception)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer an address that nothing lives at."""
    return plain_error(request, 404) if is_api(request) else defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer an exception that nobody caught; Django has logged it."""
    return plain_error(request, 500) if is_api(request) else defaults.server_error(request)
