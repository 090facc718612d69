"""What delivery keeps of a message."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailcore.message.summary import CACHED_FIELDS, Summary, summarize

MESSAGE = (
    b"Received: from x\r\nReceived: from y\r\nFrom: A <a@example.com>, b@example.com\r\nX-Other: z\r\n"
    b"Subject: =?utf-8?q?fr=C3=BCh_=00?=\r\n x\r\nDate: Fri, 21 Nov 1997 09:55:06 -0600\r\n"
    b"Message-ID: <1@example.com>\r\n\r\nbody\r\n"
)


def test_a_summary_has_it_all():
    summary = summarize(MESSAGE)
    assert summary.size == len(MESSAGE)
    assert MESSAGE[summary.header_size :] == b"body\r\n"
    assert summary.envelope.startswith(b'("Fri, 21 Nov 1997 09:55:06 -0600" ')
    assert summary.bodystructure == b'("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 6 1 NIL NIL NIL NIL)'
    assert summary.fields == MESSAGE[36 : summary.header_size - 2].replace(b"X-Other: z\r\n", b"")
    assert summary.sent_at == 880127706
    assert summary.message_id == "<1@example.com>"
    assert summary.subject == "früh  x"
    assert summary.received_count == 2
    assert summary.from_count == 2


def test_nothing_is_also_a_message():
    assert summarize(b"") == Summary(
        size=0,
        header_size=0,
        envelope=b"(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)",
        bodystructure=b'("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 0 0 NIL NIL NIL NIL)',
        fields=b"",
        sent_at=None,
        message_id="",
        subject="",
        received_count=0,
        from_count=0,
    )


def test_names_of_cached_fields_are_in_lower_case():
    assert all(name == name.lower() for name in CACHED_FIELDS)


def test_a_cut_line_at_the_end_does_not_run_into_what_is_put_behind_it():
    assert summarize(b"Subject: x").fields == b"Subject: x\r\n"


@given(st.binary(max_size=300) | st.integers(0, len(MESSAGE)).map(lambda cut: MESSAGE[:cut]))
def test_any_bytes_have_a_summary(message):
    summary = summarize(message)
    (summary.subject + summary.message_id).encode()
    assert "\0" not in summary.subject + summary.message_id
    assert len(summary.subject) <= 998


@pytest.mark.parametrize(
    "header",
    [
        b"X: y\r\n" * 100_000,
        b"To: " + b"a@example.com, " * 100_000,
        b"To: a@example.com\r\n" * 100_000,
        b"Content-Type: text/plain" + b"; a*%d*=utf-8''b" * 100_000,
        b"Subject: " + b"=?utf-8?b?w6s=?= " * 50_000,
        b"Date: " + b"(" * 1_000_000,
        b"From: " + b"(" * 500_000 + b"\r\nTo: " + b"<" * 500_000,
    ],
)
def test_a_flooded_header_takes_linear_time(header):
    started = time.monotonic()
    summarize(header + b"\r\n\r\nbody")
    assert time.monotonic() - started < 5
