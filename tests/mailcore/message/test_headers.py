"""Header fields as they come: folded, broken, flooded, in every charset."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailcore.message import charsets
from mailcore.message.headers import FIELD_LIMIT, Headers, decode_text, header_end, select_fields, unfold

BLOCK = b"From: a@example.com\r\nSubject: one\r\n two\r\nTO : b@example.com\r\nno colon here\r\nsubject:three\r\n\r\n"


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (b"", (0, 0)),
        (b"\r\nbody", (0, 2)),
        (b"\nbody", (0, 1)),
        (b"A: b\r\n\r\nbody", (6, 8)),
        (b"A: b\n\nbody\r\n\r\n", (5, 6)),
        (b"A: b\n\r\nbody\n\n", (5, 7)),
        (b"A: b\r\n", (6, 6)),
        (b"A: b", (4, 4)),
    ],
)
def test_a_header_ends_at_the_first_blank_line_of_either_kind(message, expected):
    assert header_end(message) == expected


def test_fields_are_found_without_regard_to_case_and_unfolded():
    headers = Headers(BLOCK)
    assert headers.get(b"subject") == b"one two"
    assert headers.get_all(b"subject") == [b"one two", b"three"]
    assert headers.get(b"to") == b"b@example.com"
    assert headers.count(b"subject") == 2
    assert headers.get(b"cc") is None


def test_the_raw_fields_together_are_the_block():
    assert b"".join(field.raw for field in Headers(BLOCK)) + b"\r\n" == BLOCK


@pytest.mark.parametrize(
    "block",
    [
        b" \r\nBcc: x@example.com\r\n",
        b"\rBcc\r\nBcc: x\r",
        b"\r\r\nBcc: x\r\n",
        b"\t\nx\nBcc: y\n",
        b": empty\r\nBcc: z",
    ],
)
def test_an_odd_first_line_hides_no_field(block):
    assert Headers(block).count(b"bcc") == 1
    assert b"".join(field.raw for field in Headers(block)) == block


@pytest.mark.parametrize(
    "message", [b"\r\n \r\nBcc: x", b"\n Bcc: x", b"A: b\r\n\r\n y\r\nBcc: x", b"A: b\n\n\tBcc: x\nBcc: y"]
)
def test_behind_the_blank_line_nothing_is_read(message):
    assert not Headers(message).count(b"bcc")
    assert b"bcc" not in select_fields(message, frozenset({b"bcc"})).lower()


def test_no_more_than_the_limit_of_fields_is_read():
    headers = Headers(b"A: b\r\n" * (FIELD_LIMIT + 500))
    assert headers.count(b"a") == FIELD_LIMIT


@given(st.binary(max_size=300))
def test_any_bytes_are_a_header_and_lose_nothing(block):
    end, _ = header_end(block)
    assert b"".join(field.raw for field in Headers(block[:end])) == block[:end]


@given(st.lists(st.sampled_from([b"Subject", b": ", b"\r\n", b"\n", b" ", b"x", b"=?utf-8?q?", b"?=", b"\0", b"\xff"])))
def test_reading_any_header_gives_text_that_utf8_can_write(pieces):
    headers = Headers(b"".join(pieces))
    text = headers.text(b"subject")
    text.encode()
    assert not set(text) & set("\r\n\0")


def test_selected_fields_come_in_their_order_with_a_blank_line():
    names = frozenset({b"to", b"from"})
    assert select_fields(BLOCK, names) == b"From: a@example.com\r\nTO : b@example.com\r\n\r\n"
    assert select_fields(BLOCK, names, inverted=True) == (
        b"Subject: one\r\n two\r\nno colon here\r\nsubject:three\r\n\r\n"
    )
    assert select_fields(b"A: b", frozenset({b"a"})) == b"A: b\r\n\r\n"
    assert select_fields(b"", frozenset()) == b"\r\n"
    assert select_fields(b"To\r\n", frozenset({b"to"})) == b"\r\n"
    assert select_fields(b"To\r\n", frozenset({b"to"}), inverted=True) == b"To\r\n\r\n"


def test_the_inverse_of_no_field_is_everything_however_many_there_are():
    block = b"A: b\r\n" * (FIELD_LIMIT * 2) + b"\r\n"
    assert select_fields(block, frozenset(), inverted=True) == block


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b" one\r\n two ", b"one two"),
        (b"one\r\n\ttwo", b"one two"),
        (b"one\n\n two", b"one  two"),
        (b"o\0ne\r\n", b"one"),
        (b"\r\n \r\n one", b"one"),
    ],
)
def test_unfolding_leaves_one_line(value, expected):
    assert unfold(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"plain", "plain"),
        (b"=?utf-8?q?Zo=C3=AB_x?=", "Zoë x"),
        (b"=?UTF-8?B?Wm/Dqw==?=", "Zoë"),
        (b"=?utf-8*de?b?Wm/Dqw?=", "Zoë"),  # a language, and no padding
        (b"=?iso-8859-1?q?a?= =?iso-8859-2?q?b?= c", "ab c"),
        (b"x =?utf-8?q?a?=\r\n =?utf-8?q?b?= y", "x ab y"),
        (b"=?utf-8?b?w6?= =?utf-8?b?s?=", "�"),  # six bits make no byte
        (b"=?utf-8?q?=C3?= =?utf-8?q?=AB?=", "ë"),  # a character cut in half
        (b"=?iso-8859-1?q?=80?=", "€"),  # which is what windows-1252 says it is
        (b"=?no-such?q?=C3=AB?=", "ë"),
        (b"=?punycode?q?abc-def?=", "abc-def"),
        (b"=?zlib?b?eJw=?=", charsets.guess(b"\x78\x9c")),
        (b"=?utf-7?q?+2AA-?=", "�"),  # a lone surrogate
        (b"=?utf-8?q?a=0D=0ABcc:_x=00?=", "a  Bcc: x"),
        (b"=?gb2312?b?zsS1tQ==?=", "文档"),
        (b"=?utf-8?x?abc?=", "=?utf-8?x?abc?="),
        (b"=?utf-8?q?unended", "=?utf-8?q?unended"),
        ("früh".encode(), "früh"),
        ("früh".encode("latin-1"), "früh"),
        (b"=?utf-8?q?with spaces in it?=", "with spaces in it"),
        (b"=?utf-8?q?end_?=x", "end x"),
    ],
)
def test_encoded_words_are_decoded(value, expected):
    assert decode_text(value) == expected


@given(st.text(), st.sampled_from(["utf-8", "utf-16", "gb18030", "utf-7", "iso-2022-jp"]))
def test_what_a_charset_wrote_it_reads_again(text, charset):
    try:
        data = text.encode(charset)
    except UnicodeEncodeError:
        return
    if "\x1b" not in text:
        assert charsets.decode(data, charset) == text


@given(st.binary(), st.sampled_from(sorted(set(charsets._CODECS))))
def test_no_charset_raises_on_any_bytes(data, charset):
    charsets.decode(data, charset).encode()


@pytest.mark.parametrize(
    "block",
    [
        b"To: a@example.com\r\n" * 100_000,
        b"Subject: x\r\n" + b" y\r\n" * 300_000,
        b"Subject: " + b"=?utf-8?q?" * 100_000,
        b"Subject: " + b"=?a?q?x?= " * 100_000,
        b"x" * 1_000_000,
        b":" * 1_000_000,
        b" \t" * 500_000,
        b"\r" * 1_000_000,
    ],
)
def test_a_flood_takes_linear_time(block):
    started = time.monotonic()
    headers = Headers(block)
    headers.text(b"subject")
    select_fields(block, frozenset({b"to"}), inverted=True)
    assert time.monotonic() - started < 5
