"""The PROXY protocol's headers: what is read, what is refused, and that a cut changes nothing."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailcore.dialogue import Peer, TlsFacts
from mailcore.proxy_header import SIGNATURE, ProxyHeader, ProxyHeaderError, read_header

LINE = b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 25\r\n"
V4 = bytes([192, 0, 2, 7, 198, 51, 100, 1]) + struct.pack("!HH", 40000, 25)
V6 = bytes.fromhex("20010db8000000000000000000000001" * 2) + struct.pack("!HH", 40000, 25)
LONGEST = b":".join([b"ffff"] * 8)
PEER = Peer("192.0.2.7", 40000)


def binary(command=0x21, family=0x11, content=V4):
    return SIGNATURE + struct.pack("!BBH", command, family, len(content)) + content


def addition(kind, value):
    return struct.pack("!BH", kind, len(value)) + value


def tls(flags=1, *inside):
    return addition(0x20, struct.pack("!BI", flags, 0) + b"".join(inside))


AGREED = tls(1, addition(0x21, b"TLSv1.3"), addition(0x23, b"TLS_AES_128_GCM_SHA256"))

HEADERS = [
    (LINE, PEER),
    (b"PROXY TCP6 2001:DB8::1 2001:db8::2 1 65535\r\n", Peer("2001:db8::1", 1)),
    (b"PROXY TCP6 %b %b 65535 65535\r\n" % (LONGEST, LONGEST), Peer(LONGEST.decode(), 65535)),
    (b"PROXY UNKNOWN\r\n", None),
    (b"PROXY UNKNOWN whatever 1 2\r\n", None),
    (binary(), PEER),
    (binary(family=0x21, content=V6), Peer("2001:db8::1", 40000)),
    (binary(0x20), None),
    (binary(0x20, 0x00, b""), None),
    (binary(0x21, 0x00, b"whatever"), None),
    (binary(content=V4 + addition(0x04, b"\0\0")), PEER),
    (binary(content=V4 + addition(0xE5, b"of somebody's own")), PEER),
    (binary(content=V4 + addition(0x02, b"mail.example.com")), PEER),
    (binary(content=V4 + tls(0)), PEER),
    (
        binary(content=V4 + addition(0x02, b"mail.example.com") + AGREED),
        Peer("192.0.2.7", 40000, TlsFacts("TLSv1.3", "TLS_AES_128_GCM_SHA256", "mail.example.com")),
    ),
    (binary(content=V4 + tls(1)), Peer("192.0.2.7", 40000, TlsFacts("TLS", ""))),
    (binary(content=V4 + tls(1, addition(0x21, b"T\nL"))), Peer("192.0.2.7", 40000, TlsFacts("TLS", ""))),
]  # fmt: skip


@pytest.mark.parametrize(("header", "peer"), HEADERS)
@pytest.mark.parametrize("rest", [b"", b"EHLO client.example\r\n", b"\x16\x03\x01"])
def test_a_header_says_who_is_there_and_where_it_ends(header, peer, rest):
    assert read_header(header + rest) == ProxyHeader(peer, len(header))


@pytest.mark.parametrize("header", [header for header, _ in HEADERS])
def test_a_header_that_has_not_come_whole_is_waited_for(header):
    assert [read_header(header[:cut]) for cut in range(len(header))] == [None] * len(header)


@pytest.mark.parametrize(
    "data",
    [
        b"EHLO client.example\r\n",
        b"\x16\x03\x01",
        b"proxy TCP4 192.0.2.7 198.51.100.1 40000 25\r\n",
        b"PROXY  TCP4 192.0.2.7 198.51.100.1 40000 25\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 25\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 25 \r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 40000\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 65536 25\r\n",
        b"PROXY TCP4 192.0.2.700 198.51.100.1 40000 25\r\n",
        b"PROXY TCP4 2001:db8::1 198.51.100.1 40000 25\r\n",
        b"PROXY TCP6 192.0.2.7 198.51.100.1 40000 25\r\n",
        b"PROXY UDP4 192.0.2.7 198.51.100.1 40000 25\r\n",
        b"PROXY TCP4 192.0.2.7\0 198.51.100.1 40000 25\r\n",
        b"PROXY UNKNOWN " + b"x" * 100,
        b"PROXY UNKNOWN " + b"x" * 93 + b"\r\n",
        SIGNATURE[:-1] + b"x",
        binary(0x11),
        binary(0x22),
        binary(family=0x12),
        binary(family=0x31, content=b"/" * 216),
        binary(content=V4[:-1]),
        binary(family=0x21, content=V4),
        binary(content=V4 + b"\x02\x00"),
        binary(content=V4 + b"\x02\x00\x05abc"),
        binary(content=V4 + addition(0x20, b"\x01\0\0\0\0\x21\x00\x09abc")),
        SIGNATURE + struct.pack("!BBH", 0x21, 0x11, 4097),
    ],
)
def test_what_is_no_header_of_a_mail_connection_is_refused(data):
    with pytest.raises(ProxyHeaderError):
        read_header(data)


@given(st.one_of(st.binary(), st.binary().map(LINE[:6].__add__), st.binary().map(SIGNATURE.__add__)))
def test_whatever_comes_nothing_else_is_raised(data):
    try:
        header = read_header(data)
    except ProxyHeaderError:
        return
    assert header is None or header.size <= len(data)


@given(st.sampled_from([header for header, _ in HEADERS]), st.data())
def test_an_octet_changed_is_refused_or_waited_for_or_another_address(header, data):
    at = data.draw(st.integers(0, len(header) - 1))
    changed = header[:at] + bytes([data.draw(st.integers(0, 255))]) + header[at + 1 :]
    try:
        read = read_header(changed)
    except ProxyHeaderError:
        return
    assert read is None or read.peer is None or 0 <= read.peer.port <= 65535
