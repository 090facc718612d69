"""What the supervisor says of the running server, and what the code says of itself."""

import re
from datetime import UTC, datetime
from functools import cache
from typing import Any

from django.apps import apps
from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from rest_framework import serializers

from a3mailer_site.api.errors import ConflictError, UnavailableError
from a3mailer_site.control import ControlError, ServerAwayError, call
from a3mailer_site.env import BASE_DIR, current
from a3mailer_site.models import Setting

# Written when a package is built; a source tree has none.
_STAMP = BASE_DIR / "a3mailer_site" / "build_date"
# Listeners that are the web itself, or the same protocol inside TLS from the first byte.
_SAME_PROTOCOL = {"submissions": "submission", "imaps": "imap", "pop3s": "pop3"}
_WEB = {"http", "https"}
# Folders in front of a file's name. Answers name settings and files, and not where they are.
_FOLDERS = re.compile(r"(?<![\w:/])/(?:[^\s/:;,'\"]+/)+")

# What a reload leaves for later, by kind of note (``mailcore/supervisor/reloading.py``).
_NOTES = {
    "start_again": gettext_lazy("%(name)s has changed; it takes effect when the server is started again."),
    "restart": gettext_lazy("%(name)s has changed; it takes effect with a restart."),
    "listen": gettext_lazy("%(name)s is to listen on %(address)s; that takes effect with a restart."),
    "listen_as_root": gettext_lazy(
        "%(name)s is to listen on %(address)s; for that the server must be started again as root."
    ),
    "unlisten": gettext_lazy("%(name)s is no longer to listen on %(address)s; that takes effect with a restart."),
    "overruled": gettext_lazy("%(name)s was tuned while the server ran; that value holds, and not the new one."),
    "certificate_expired": gettext_lazy("The certificate is no longer valid: it expired at %(address)s."),
}


def status() -> dict[str, Any]:
    """Ask the supervisor how the server is; raises ``UnavailableError`` (503) when none answers."""
    try:
        return call("status", timeout=3.0)
    except ControlError as error:
        raise UnavailableError from error


def figures(patience: float = 3.0) -> dict[str, Any]:
    """Ask the supervisor for the figures of all processes; raises ``UnavailableError`` (503) when none answers."""
    try:
        return call("figures", timeout=patience)
    except ControlError as error:
        raise UnavailableError from error


def listening(answer: dict[str, Any]) -> dict[str, str]:
    """Return name and address of every listener that a process really serves."""
    return {one["name"]: one["address"] for one in answer["listeners"] if one["served"]}


def wanted(name: str) -> bool:
    """Say whether the settings have a listener of this name switched on."""
    return bool(current().listen(name))


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


def restart() -> None:
    """Begin to replace all processes; returns at once.

    Raises ``UnavailableError`` (503) when no supervisor could do it, and ``ConflictError`` (409) when it is being done
    or the settings are such that no process could start with them.
    """
    try:
        answer = call("restart", timeout=10.0, background=True)
    except ControlError as error:
        raise UnavailableError from error
    if answer["accepted"]:
        return
    if answer["why"] == "draining":
        raise UnavailableError(_("The server is going down."))
    if answer["why"] == "restarting":
        raise ConflictError(_("The server is being restarted already."))
    raise ConflictError(
        _("No process could start with the settings: %(reason)s") % {"reason": _public(answer["reason"])}
    )


def reload(*, dry_run: bool) -> dict[str, Any]:
    """Put settings and certificates in force as they are now; returns the body of ``POST /api/v1/server/reload``.

    Raises ``UnavailableError`` (503) without a supervisor, and ``ValidationError`` (400), with everything as it was,
    when something is invalid.
    """
    try:
        answer = call("reload", timeout=25.0, dry_run=dry_run)
    except ServerAwayError as error:
        raise UnavailableError from error
    except ControlError as error:
        raise serializers.ValidationError(_public(str(error))) from error
    tuned = Setting.objects.filter(name__in=[change["name"] for change in answer["changes"]])
    overruled = [{"kind": "overruled", "name": name} for name in tuned.values_list("name", flat=True)]
    return {
        "status": "valid" if dry_run else "reloaded",
        "changes": answer["changes"],
        "warnings": [_NOTES[note["kind"]] % note for note in [*answer["notes"], *overruled]],
    }


def _public(reason: str) -> str:
    """Return a reason without the folders in it."""
    return _FOLDERS.sub("", reason)


@cache
def build_date() -> str:
    """Return when this code was built: the package's stamp, or when the newest of our source files was written."""
    if _STAMP.exists():
        return _STAMP.read_text(encoding="ascii").strip()
    ours = (BASE_DIR / name for name in ("a3mailer_site", "security", "domains", "accounts", "mailqueue", "mailcore"))
    newest = max(path.stat().st_mtime for folder in ours for path in folder.rglob("*.py"))
    return datetime.fromtimestamp(newest, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
