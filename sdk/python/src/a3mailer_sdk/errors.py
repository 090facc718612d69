"""What can go wrong with a call. Everything is an ``A3MailerError``; what the server says is an ``APIError``."""

from collections.abc import Mapping
from typing import Any


class A3MailerError(Exception):
    """A call that did not succeed."""


class ConnectionFailedError(A3MailerError):
    """The server could not be reached, or did not answer to the end."""


class TimedOutError(ConnectionFailedError):
    """The server took longer than ``timeout`` seconds."""


class APIError(A3MailerError):
    """The server's refusal.

    ``code`` is a word of the API reference and never changes, ``message`` and ``details`` follow the language asked
    for, ``fields`` has all problems by field, ``request_id`` is what the server's log calls the call. ``retry_after``
    is in seconds, ``None`` when the server did not say.
    """

    def __init__(self, status: int, error: Mapping[str, Any], retry_after: float | None = None) -> None:
        fields = error.get("fields")
        self.status = status
        self.code = str(error.get("code") or "")
        self.message = str(error.get("message") or "")
        self.details = str(error.get("details") or "")
        self.fields: dict[str, list[str]] = dict(fields) if isinstance(fields, Mapping) else {}
        self.request_id = str(error.get("request_id") or "")
        self.retry_after = retry_after
        parts = (f"{status} {self.code}".strip(), self.message, self.details)
        super().__init__(": ".join(part for part in parts if part))


class InvalidRequestError(APIError):
    """400: the request is not valid; ``fields`` says where."""


class UnauthorizedError(APIError):
    """401: there is no valid key."""


class ForbiddenError(APIError):
    """403: the key may not do this."""


class NotFoundError(APIError):
    """404: there is no such thing."""


class ConflictError(APIError):
    """409: it is there already, or contradicts what is."""


class PreconditionFailedError(APIError):
    """412: it was changed since the ETag in ``if_match`` was read."""


class RateLimitedError(APIError):
    """429: too many requests; ``retry_after`` says when there may be more."""


class InternalError(APIError):
    """500: the server made a mistake; ``request_id`` finds it in the server's log."""


class ServiceUnavailableError(APIError):
    """502, 503, 504: the service is not available now."""


KINDS: Mapping[int, type[APIError]] = {
    400: InvalidRequestError,
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    412: PreconditionFailedError,
    429: RateLimitedError,
    500: InternalError,
    502: ServiceUnavailableError,
    503: ServiceUnavailableError,
    504: ServiceUnavailableError,
}
