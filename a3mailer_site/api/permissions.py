"""Who may call what: ``read`` covers every GET, ``write`` every change, ``admin`` what makes or touches power.

A view says otherwise by action: ``scopes = {"create": "admin"}``; under ``strict_permissions`` those named in
``strict = {"destroy"}`` need ``admin`` too.

A key may be restricted to some domains. Then it may call only views that say ``per_domain = True``, and these show and
change nothing of other domains: they ask ``domains_of``. Every other view is closed to such a key.
"""

from typing import Any

from rest_framework.permissions import SAFE_METHODS, AllowAny, BasePermission
from rest_framework.request import Request

from a3mailer_site.env import current

# What each word brings with it.
IMPLIED = {"admin": {"admin", "write", "read"}, "write": {"write", "read"}, "read": {"read"}}


def granted(request: Request) -> frozenset[str]:
    """Return the words that this request's key or session may use."""
    words = getattr(request.auth, "permissions", None)
    if words is None:
        # A session of the web admin. Only those who may do everything there may do anything here.
        user = request.user
        words = ["admin"] if user is not None and user.is_active and user.is_superuser else []
    return frozenset(implied for word in words for implied in IMPLIED.get(word, ()))


def domains_of(request: Request) -> frozenset[str] | None:
    """Return the domains (A-labels, lower case) that the caller is restricted to; ``None`` for no restriction."""
    names = getattr(request.auth, "domains", None)
    return None if names is None else frozenset(names)


class ScopePermission(BasePermission):
    """Compares what a view needs with what the caller has."""

    def has_permission(self, request: Request, view: Any) -> bool:
        """Say whether the call may go on."""
        if domains_of(request) is not None and not getattr(view, "per_domain", False):
            return False
        return needed(request, view) in granted(request)


def needed(request: Request, view: Any) -> str:
    """Return the word that this call needs."""
    usual, strict = _words(view, request.method or "")
    return strict if current().strict_permissions else usual


def declared(view: Any, method: str) -> tuple[str | None, str | None]:
    """Return the words that a method of a view needs, by default and in strict mode; ``None``: it is for everybody."""
    if any(isinstance(permission, AllowAny) for permission in view.get_permissions()):
        return None, None
    return _words(view, method)


def _words(view: Any, method: str) -> tuple[str, str]:
    action = getattr(view, "action", None) or method.lower()
    word = getattr(view, "scopes", {}).get(action)
    if word is None:
        word = "read" if method in SAFE_METHODS else "write"
    return str(word), "admin" if action in getattr(view, "strict", ()) else str(word)
