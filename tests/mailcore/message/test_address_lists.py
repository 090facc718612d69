"""Address lists: the ordinary, the obsolete, and the hostile."""

import time
from email.utils import getaddresses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailcore.message import addresses
from mailcore.message.addresses import ADDRESS_LIMIT, Address, addr_spec, mailboxes, parse_addresses

GROUP_END = Address(None, None, None, None)


@pytest.mark.parametrize("value", [b"", b" ", b",", b",,;,", b"(only a comment)", b"\0"])
def test_nothing_is_no_address(value):
    assert parse_addresses(value) == []


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"a@example.com", [(None, None, b"a", b"example.com")]),
        (b"<a@example.com>", [(None, None, b"a", b"example.com")]),
        (b"Ann Lee <a@example.com>", [(b"Ann Lee", None, b"a", b"example.com")]),
        (b"Ann   Lee <a@example.com>", [(b"Ann Lee", None, b"a", b"example.com")]),
        (b'"Lee, Ann" <a@example.com>', [(b"Lee, Ann", None, b"a", b"example.com")]),
        (b'"" <a@example.com>', [(None, None, b"a", b"example.com")]),
        (b'"An \\"x\\" Lee" <a@b>', [(b'An "x" Lee', None, b"a", b"b")]),
        (b"John Q. Public <j@b>", [(b"John Q. Public", None, b"j", b"b")]),
        (b"a@b (Ann Lee)", [(b"Ann Lee", None, b"a", b"b")]),
        (b"(x (nested \\) y) z) a@b", [(b"x (nested ) y) z", None, b"a", b"b")]),
        (b"<@r1,@r2:u@h>", [(None, b"@r1,@r2", b"u", b"h")]),
        (b'"j d"@b', [(None, None, b"j d", b"b")]),
        (b"a . b @ c . d", [(None, None, b"a.b", b"c.d")]),
        (b"a@[192.0.2.1]", [(None, None, b"a", b"[192.0.2.1]")]),
        (b"root", [(None, None, b"root", b"")]),
        (b"<>", [(None, None, b"", b"")]),
        (b"Undisclosed recipients", [(b"Undisclosed recipients", None, b"", b"")]),
        (b"al ice@example.com", [(b"al ice@example.com", None, b"", b"")]),
        (b"<al ice@example.com>", [(None, None, b"", b"")]),
        (b"a@b@c", [(None, None, b"a@b", b"c")]),
        (b"a@b, ,c@d", [(None, None, b"a", b"b"), (None, None, b"c", b"d")]),
        (b"undisclosed:;", [(None, None, b"undisclosed", None), GROUP_END]),
        (
            b"g: a@b, C <c@d>; , e@f",
            [
                (None, None, b"g", None),
                (None, None, b"a", b"b"),
                (b"C", None, b"c", b"d"),
                GROUP_END,
                (None, None, b"e", b"f"),
            ],
        ),
        (b"g: a@b", [(None, None, b"g", None), (None, None, b"a", b"b"), GROUP_END]),
        ("Jörg <jörg@exämple.com>".encode(), [("Jörg".encode(), None, "jörg".encode(), "exämple.com".encode())]),
        (b"<a@b", [(None, None, b"a", b"b")]),
        (b'"open <a@b>', [(None, None, b"open <a@b>", b"")]),
        (b"A <a@b> junk, c@d", [(b"A", None, b"a", b"b"), (None, None, b"c", b"d")]),
        (b"a@b; c@d", [(None, None, b"a", b"b"), (None, None, b"c", b"d")]),
    ],
)
def test_addresses_of_every_form(value, expected):
    assert parse_addresses(value) == [Address(*address) for address in expected]


PIECES = st.sampled_from(
    [
        b"a",
        b"b.c",
        b"@",
        b"<",
        b">",
        b",",
        b";",
        b":",
        b'"',
        b"\\",
        b"(",
        b")",
        b" ",
        b"\t",
        b"[",
        b"]",
        b".",
        b"\xc3\xa4",
    ]
)


@given(st.lists(PIECES, max_size=30))
def test_the_short_way_and_the_long_way_agree(pieces):
    value = b"".join(pieces)
    usual = parse_addresses(value)
    ordinary = addresses._ORDINARY
    addresses._ORDINARY = __import__("re").compile(rb"(?!)")
    try:
        assert parse_addresses(value) == usual
    finally:
        addresses._ORDINARY = ordinary


@given(st.binary(max_size=200))
def test_any_bytes_are_read(value):
    for address in parse_addresses(value):
        addr_spec(address)


NAMES = st.text("abcdefghij KLM", min_size=1, max_size=12).map(str.strip)
LOCALS = st.from_regex(r"[a-z0-9]{1,8}(\.[a-z0-9+]{1,8})?", fullmatch=True)


@given(st.lists(st.tuples(NAMES, LOCALS, st.sampled_from(["example.com", "mail.example.org"])), min_size=1, max_size=8))
def test_ordinary_lists_are_read_as_the_standard_library_reads_them(people):
    written = ", ".join(f"{name} <{local}@{host}>" if name else f"{local}@{host}" for name, local, host in people)
    theirs = [(" ".join(name.split()), address) for name, address in getaddresses([written])]
    ours = [((a.name or b"").decode(), addr_spec(a)) for a in mailboxes(parse_addresses(written.encode()))]
    assert ours == theirs


@pytest.mark.parametrize(
    "value",
    [
        b"a@example.com," * 100_000,
        b"A B <a@example.com>, " * 100_000,
        b"(" * 1_000_000,
        b"()" * 500_000,
        b"<" * 1_000_000,
        b"<>," * 300_000,
        b'"' * 1_000_000,
        b'"\\' * 500_000,
        b"a " * 500_000,
        b"a." * 500_000,
        b"@" * 1_000_000,
        b":" * 1_000_000,
        b";" * 1_000_000,
        b"[" * 1_000_000,
        b"," * 1_000_000,
        b"g:" * 500_000,
        b"g:;" * 300_000,
        b"x" * 1_000_000,
    ],
)
def test_a_flood_takes_linear_time_and_gives_a_bounded_list(value):
    started = time.monotonic()
    assert len(parse_addresses(value)) <= ADDRESS_LIMIT + 2
    assert time.monotonic() - started < 10
