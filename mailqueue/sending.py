"""How much is sent by whom: counted by the hour, in the transaction that accepts the message.

Limits are on recipients elsewhere. What is beyond one is accepted and held; what is far beyond is refused for now, so
that nobody fills the disk with it.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from mailqueue import holds
from mailqueue.models import SendingTally

Kind = SendingTally.Kind

HOUR: Final = 3600
_DAY: Final = 24
# So many times the limit, held mail included, is taken; beyond it nothing.
FAR_BEYOND: Final = 5


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit on whom it is, in recipients; 0: none."""

    kind: str
    number: int
    hour: int
    day: int


@dataclass(frozen=True, slots=True)
class Excess:
    """A limit that a message would pass. ``far``: it is to be refused."""

    limit: Limit
    code: str  # ``holds.py``
    far: bool


def hour_of(at: datetime) -> int:
    """Return the hour of the clock that a moment lies in, since 1970."""
    return int(at.timestamp()) // HOUR


def excess(limits: Collection[Limit], recipients: int, now: datetime) -> Excess | None:
    """Return the first limit that so many more recipients would pass; ``None``: they may go.

    The last hour is this one of the clock and the share of the one before that lies within it; a day likewise.
    """
    for limit in limits:
        if not (limit.hour or limit.day):
            continue
        hour, day = used(limit.kind, limit.number, now)
        for span, most, so_far in (("hour", limit.hour, hour), ("day", limit.day, day)):
            if most and so_far + recipients > most:
                # By what has been sent before: a single message, however large, waits for somebody to look at it.
                far = so_far >= FAR_BEYOND * most
                return Excess(limit, holds.limit(limit.kind, span, most), far)
    return None


def used(kind: str, number: int, now: datetime) -> tuple[float, float]:
    """Return to how many recipients somebody has sent within the last hour and the last day."""
    this = hour_of(now)
    share = 1 - (now.timestamp() % HOUR) / HOUR
    rows = SendingTally.objects.filter(kind=kind, number=number, hour__gte=this - _DAY, hour__lte=this)
    by_hour = dict(rows.values_list("hour", "recipients"))
    hour = by_hour.get(this, 0) + by_hour.get(this - 1, 0) * share
    day = sum(by_hour.values()) - by_hour.get(this - _DAY, 0) * (1 - share)
    return hour, day


def first_to_know(limit: Limit, now: datetime) -> bool:
    """Say whether nobody has been told of this yet, and note that somebody is; an alarm lasts while it goes on."""
    this = hour_of(now)
    rows = SendingTally.objects.filter(kind=limit.kind, number=limit.number)
    rows.get_or_create(kind=limit.kind, number=limit.number, hour=this)
    told_before = rows.filter(hour=this - 1, alarmed=True).exists()
    return bool(rows.filter(hour=this, alarmed=False).update(alarmed=True)) and not told_before


def forget(before: datetime) -> int:
    """Delete what no limit looks at any more; returns how many rows."""
    return SendingTally.objects.filter(hour__lt=hour_of(before)).delete()[0]
