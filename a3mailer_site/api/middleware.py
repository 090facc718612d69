"""What happens to every HTTP request before and after everything else: its id, its size, its headers."""

from collections.abc import Callable

from django.core.signals import request_finished
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.template.loader import render_to_string
from structlog.contextvars import bind_contextvars, unbind_contextvars

from a3mailer_site.api.errors import RETRY_AFTER, early_error, early_page, is_api, plain_error
from a3mailer_site.api.peers import comes_by_proxy
from a3mailer_site.api.request_ids import own_or_new

# Bytes of a request's body, and where it may have more; each of these is stated in the OpenAPI document. None is over
# DATA_UPLOAD_MAX_MEMORY_SIZE, which Django applies by itself.
BODY_LIMIT = 1024**2
BODY_LIMITS = {
    "/api/v1/users/bulk": 2 * 1024**2,
    "/api/v1/users/import": 2 * 1024**2,
    "/api/v1/messages/send": 48 * 1024**2,
}
# A page has forms, some of which take a file of that size.
PAGE_BODY_LIMIT = 2 * 1024**2

# Alpine, which the admin's theme is built on, evaluates expressions in attributes; hence 'unsafe-eval'. Inline scripts
# stay forbidden, so text of strangers cannot become one.
_POLICY = "; ".join(
    [
        "default-src 'self'",
        "script-src 'self' 'unsafe-eval'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data:",
        "font-src 'self' data:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    ]
)


def _forget_request_id(**_: object) -> None:
    unbind_contextvars("request_id")


request_finished.connect(_forget_request_id, dispatch_uid="request_id")


class ForwardedMiddleware:
    """Believe that a request came over HTTPS only if a configured proxy says so. Comes before everything else."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Pass the request on, without a claim that nobody vouches for."""
        if not comes_by_proxy(request):
            request.META.pop("HTTP_X_FORWARDED_PROTO", None)
        return self._get_response(request)


class RequestIdMiddleware:
    """Give every request an id, its own or a new one; refuse what is too large; answer when the database is away."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Pass the request on, and the id back."""
        request_id = own_or_new(request.headers.get("X-Request-ID", ""))
        request.request_id = request_id  # type: ignore[attr-defined]
        # To the end of the request, not of this call: Django logs what it answered after all middleware.
        bind_contextvars(request_id=request_id)
        response = self._refuse_large(request) or self._get_response(request)
        response.headers["X-Request-ID"] = request_id
        response.headers.setdefault("Content-Security-Policy", _POLICY)
        return response

    def _refuse_large(self, request: HttpRequest) -> HttpResponse | None:
        # The REST framework reads the stream itself, past Django's own limit. What has no length has no body in WSGI.
        length = request.META.get("CONTENT_LENGTH") or "0"
        most = BODY_LIMITS.get(request.path, BODY_LIMIT) if is_api(request) else PAGE_BODY_LIMIT
        if not length.isdecimal() or int(length) <= most:
            return None
        return early_error(request, 413) if is_api(request) else early_page(request, 413)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Answer 503 instead of 500 while the database is locked or away."""
        if not isinstance(exception, (OperationalError, InterfaceError)):
            return None
        if is_api(request):
            return plain_error(request, 503)
        response = HttpResponse(render_to_string("503.html"), status=503)
        response["Retry-After"] = str(RETRY_AFTER)
        return response
