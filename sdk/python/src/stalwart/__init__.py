"""The API reference's import name for ``a3mailer_sdk``."""

from a3mailer_sdk import *  # noqa: F403 - all of it, under the other name
from a3mailer_sdk import A3MailerClient as StalwartClient
from a3mailer_sdk import AsyncA3MailerClient as AsyncStalwartClient

__all__ = ["AsyncStalwartClient", "StalwartClient"]
