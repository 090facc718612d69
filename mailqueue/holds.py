"""Why a recipient is held: codes in the database, words for people.

limit:user:hour:1000      a sending limit, whose, in which time, and how many recipients it is
crash                     three attempts ended in an error of ours
by:NAME                   somebody held it
"""

from django.utils.translation import gettext as _


def limit(whose: str, span: str, most: int) -> str:
    """Return the code of a sending limit; ``whose`` is user or domain, ``span`` hour or day."""
    return f"limit:{whose}:{span}:{most}"


CRASH = "crash"


def by(name: str) -> str:
    """Return the code for what a person has done."""
    return f"by:{name}"[:200]


def words(code: str) -> str:
    """Say why, in the language of who reads."""
    kind, _colon, rest = code.partition(":")
    if kind == "limit":
        whose, span, most = rest.split(":")
        return str(_LIMITS[whose, span]()) % {"most": most}
    if kind == "by":
        return _("%(name)s has held it.") % {"name": rest}
    if kind == CRASH:
        return _("It could not be handled three times, by a mistake of this server.")
    return code


_LIMITS = {
    ("user", "hour"): lambda: _("The user has sent to more than %(most)s recipients within an hour."),
    ("user", "day"): lambda: _("The user has sent to more than %(most)s recipients within a day."),
    ("domain", "hour"): lambda: _("The users of the domain have sent to more than %(most)s recipients within an hour."),
    ("domain", "day"): lambda: _("The users of the domain have sent to more than %(most)s recipients within a day."),
}
