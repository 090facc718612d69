"""The trace fields of this server."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailcore.message.dates import parse_date
from mailcore.message.headers import Headers
from mailcore.message.received import (
    HOP_LIMIT,
    Hop,
    delivered_to_line,
    is_delivered_to,
    is_looping,
    received_line,
    return_path_line,
)

AT = 1_700_000_000


def hop(**facts):
    usual = {
        "helo": "client.example.com",
        "ip": "192.0.2.1",
        "by": "mx.example.com",
        "protocol": "ESMTP",
        "queue_id": "0a",
    }
    return Hop(**(usual | {"at": AT} | facts))


@pytest.mark.parametrize("address", ["a@b\r\nBcc: x", "a\n@b", "a\x1b@b", "a\0@b", "\ud800@b", "a@b\u2028"])
def test_an_address_that_would_break_out_is_refused(address):
    with pytest.raises(ValueError):  # noqa: PT011
        return_path_line(address)
    with pytest.raises(ValueError):  # noqa: PT011
        delivered_to_line(address)


@given(st.text(), st.text(), st.text(), st.text())
def test_no_client_can_break_out_of_a_received_line(helo, name, tls, recipient):
    written = received_line(hop(helo=helo, reverse_name=name, tls=tls, recipient=recipient))
    headers = Headers(written)
    assert [field.name for field in headers] == [b"received"]
    assert b"\0" not in written
    value = headers.get(b"received")
    assert parse_date(value.rpartition(b";")[2]).epoch == AT
    assert value.count(b";") == 1 or b";" in recipient.encode("utf-8", "replace")


def test_a_received_line_tells_how_the_message_came():
    assert received_line(
        hop(
            protocol="ESMTPS",
            tls="TLSv1.3 TLS_AES_256_GCM_SHA384",
            recipient="bob@example.com",
            reverse_name="c.example.com",
            offset=60,
        )
    ) == (
        b"Received: from client.example.com (c.example.com [192.0.2.1])\r\n"
        b"\tby mx.example.com with ESMTPS (TLSv1.3 TLS_AES_256_GCM_SHA384) id 0a\r\n"
        b"\tfor <bob@example.com>;\r\n\tTue, 14 Nov 2023 23:13:20 +0100\r\n"
    )


def test_an_ipv6_address_is_written_as_a_literal_and_several_recipients_not_at_all():
    written = received_line(hop(ip="2001:db8::1", helo="[IPv6:2001:db8::1]"))
    assert b"from [IPv6:2001:db8::1] ([IPv6:2001:db8::1])" in written
    assert b"for <" not in written


def test_paths_are_written():
    assert return_path_line("") == b"Return-Path: <>\r\n"
    assert return_path_line("a@example.com") == b"Return-Path: <a@example.com>\r\n"
    assert return_path_line('"a <b"@example.com') == b'Return-Path: <"a <b"@example.com>\r\n'
    assert delivered_to_line("jörg@example.com") == "Delivered-To: jörg@example.com\r\n".encode()


def test_loops_are_seen():
    line = received_line(hop())
    assert not is_looping(Headers(line * HOP_LIMIT))
    assert is_looping(Headers(line * (HOP_LIMIT + 1)))
    headers = Headers(delivered_to_line("Bob@example.com"))
    assert is_delivered_to(headers, "bob@Example.com")
    assert not is_delivered_to(headers, "eve@example.com")
