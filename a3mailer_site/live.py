"""Settings that are changed while the server runs: rows of one table, known to every process within moments.

What is set before the start is in ``env.py``; here is what the API and the web admin change. Who reads must expect what
an older version has stored, and give a default for what nobody has.

    limits = live("rate_limits", DEFAULTS)
    set_live("rate_limits", {...})      # in the transaction of the audit entry

Reads the database now and then: in the reactor's thread of a mail process use what a listener of the generation
``settings`` has read in a thread.
"""

from typing import Any

from a3mailer_site.figures import figures
from a3mailer_site.generations import Watch, listen
from a3mailer_site.models import Setting

_watch = Watch("settings")
_values: dict[str, Any] | None = None


def live(name: str, default: Any) -> Any:
    """Return the value in force; ``default`` when nobody has set one. Do not change what you get."""
    _watch.look()
    return _all().get(name, default)


def set_live(name: str, value: Any) -> None:
    """Put a value (anything that JSON has) in force, in the caller's transaction."""
    Setting.objects.update_or_create(name=name, defaults={"value": value})


def forget() -> None:
    """Read the table anew at the next use."""
    global _values  # noqa: PLW0603
    _values = None


def _all() -> dict[str, Any]:
    global _values  # noqa: PLW0603
    values = _values
    figures.count("cache.settings.misses" if values is None else "cache.settings.hits")
    if values is None:
        values = _values = dict(Setting.objects.values_list("name", "value"))
    return values


listen("settings", forget)
