"""What changes in a submitted message, and that nothing else does."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailcore.message.addresses import is_unambiguous
from mailcore.message.headers import Headers
from mailcore.message.submission import HeaderTooLargeError, first_from, fix_up, from_addresses

FACTS = {"now": 1_700_000_000, "offset": 0, "message_id": "<1@example.com>"}
ADDED = b"Date: Tue, 14 Nov 2023 22:13:20 +0000\r\nMessage-ID: <1@example.com>\r\n"


def test_a_header_beyond_the_limits_is_refused_since_a_bcc_could_hide_there():
    with pytest.raises(HeaderTooLargeError):
        fix_up(b"A: b\r\n" * 1000 + b"Bcc: x@example.com\r\n\r\n", **FACTS)
    with pytest.raises(HeaderTooLargeError):
        fix_up(b"A: " + b"b" * 1024 * 1024 + b"\r\nBcc: x@example.com\r\n\r\n", **FACTS)


def test_a_message_id_that_would_break_out_is_refused():
    with pytest.raises(ValueError, match="CR"):
        fix_up(b"\r\n", now=0, offset=0, message_id="<1>\r\nBcc: x")


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (b"From: a@b\r\n\r\nbody", ADDED + b"From: a@b\r\n\r\nbody"),
        (b"", ADDED + b"\r\n"),
        (b"\r\nbody", ADDED + b"\r\nbody"),
        (b"Subject: x", ADDED + b"Subject: x\r\n\r\n"),
        (b"DATE: x\r\nMessage-Id: y\r\n\r\nbcc: z", b"DATE: x\r\nMessage-Id: y\r\n\r\nbcc: z"),
        (b"Date: x\r\nBCC : a,\r\n b\r\nMessage-Id: y\r\nBcc: c\r\n\r\nz", b"Date: x\r\nMessage-Id: y\r\n\r\nz"),
        (b"Date: x\r\nMessage-Id: y\r\nResent-Bcc: c\r\n\r\nz", b"Date: x\r\nMessage-Id: y\r\n\r\nz"),
        (b" \r\nBcc: c\r\nDate: x\r\nMessage-ID: y\r\n\r\n", b" \r\nDate: x\r\nMessage-ID: y\r\n\r\n"),
    ],
)
def test_only_what_is_wrong_is_changed(message, expected):
    assert fix_up(message, **FACTS) == expected


@given(st.lists(st.sampled_from([b"Bcc", b"Date", b"X", b":", b" ", b"\r\n", b"\n", b"\r", b"y", b"\0"])).map(b"".join))
def test_no_bcc_is_left_and_the_body_stays(message):
    fixed = fix_up(message, **FACTS)
    headers = Headers(fixed)
    assert not headers.count(b"bcc")
    assert headers.count(b"date")
    assert headers.count(b"message-id")
    assert fix_up(fixed, **FACTS) == fixed


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (b"", []),
        (b"From: A <a@example.com>", ["a@example.com"]),
        (
            b"From: a@example.com, b@example.com\r\nFrom: c@example.com",
            ["a@example.com", "b@example.com", "c@example.com"],
        ),
        (b"From: root", [""]),
        (b"From: team: a@example.com;", ["a@example.com"]),
        (b"From: a@example.com" + b", a@example.com" * 2000, ["a@example.com"] * 1000 + [""]),
        (b"From: a@example.com" + b" " * 300_000 + b", eve@example.com", ["a@example.com", ""]),
        (b"From: eve <a@example.com> <eve@example.com>", ["a@example.com", ""]),
        (b"From: <a@example.com> eve@example.com", ["a@example.com", ""]),
        (b"From: eve@example.com <a@example.com>", ["a@example.com", ""]),
        (b"From: A@example.com <a@example.com>", ["a@example.com"]),
        (b"From: a@example.com (, eve@example.com", ["a@example.com", ""]),
        (b"From: a@example.com ), eve@example.com (", ["", "eve@example.com", ""]),
        (b'From: a@example.com "', ["", ""]),
        (b"From: <@eve.example:a@example.com>", ["a@example.com", ""]),
        (b"From: <a@example.com", ["a@example.com", ""]),
        (b"From: (it's \"A) <a@example.com> (\\) :-)", ["a@example.com"]),
        (b'From: "eve@example.com, \\"" <a@example.com>', ["a@example.com"]),
        (b"From: =?utf-8?q?eve=40example.com?= <a@example.com>", ["a@example.com"]),
        (b"From: team: A <a@example.com>, b@example.com;", ["a@example.com", "b@example.com"]),
        (b'From: "a@example.com" <eve@example.com>', ["eve@example.com"]),
    ],
)
def test_all_addresses_of_from_are_told_and_none_is_passed_over(header, expected):
    headers = Headers(header)
    assert from_addresses(headers) == expected
    assert first_from(headers) == (expected[0] if expected else "")


@pytest.mark.parametrize("hostile", [b'"', b"(", b"<", b"\\", b"()", b'""', b"a <a", b"a@b <a@b>,", b"x (<"])
def test_a_hostile_from_takes_linear_time(hostile):
    started = time.perf_counter()
    is_unambiguous(hostile * (1024 * 1024 // len(hostile)))
    assert time.perf_counter() - started < 5  # 0.4 s at most where it was written
