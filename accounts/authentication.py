"""Who calls the API: the owner of a key, or an administrator's web session."""

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext as _
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication, SessionAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied
from rest_framework.request import Request

from a3mailer_site.api.peers import client_address, is_loopback
from a3mailer_site.env import current
from a3mailer_site.expiring import Expiring
from a3mailer_site.figures import figures
from a3mailer_site.generations import listen
from a3mailer_site.models import Generation
from accounts.key_bounds import covers
from accounts.models import ApiKey, User
from security.audit import record
from security.models import AuditEntry

_SCHEME = b"bearer"
_USED_STEP = timedelta(minutes=1)
# Seconds between two audit entries about the same key in the wrong place, and how many such keys are remembered.
_OUTSIDE_STEP, _OUTSIDE_KEYS = 60.0, 10_000
# What ends a key or changes its power: its own row, its owner, the owner's domain.
_GENERATIONS = ("api_keys", "addresses")
_REMEMBERED = 10_000

_KEY_SCHEME = "An API key. Over HTTPS only, except from the server's own machine."
_SESSION_SCHEME = "An administrator's session of the web admin. Every change also needs `X-CSRFToken`."

_known: dict[str, tuple[int, ApiKey]] = {}
_told_outside: Expiring[int, bool] = Expiring(_OUTSIDE_STEP, _OUTSIDE_KEYS)


def key_of(request: Request) -> ApiKey | None:
    """Return the key in the Authorization header; ``None`` when there is no such header.

    Raises ``AuthenticationFailed`` for every key that does not hold, always in the same words.
    """
    parts = _bearer(request)
    if parts is None:
        return None
    secret = parts[1].decode("ascii", "replace") if len(parts) == 2 else ""
    now = timezone.now()
    key = _find(ApiKey.digest_of(secret)) if secret.startswith(ApiKey.PREFIX) else None
    if key is None or not _holds(key, now) or not _is_at_home(key, request):
        raise AuthenticationFailed(_("The API key is not valid."))
    if key.last_used_at is None or now - key.last_used_at >= _USED_STEP:
        ApiKey.objects.filter(pk=key.pk).note_use(now, _USED_STEP)
        key.last_used_at = now
    return key


def forget() -> None:
    """Forget the keys that are remembered."""
    _known.clear()


listen("api_keys", forget)


def _find(digest: str) -> ApiKey | None:
    """Return the key with this digest and its owner.

    Remembered as long as the generations stand where they stood when it was read; that one small query a request is
    what makes a revocation hold at once in every process.
    """
    standing = Generation.objects.standing(*_GENERATIONS)
    known = _known.get(digest)
    if known is not None and known[0] == standing:
        figures.count("cache.keys.hits")
        return known[1]
    figures.count("cache.keys.misses")
    key = ApiKey.objects.select_related("owner__domain").filter(digest=digest).first()
    if key is None:
        return None
    if key.owner is not None and not key.owner.is_superuser:
        # A key has no more power than its owner has now, whatever he was when it was made.
        key.permissions = [word for word in key.permissions if word != "admin"]
    if len(_known) >= _REMEMBERED:
        _known.clear()
    _known[digest] = (standing, key)
    return key


def _holds(key: ApiKey, now: datetime) -> bool:
    over = key.revoked_at is not None or (key.expires_at is not None and key.expires_at <= now)
    return not over and (key.owner is None or key.owner.may_log_in)


def _is_at_home(key: ApiKey, request: Request) -> bool:
    """Say whether the key may be used from where the request comes; the audit log learns of it when not."""
    if key.allowed_networks is None:
        return True
    address = client_address(request._request)
    if covers(key.allowed_networks, address):
        return True
    if _told_outside.get(key.pk) is None:
        _told_outside.put(key.pk, True)
        figures.count("api.keys.outside")
        record(
            "api_key_outside_network",
            AuditEntry.EventType.SECURITY_VIOLATION,
            request=request._request,
            # Not the user of a web session that may have come along.
            user_id="" if key.owner_id is None else key.owner_id,
            severity=AuditEntry.Severity.WARNING,
            outcome=AuditEntry.Outcome.FAILURE,
            metadata={"target": f"key_{key.pk}", "name": key.name},
        )
    return False


class ApiKeyAuthentication(BaseAuthentication):
    """``Authorization: Bearer sk_live_…``; never from the URL, and over clear text only on this machine."""

    def authenticate(self, request: Request) -> tuple[Any, ApiKey] | None:
        """Return the key's owner (a key may have none) and the key."""
        if _bearer(request) is not None and not _is_private(request):
            raise PermissionDenied(_("API keys are taken over HTTPS only."))
        try:
            key = key_of(request)
        except AuthenticationFailed:
            if _is_first_look(request):
                figures.count("login.api_key.failed")
            raise
        if key is None:
            return None
        if _is_first_look(request):
            figures.count("login.api_key.succeeded")
        return key.owner, key

    def authenticate_header(self, request: Request) -> str:  # noqa: ARG002 - the framework passes it
        """Say how to log in; without it the framework would answer 403 instead of 401."""
        return "Bearer"


def _is_first_look(request: Request) -> bool:
    """Say so once a request: with an ``Idempotency-Key`` the middleware looks at the key before the view does."""
    seen = getattr(request._request, "key_seen", False)
    request._request.key_seen = True  # type: ignore[attr-defined]
    return not seen


def _bearer(request: Request) -> list[bytes] | None:
    """Return the words of the header when its first says that a key follows."""
    parts = get_authorization_header(request).split()
    return parts if parts and parts[0].lower() == _SCHEME else None


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
        return {"type": "http", "scheme": "bearer", "bearerFormat": "sk_live_…", "description": _KEY_SCHEME}


class SessionScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the OpenAPI document describes sessions."""

    target_class = "accounts.authentication.CsrfSessionAuthentication"
    name = "session"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:  # noqa: ARG002 - the generator passes it
        """Return the security scheme."""
        cookie = {"type": "apiKey", "in": "cookie", "name": settings.SESSION_COOKIE_NAME}
        return {**cookie, "description": _SESSION_SCHEME}
