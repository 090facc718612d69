"""Which domains let whose first message wait, in memory. How that goes is ``security/greylisting.py``."""

from collections.abc import Mapping

from a3mailer_site.generations import Watch, listen
from domains.models import Domain


class _Known:
    """What was read since the last change. Replaced whole, so whoever fills an old one does no harm."""

    policies: Mapping[str, str] | None = None


_watch = Watch("addresses")
_known = _Known()


def forget() -> None:
    """Read the policies anew when they are asked for."""
    global _known  # noqa: PLW0603
    _known = _Known()


listen("addresses", forget)


def policies() -> Mapping[str, str]:
    """Return the policy of every domain here, by name. May ask the database."""
    _watch.look()
    known = _known
    if known.policies is None:
        known.policies = dict(Domain.objects.enabled().order_by().values_list("name", "greylisting"))
    return known.policies


def policies_now() -> Mapping[str, str] | None:
    """Return them without the database; ``None`` when only that knows (then call ``policies`` in a thread)."""
    return _known.policies if _watch.fresh else None
