"""Who calls, for limits and for the note that somebody has read: the key, or the user of a session."""

from django.http import HttpRequest


def caller_of(request: HttpRequest) -> str | None:
    """Return ``key_3`` or ``user_7`` once a request is authenticated; ``None`` for nobody."""
    key = getattr(getattr(request, "auth", None), "pk", None)
    if key is not None:
        return f"key_{key}"
    user = getattr(getattr(request, "user", None), "pk", None)
    return None if user is None else f"user_{user}"
