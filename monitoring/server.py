"""What the supervisor says of the running server, and what the code says of itself."""

from datetime import UTC, datetime
from functools import cache
from typing import Any

from django.apps import apps
from django.conf import settings

from a3mailer_site.api.errors import UnavailableError
from a3mailer_site.control import ControlError, call
from a3mailer_site.env import BASE_DIR, current

# Written when a package is built; a source tree has none.
_STAMP = BASE_DIR / "a3mailer_site" / "build_date"
# Listeners that are the web itself, or the same protocol inside TLS from the first byte.
_SAME_PROTOCOL = {"submissions": "submission", "imaps": "imap", "pop3s": "pop3"}
_WEB = {"http", "https"}


def status() -> dict[str, Any]:
    """Ask the supervisor how the server is; raises ``UnavailableError`` (503) when none answers."""
    try:
        return call("status", timeout=3.0)
    except ControlError as error:
        raise UnavailableError from error


def listening(answer: dict[str, Any]) -> dict[str, str]:
    """Return name and address of every listener that a process really serves."""
    return {one["name"]: one["address"] for one in answer["listeners"] if one["served"]}


def info() -> dict[str, Any]:
    """Return the body of ``GET /api/v1/server/info``."""
    answer = status()
    bound = listening(answer)
    protocols = {_SAME_PROTOCOL.get(name, name) for name in bound if name not in _WEB}
    order = [name for name in ("smtp", "submission", "imap", "pop3", "managesieve", "lmtp") if name in protocols]
    return {
        "version": settings.VERSION,
        "build_date": build_date(),
        "uptime": int(answer["uptime"]),
        "hostname": current().host_name,
        "features": order + [name for name in ("monitoring", "security") if apps.is_installed(name)],
        "status": answer["state"],
        "listeners": bound,
    }


@cache
def build_date() -> str:
    """Return when this code was built: the package's stamp, or when the newest of our source files was written."""
    if _STAMP.exists():
        return _STAMP.read_text(encoding="ascii").strip()
    ours = (BASE_DIR / name for name in ("a3mailer_site", "security", "domains", "accounts", "mailqueue", "mailcore"))
    newest = max(path.stat().st_mtime for folder in ours for path in folder.rglob("*.py"))
    return datetime.fromtimestamp(newest, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
