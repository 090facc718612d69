"""The text that SEARCH looks into."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailcore.message.structure import scan
from mailcore.message.text import body_texts, file_name, header_texts, part_text, preview, strip_html


def text_of(message):
    return "\n".join(body_texts(message, scan(message)))


MESSAGE = """Subject: =?utf-8?q?fr=C3=BCh?=
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: base64

Z3LDvMOfZQ==
--b
Content-Type: text/html; charset=iso-8859-1
Content-Transfer-Encoding: quoted-printable

<style>hidden</style><p>sch=F6n &amp; b<b>o</b>ld</p>=
 wide
--b
Content-Type: application/pdf; name="=?utf-8?q?f=C3=BCr?=.pdf"

notread
--b
Content-Type: message/rfc822

Subject: inner

inside
--b--
preamble is not text
""".replace("\n", "\r\n").encode()


def test_headers_are_decoded():
    assert next(header_texts(scan(MESSAGE).headers)) == "subject: früh"


def test_every_text_part_is_decoded():
    found = text_of(MESSAGE)
    for wanted in ("grüße", "schön & bold", "wide", "für.pdf", "subject: inner", "inside"):
        assert wanted in found
    for hidden in ("hidden", "notread", "<p>", "früh", "preamble"):
        assert hidden not in found


def test_a_bounded_amount_is_read():
    message = b"\r\n" + b"x" * 1000
    assert list(body_texts(message, scan(message), limit=100)) == ["x" * 100]
    assert part_text(message, scan(message), 10) == "x" * 10


@pytest.mark.parametrize(
    ("markup", "expected"),
    [
        ("a<br>b", "a b"),
        ("a<!-- x -->b", "a b"),
        ("a<!-- x", "a "),
        ("a<script>x<y></script>b", "a  b"),
        ("a<SCRIPT>x", "a "),
        ("1 < 2 > 1", "1 < 2 > 1"),
        ("a<b", "a"),
        (
            "&lt;b&gt; &#228; &#xe4; &eacute &nosuch; &#0; &#xD800; &#99999999999;",
            "<b> ä ä é &nosuch; � � &#99999999999;",
        ),
        ("<!DOCTYPE html><?xml?>x", "  x"),
    ],
)
def test_html_loses_its_tags(markup, expected):
    assert strip_html(markup) == expected


def test_a_preview_is_one_line_of_the_first_text():
    assert preview(MESSAGE) == "grüße"
    message = b"Content-Type: text/html\r\n\r\n<p>one\r\n<p>two"
    assert preview(message, 5) == "one t"
    assert preview(b"") == ""


def test_a_file_name_is_found_wherever_senders_put_it():
    message = b"Content-Disposition: attachment; filename*=utf-8''%C3%AB\r\nContent-Type: a/b; name=x\r\n\r\n"
    assert file_name(scan(message)) == "ë"
    assert file_name(scan(b"Content-Type: a/b; name=x\r\n\r\n")) == "x"
    assert file_name(scan(b"")) == ""


PIECES = st.sampled_from(
    [
        b"Content-Type: text/html; charset=", b"utf-7", b"utf-16", b"iso-2022-jp", b"zlib", b"\r\n", b"\r\n\r\n", b"<",
        b">", b"&#", b"9", b"script", b"<!--", b"Content-Transfer-Encoding: base64\r\n", b"=", b"A", b"\xff", b"+2AA-",
        b"\0", b"Content-Transfer-Encoding: quoted-printable\r\n",
    ]
)  # fmt: skip


@given(st.lists(PIECES, max_size=30).map(b"".join))
def test_any_message_gives_text_that_utf8_can_write(message):
    text_of(message).encode()
    preview(message).encode()


@pytest.mark.parametrize(
    "markup",
    [piece * 200_000 for piece in ("<!--", "<script>", "<", "<a", "&", "&#1", "<p>", "<script></script", "--><!--")],
)
def test_hostile_html_takes_linear_time(markup):
    started = time.monotonic()
    strip_html(markup)
    assert time.monotonic() - started < 10
