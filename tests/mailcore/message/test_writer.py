"""Headers that this server writes: nothing may break out of them."""

import email
from email import policy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailcore.message.headers import Headers
from mailcore.message.writer import HeaderWriter, printable


@pytest.mark.parametrize("value", ["a\r\nBcc: x", "a\nb", "a\rb", "a\0b", "\ud800"])
@pytest.mark.parametrize("write", ["text", "structured", "mailbox"])
@pytest.mark.parametrize("utf8", [False, True])
def test_a_value_that_would_break_out_is_refused(value, write, utf8):
    with pytest.raises(ValueError):  # noqa: PT011
        getattr(HeaderWriter(utf8=utf8), write)("Subject", value)


@pytest.mark.parametrize("name", ["", "a b", "a:b", "ä", "a\r\nb", "x" * 100])
def test_a_name_that_is_none_is_refused(name):
    with pytest.raises(ValueError, match="name"):
        HeaderWriter().text(name, "x")


@pytest.mark.parametrize(
    "address",
    ["", "a b@c", "a@b, c@d", "a@b>", "<a@b", "a@b\r\nx", "team:a@b;", "a@b@c", "a", '"a"b@c', '"a" b@c', '"a\\"@c'],
)
def test_what_is_no_single_address_is_refused(address):
    with pytest.raises(ValueError):  # noqa: PT011
        HeaderWriter().mailbox("To", address)


def test_a_structured_field_is_never_encoded():
    with pytest.raises(ValueError, match="ASCII"):
        HeaderWriter().structured("X", "ä")
    with pytest.raises(ValueError, match="control"):
        HeaderWriter().structured("X", "a\x1bb")
    with pytest.raises(ValueError, match="too long"):
        HeaderWriter().structured("X", "a" * 1000)


@pytest.mark.parametrize(
    ("display", "expected"),
    [
        ("Ann Lee", b"To: Ann Lee <a@b>\r\n"),
        ("Lee, Ann", b'To: "Lee, Ann" <a@b>\r\n'),
        ('A "x" \\', b'To: "A \\"x\\" \\\\" <a@b>\r\n'),
        ("Zoë", b"To: =?utf-8?q?Zo=C3=AB?= <a@b>\r\n"),
        ("=?utf-8?q?x?=", b"To: =?utf-8?q?=3D=3Futf-8=3Fq=3Fx=3F=3D?= <a@b>\r\n"),
    ],
)
def test_names_are_written_so_that_they_stay_names(display, expected):
    written = HeaderWriter().mailbox("To", "a@b", display).to_bytes()
    if b"=3D" in expected:  # either encoding will do
        assert Headers(written).text(b"to") == f"{display} <a@b>"
    else:
        assert written == expected


def test_utf8_is_written_as_it_is_where_that_is_allowed():
    assert HeaderWriter(utf8=True).text("Subject", "früh").to_bytes() == "Subject: früh\r\n".encode()
    assert HeaderWriter().mailbox("To", '"a <b"@[IPv6:::1]').to_bytes() == b'To: "a <b"@[IPv6:::1]\r\n'
    assert HeaderWriter(utf8=True).mailbox("To", "jörg@example.com", "Jörg").to_bytes() == (
        'To: "Jörg" <jörg@example.com>\r\n'.encode()
    )


VALUES = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), max_size=300)


@given(VALUES)
def test_what_is_written_is_read_again_in_lines_that_are_not_too_long(value):
    written = HeaderWriter().text("Subject", value).to_bytes()
    assert written.isascii()
    assert all(len(line) <= 998 for line in written.split(b"\r\n"))
    assert all(line[:1] == b" " and line.strip() for line in written.split(b"\r\n")[1:-1])
    assert Headers(written).text(b"subject") == value.strip()


@given(st.text("abc d é日", max_size=200))
def test_the_standard_library_reads_the_same(value):
    value = " ".join(value.split())
    written = HeaderWriter().text("Subject", value).to_bytes()
    assert email.message_from_bytes(written, policy=policy.default)["subject"] == value


@given(st.text())
def test_anything_can_be_made_printable(value):
    HeaderWriter().text("X", printable(value))
    HeaderWriter(utf8=True).structured("X", printable(value))
