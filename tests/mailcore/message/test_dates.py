"""Dates as mail writes them."""

from datetime import UTC, date, datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailcore.message.dates import format_date, format_internal, parse_date, parse_day, parse_internal


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"x",
        b"yesterday",
        b"32 Jan 2020 00:00:00 +0000",
        b"30 Feb 2020 00:00:00 +0000",
        b"1 Foo 2020 00:00:00 +0000",
        b"1 Jan 20201",
        b"1 Jan 2020x",
        b"1 Jan",
        b"1 Jan 0000 00:00:00 +0000",
        b"\xff" * 50,
        b"1" * 5000,
        b"(" * 5000,
    ],
)
def test_what_is_no_date_is_none(value):
    assert parse_date(value) is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"Fri, 21 Nov 1997 09:55:06 -0600", 880127706),
        (b"21 Nov 97 09:55:06 GMT", 880106106),
        (b"21 Nov 97 09:55:06", 880106106),
        (b"Fri, 21 Nov 1997 09:55:06 CST", 880127706),
        (b"Fri, 21 Nov 1997 09:55:06 Z", 880106106),
        (b"Fri, 21 Nov 1997 09:55 (odd) -0600 (CST)", 880127700),
        (b"Fri, 21 Nov 1997 09(comment):   55  :  06 -0600", 880127706),
        (b"Friday, 21-Nov-97 09:55:06 GMT", 880106106),
        (b"Fri, 21 November 1997 09:55:06 +0000", 880106106),
        (b"Fri Nov 21 09:55:06 1997", 880106106),
        (b"Fri Nov 21 09:55:06 CST 1997", 880127706),
        (b"Fri, 21 Nov 097 09:55:06 GMT", 880106106),
        (b"Fri, 21 Nov 1997 09:55:06 -06:00", 880127706),
        # RFC 5256 section 2.2
        (b"Fri, 21 Nov 1997 09:55:06 -0660", 880106106),
        (b"Fri, 21 Nov 1997 09:55:06 XYZ", 880106106),
        (b"Fri, 21 Nov 1997 24:00:00 +0000", 880070400),
        (b"Fri, 21 Nov 1997 00:60:00 -0600", 880092000),
        (b"Fri, 21 Nov 1997 10h30", 880070400),
        (b"Fri, 21 Nov 1997", 880070400),
        (b"21 Nov 97, (comment)", 880070400),
    ],
)
def test_dates_of_every_form(value, expected):
    assert parse_date(value).epoch == expected


def test_the_day_is_the_one_that_was_written():
    moment = parse_date(b"Fri, 21 Nov 1997 23:55:06 -0600")
    assert moment.day == date(1997, 11, 21)
    assert datetime.fromtimestamp(moment.epoch, UTC).day == 22


ZONES = st.integers(-23 * 60, 23 * 60)


@given(st.datetimes(datetime(1950, 1, 2), datetime(9990, 1, 1)), ZONES)  # noqa: DTZ001
def test_what_the_standard_library_writes_is_read_and_written_again(when, offset):
    when = when.replace(microsecond=0, tzinfo=timezone(timedelta(minutes=offset)))
    written = format_datetime(when)
    moment = parse_date(written.encode())
    assert (moment.epoch, moment.offset, moment.day) == (int(when.timestamp()), offset, when.date())
    assert format_date(moment.epoch, moment.offset) == written
    assert parse_internal(format_internal(moment.epoch, offset)) == moment


@given(st.binary())
def test_any_bytes_are_a_date_or_none(value):
    parse_date(value)
    parse_internal(value)
    parse_day(value)


@pytest.mark.parametrize(
    "value", [b"", b"1-Feb-94", b"30-Feb-1994", b"1-2-1994", b"1-Feb-1994 ", b"001-Feb-1994", b"--"]
)
def test_what_is_no_imap_day_is_none(value):
    assert parse_day(value) is None


def test_imap_days_and_times():
    assert parse_day(b"1-feb-1994") == parse_day(b"01-Feb-1994") == date(1994, 2, 1)
    assert parse_internal(b"17-Jul-1996 02:44:25 -0700").epoch == 837596665
    assert parse_internal(b" 1-Jul-1996 02:44:25 -0700").day == date(1996, 7, 1)
    assert parse_internal(b"17-Jul-1996 02:44:25") is None
    assert format_internal(837596665, -420) == b"17-Jul-1996 02:44:25 -0700"
