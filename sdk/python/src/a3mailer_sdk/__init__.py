"""Client of A3Mailer's management API.

from a3mailer_sdk import A3MailerClient

with A3MailerClient("https://mail.example.com", "sk_live_…") as client:
    print(client.server.get_info().uptime)
"""

from a3mailer_sdk.client import A3MailerClient, AsyncA3MailerClient
from a3mailer_sdk.errors import (
    A3MailerError,
    APIError,
    ConflictError,
    ConnectionFailedError,
    ForbiddenError,
    InternalError,
    InvalidRequestError,
    NotFoundError,
    PreconditionFailedError,
    RateLimitedError,
    ServiceUnavailableError,
    TimedOutError,
    UnauthorizedError,
)
from a3mailer_sdk.retries import Retries

__all__ = [
    "A3MailerClient",
    "A3MailerError",
    "APIError",
    "AsyncA3MailerClient",
    "ConflictError",
    "ConnectionFailedError",
    "ForbiddenError",
    "InternalError",
    "InvalidRequestError",
    "NotFoundError",
    "PreconditionFailedError",
    "RateLimitedError",
    "Retries",
    "ServiceUnavailableError",
    "TimedOutError",
    "UnauthorizedError",
]
