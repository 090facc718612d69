"""Settings that are changed while the server runs: rows of one table, known to every process within moments.

What is set before the start is in ``env.py``; here is what the API and the web admin change. Who reads must expect what
an older version has stored, and give a default for what nobody has.

    limits = live("rate_limits", DEFAULTS)
    set_live("rate_limits", {...})      # in the transaction of the audit entry

Reads the database now and then: in the reactor's thread of a mail process use what a listener of the generation
``settings`` has read in a thread.
"""

import json
from typing import Any

from a3mailer_site.caches import SLOT, Allotment, Cache
from a3mailer_site.generations import Watch, listen
from a3mailer_site.models import Setting

_ALL = "all"


def _size(_: str, values: dict[str, Any]) -> int:
    """Estimate the bytes of all settings: Python's objects take several times the room of their text."""
    return SLOT + 4 * len(json.dumps(values)) + SLOT * len(values)


_watch = Watch("settings")
_SETTINGS = Allotment("settings", 0.05, lambda: [_known])
# Replaced whole when something changes, so that who reads slowly keeps nothing old.
_known: Cache[str, dict[str, Any]] = Cache(_SETTINGS, _size)


def live(name: str, default: Any) -> Any:
    """Return the value in force; ``default`` when nobody has set one. Do not change what you get."""
    _watch.look()
    return _all().get(name, default)


def set_live(name: str, value: Any) -> None:
    """Put a value (anything that JSON has) in force, in the caller's transaction."""
    Setting.objects.update_or_create(name=name, defaults={"value": value})


def forget() -> None:
    """Read the table anew at the next use."""
    global _known  # noqa: PLW0603
    _known = Cache(_SETTINGS, _size)


def _all() -> dict[str, Any]:
    known, begun = _known, _SETTINGS.begin()
    values = known.get(_ALL)
    if values is not None:
        _SETTINGS.hit(begun)
        return values
    values = dict(Setting.objects.values_list("name", "value"))
    known.put(_ALL, values)
    _SETTINGS.miss(begun)
    return values


listen("settings", forget)
