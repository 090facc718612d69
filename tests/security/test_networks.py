"""Addresses in their one form."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from security.networks import around, overlap, parse_address, parse_network, within, written


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "192.0.2",
        "192.0.2.256",
        "192.0.2.01",
        "192.0.2.1 ",
        "192.0.2.1\n",
        "192.0.2.1\0",
        "192.0.2.0/33",
        "192.0.2.0/-1",
        "192.0.2.0/255.255.255.0",
        "192.0.2.0/",
        "/24",
        "192.0.2.0/24/24",
        "2001:db8::/129",
        "2001:db8:::1",
        "fe80::1%eth0",
        "::ffff:0:0/90",
        "::/0",
        "example.com",
        "0x7f000001",
        "2130706433",
        "\u0661\u0669\u0662.0.2.1",
        "1" * 10_000,
        "192.0.2.0/" + "9" * 4000,
    ],
)
def test_what_is_neither_an_address_nor_a_network(text):
    with pytest.raises(ValueError, match=r"."):
        parse_network(text)


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("192.0.2.100", "192.0.2.100"),
        ("192.0.2.100/32", "192.0.2.100"),
        ("192.0.2.100/24", "192.0.2.0/24"),
        ("2001:DB8::1", "2001:db8::1"),
        ("2001:0db8:0000::0001/128", "2001:db8::1"),
        ("2001:db8::/32", "2001:db8::/32"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::FFFF:c000:0201", "192.0.2.1"),
        ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
        ("0.0.0.0/0", "0.0.0.0/0"),
    ],
)
def test_every_spelling_has_one_form(text, form):
    assert written(parse_network(text)) == form
    assert written(parse_network(form)) == form


@given(st.ip_addresses())
def test_an_address_is_in_every_network_around_it(address):
    address = parse_address(str(address))
    names = list(around(address))
    assert names[0] == str(address)
    assert len(names) == address.max_prefixlen + 1
    assert all(address in ipaddress.ip_network(name) for name in names)


def test_versions_have_nothing_in_common():
    four, six = parse_network("0.0.0.0/0"), parse_network("2001:db8::/32")
    assert not overlap(four, six)
    assert not within(four, six)
    assert within(parse_network("192.0.2.1"), four)
    assert overlap(four, parse_network("192.0.2.1"))
