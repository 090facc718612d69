"""Who calls the API: the owner of a key, or an administrator's web session."""

from datetime import timedelta
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication, SessionAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied
from rest_framework.request import Request

from a3mailer_site.api.peers import is_loopback
from a3mailer_site.env import current
from a3mailer_site.figures import figures
from accounts.models import ApiKey, User

_SCHEME = b"bearer"
_USED_STEP = timedelta(minutes=1)


def key_of(request: Request) -> ApiKey | None:
    """Return the key in the Authorization header; ``None`` when there is no such header.

    Raises ``AuthenticationFailed`` for every key that does not hold, always in the same words.
    """
    parts = get_authorization_header(request).split()
    if not parts or parts[0].lower() != _SCHEME:
        return None
    secret = parts[1].decode("ascii", "replace") if len(parts) == 2 else ""
    now = timezone.now()
    found = ApiKey.objects.in_force(now).select_related("owner__domain").filter(digest=ApiKey.digest_of(secret))
    key = found.first()
    if not secret.startswith(ApiKey.PREFIX) or key is None or (key.owner is not None and not key.owner.may_log_in):
        raise AuthenticationFailed(_("The API key is not valid."))
    if key.owner is not None and not key.owner.is_superuser:
        # A key has no more power than its owner has now, whatever he was when it was made.
        key.permissions = [word for word in key.permissions if word != "admin"]
    if key.last_used_at is None or now - key.last_used_at >= _USED_STEP:
        ApiKey.objects.filter(pk=key.pk).update(last_used_at=now)
    return key


class ApiKeyAuthentication(BaseAuthentication):
    """``Authorization: Bearer sk_live_…``; never from the URL, and over clear text only on this machine."""

    def authenticate(self, request: Request) -> tuple[Any, ApiKey] | None:
        """Return the key's owner (a key may have none) and the key."""
        if get_authorization_header(request)[:7].lower() == b"bearer " and not _is_private(request):
            raise PermissionDenied(_("API keys are taken over HTTPS only."))
        try:
            key = key_of(request)
        except AuthenticationFailed:
            figures.count("login.api_key.failed")
            raise
        if key is None:
            return None
        figures.count("login.api_key.succeeded")
        return key.owner, key

    def authenticate_header(self, request: Request) -> str:  # noqa: ARG002 - the framework passes it
        """Say how to log in; without it the framework would answer 403 instead of 401."""
        return "Bearer"


def _is_private(request: Request) -> bool:
    return request.is_secure() or is_loopback(request._request) or current().clear_text_keys


class CsrfSessionAuthentication(SessionAuthentication):
    """The web admin's session, for the browsable API. Every change needs the CSRF token."""

    def authenticate(self, request: Request) -> tuple[User, None] | None:
        """Return the administrator who is logged in."""
        user = getattr(request._request, "user", None)
        if not isinstance(user, User) or not user.is_active or not user.is_staff:
            return None
        self.enforce_csrf(request)
        return user, None


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the OpenAPI document describes keys."""

    target_class = "accounts.authentication.ApiKeyAuthentication"
    name = "apiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:  # noqa: ARG002 - the generator passes it
        """Return the security scheme."""
        return {"type": "http", "scheme": "bearer"}


class SessionScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the OpenAPI document describes sessions."""

    target_class = "accounts.authentication.CsrfSessionAuthentication"
    name = "session"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:  # noqa: ARG002 - the generator passes it
        """Return the security scheme."""
        return {"type": "apiKey", "in": "cookie", "name": "sessionid"}
