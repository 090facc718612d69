"""Dates in messages: RFC 5322 (obsolete forms too), and IMAP's INTERNALDATE (RFC 3501 section 9). No clock here."""

import re
from datetime import date
from functools import lru_cache
from typing import Final, NamedTuple

_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH_NUMBERS: Final = {name.lower().encode(): number for number, name in enumerate(_MONTHS, 1)}
_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
_DAY: Final = 86400
_MIDNIGHT: Final = (0, 0, 0)
_VALUE_LIMIT: Final = 200

# date-time = [ day-name "," ] day month year hour ":" minute [ ":" second ] zone, and obs-date-time with its two and
# three digit years and zone names (RFC 5322 sections 3.3 and 4.3); dashes between day, month and year are met too, and
# days without a time.
_DATE_TIME: Final = re.compile(
    rb"\s*+(?:[A-Za-z]++\.?,?\s*+)?(\d{1,2})[\s-]\s*+([A-Za-z]{3})[a-z]*+\.?,?[\s-]\s*+(\d{2,4})(?![^\s,]),?(?:\s++"
    rb"(\d{1,2})\s*+[:.]\s*+(\d{1,2})(?:\s*+[:.]\s*+(\d{1,2})(?:[.,]\d++)?)?\s*+(?:([+-])(\d\d):?(\d\d)|([A-Za-z]++))?)?"
)
# C's asctime: "Sun Nov  6 08:49:37 1994", with or without a zone before or behind the year.
_ASCTIME: Final = re.compile(
    rb"\s*+[A-Za-z]++,?\s++([A-Za-z]{3})[a-z]*+\s++(\d{1,2}),?\s++(\d{1,2}):(\d\d)(?::(\d\d))?\s++(?:([A-Za-z]++)\s++)?(\d{4})"
    rb"(?:\s++(?:([+-])(\d\d):?(\d\d)))?"
)
_INTERNAL: Final = re.compile(rb"([ \d]\d)-([A-Za-z]{3})-(\d{4}) (\d\d):(\d\d):(\d\d) ([+-])(\d\d)(\d\d)")
_COMMENT: Final = re.compile(rb"\([^()]*+\)")
# RFC 5322 section 4.3, in minutes; every other name means that nothing is known of the zone: UTC.
_ZONES: Final = {
    b"edt": -240, b"est": -300, b"cdt": -300, b"cst": -360, b"mdt": -360, b"mst": -420, b"pdt": -420, b"pst": -480,
}  # fmt: skip


class Moment(NamedTuple):
    """A point in time as somebody wrote it."""

    epoch: int  # seconds since 1970-01-01T00:00:00Z
    offset: int  # minutes east of UTC
    day: date  # the calendar date as written, which SENTBEFORE and its like compare (RFC 3501 section 6.4.4)


def parse_date(value: bytes) -> Moment | None:
    """Read the value of a Date field; ``None`` if it is no date. Never raises."""
    value = value[:_VALUE_LIMIT]
    if b"(" in value:
        value = _COMMENT.sub(b" ", value)
    found = _DATE_TIME.match(value)
    if found:
        day, month, year, hour, minute, second, sign, zone_hour, zone_minute, name = found.groups()
    else:
        found = _ASCTIME.match(value)
        if not found:
            return None
        month, day, hour, minute, second, name, year, sign, zone_hour, zone_minute = found.groups()
    number = int(year)
    if len(year) < 4:  # RFC 5322 section 4.3
        number += 2000 if len(year) == 2 and number < 50 else 1900
    # RFC 5256 section 2.2: a zone that is none is UTC, and a time that is none is midnight.
    offset = _ZONES.get(name.lower(), 0) if name else 0
    if sign and int(zone_minute) < 60:
        offset = _offset(sign, zone_hour, zone_minute)
    written = number, month, int(day)
    moment = _moment(written, (int(hour), int(minute), int(second or 0)), offset) if hour else None
    return moment or _moment(written, _MIDNIGHT, offset)


def parse_internal(value: bytes) -> Moment | None:
    """Read IMAP's ``date-time`` without its quotes (``17-Jul-1996 02:44:25 -0700``); ``None`` if it is none."""
    found = _INTERNAL.fullmatch(value)
    if not found:
        return None
    day, month, year, hour, minute, second, sign, zone_hour, zone_minute = found.groups()
    offset = _offset(sign, zone_hour, zone_minute)
    return _moment((int(year), month, int(day)), (int(hour), int(minute), int(second)), offset)


def parse_day(value: bytes) -> date | None:
    """Read IMAP's ``date-text`` (``1-Feb-1994``); ``None`` if it is none."""
    parts = value.split(b"-")
    if len(parts) != 3 or not (parts[0].isdigit() and parts[2].isdigit() and len(parts[0]) <= 2 and len(parts[2]) == 4):
        return None
    return _day(int(parts[2]), parts[1], int(parts[0]))


@lru_cache(maxsize=16)  # the mail of one second has one date
def format_date(epoch: int, offset: int = 0) -> str:
    """Write an RFC 5322 date. ``offset`` is in minutes east of UTC."""
    day, hour, minute, second = _local(epoch, offset)
    return (
        f"{_DAYS[day.weekday()]}, {day.day:02} {_MONTHS[day.month - 1]} {day.year:04} "
        f"{hour:02}:{minute:02}:{second:02} {_zone(offset)}"
    )


def format_internal(epoch: int, offset: int = 0) -> bytes:
    """Write IMAP's INTERNALDATE without quotes. ``offset`` is in minutes east of UTC."""
    day, hour, minute, second = _local(epoch, offset)
    written = f"{day.day:02}-{_MONTHS[day.month - 1]}-{day.year:04}"
    return f"{written} {hour:02}:{minute:02}:{second:02} {_zone(offset)}".encode()


def _day(year: int, month: bytes, day: int) -> date | None:
    number = _MONTH_NUMBERS.get(month.lower())
    if number is None:
        return None
    try:
        return date(year, number, day)
    except ValueError:
        return None


def _moment(written: tuple[int, bytes, int], clock: tuple[int, int, int], offset: int) -> Moment | None:
    day = _day(*written)
    hour, minute, second = clock
    if day is None or hour > 23 or minute > 59 or second > 60:  # 60 is a leap second
        return None
    seconds = (day.toordinal() - _EPOCH_DAY) * _DAY + hour * 3600 + minute * 60 + second
    return Moment(seconds - offset * 60, offset, day)


def _offset(sign: bytes, hours: bytes, minutes: bytes) -> int:
    size = int(hours) * 60 + int(minutes)
    return -size if sign == b"-" else size


def _local(epoch: int, offset: int) -> tuple[date, int, int, int]:
    days, rest = divmod(epoch + offset * 60, _DAY)
    day = date.fromordinal(min(max(days + _EPOCH_DAY, 1), date.max.toordinal()))
    return day, rest // 3600, rest % 3600 // 60, rest % 60


def _zone(offset: int) -> str:
    hours, minutes = divmod(abs(offset), 60)
    return f"{'-' if offset < 0 else '+'}{hours:02}{minutes:02}"
