"""Lines end with CRLF only, and dots come and go without a trace."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailcore.lines import DotStuffer, DotUnstuffer, LineBuffer, LineTooLongError

# Mostly the octets that matter, so that every neighbourhood of CR, LF and dot comes up.
WIRE = st.lists(st.sampled_from([b"\r\n", b"\r", b"\n", b".", b"a", b"\r\n."]), max_size=24).map(b"".join)


def lines_of(*pieces: bytes, limit: int = 10) -> list[bytes | str]:
    buffer = LineBuffer()
    found: list[bytes | str] = []
    for piece in pieces:
        buffer.feed(piece)
        while True:
            try:
                line = buffer.next_line(limit)
            except LineTooLongError:
                found.append("too long")
                continue
            if line is None:
                break
            found.append(line)
    return found


def pieces_of(data: bytes, cuts: list[int]) -> list[bytes]:
    marks = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(marks)]


@pytest.mark.parametrize("text", [b"a\nb", b"a\rb", b"\n", b"a\n\r", b"a\r\r"])
def test_a_bare_cr_or_lf_ends_no_line(text):
    assert lines_of(text) == []
    assert lines_of(text + b"x\r\n", limit=100) == [text + b"x"]


def test_a_line_at_the_limit_is_taken_and_one_octet_more_is_not():
    assert lines_of(b"12345678\r\n123456789\r\nok\r\n") == [b"12345678", "too long", b"ok"]


def test_an_endless_line_is_reported_once_and_not_kept():
    buffer = LineBuffer()
    reports = 0
    for _ in range(1000):
        buffer.feed(b"x" * 1000)
        try:
            assert buffer.next_line(100) is None
        except LineTooLongError:
            reports += 1
        assert len(buffer) <= 1
    assert reports == 1
    buffer.feed(b"\r\nok\r\n")
    assert buffer.next_line(100) == b"ok"


@given(WIRE, st.lists(st.integers(0, 40)))
def test_a_cut_anywhere_changes_no_line(data, cuts):
    assert lines_of(*pieces_of(data, cuts)) == lines_of(data)


def test_octets_are_taken_by_count_and_can_be_put_back():
    buffer = LineBuffer()
    buffer.feed(b"12345NOOP\r\n")
    assert buffer.peek(2) == b"12"
    assert buffer.take(5) == b"12345"
    rest = buffer.take_all()
    assert (rest, len(buffer)) == (b"NOOP\r\n", 0)
    buffer.feed(b"QUIT\r\n")
    buffer.put_back(rest)
    assert buffer.next_line(10) == b"NOOP"
    buffer.clear()
    assert buffer.next_line(10) is None


def unstuffed(*pieces: bytes) -> tuple[bytes, bytes | None]:
    reader = DotUnstuffer()
    body = b""
    for number, piece in enumerate(pieces):
        body += reader.unstuff(piece)
        if reader.rest is not None:
            return body, reader.rest + b"".join(pieces[number + 1 :])
    return body, None


@pytest.mark.parametrize(
    ("wire", "body", "rest"),
    [
        (b".\r\n", b"", b""),
        (b"a\r\n.\r\nQUIT\r\n", b"a\r\n", b"QUIT\r\n"),
        (b"..\r\n.\r\n", b".\r\n", b""),
        (b".a\r\n..b\r\n.\r\n", b"a\r\n.b\r\n", b""),
        (b"\r\n\r\n.\r\n", b"\r\n\r\n", b""),
        (b"...\r\n.\r\n.\r\n", b"..\r\n", b".\r\n"),
    ],
)
def test_dots_are_taken_away_and_the_end_is_found(wire, body, rest):
    assert unstuffed(wire) == (body, rest)


@pytest.mark.parametrize("end", [b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r.\r\n", b"\r\n.\n", b"\r\n.\r", b"\r\n.\r\r\n"])
def test_nothing_but_crlf_dot_crlf_is_the_end(end):
    assert unstuffed(b"a" + end + b"b")[1] is None


@given(WIRE, st.lists(st.integers(0, 60)))
def test_a_cut_anywhere_changes_no_message(data, cuts):
    data += b"\r\n.\r\nrest"
    assert unstuffed(*pieces_of(data, cuts)) == unstuffed(data)


@given(WIRE, st.lists(st.integers(0, 60)), st.lists(st.integers(0, 60)))
def test_what_is_stuffed_comes_back_as_it_was(body, cuts, wire_cuts):
    stuffer = DotStuffer()
    wire = b"".join(stuffer.stuff(piece) for piece in pieces_of(body, cuts)) + stuffer.end()
    expected = body if not body or body.endswith(b"\r\n") else body + b"\r\n"
    assert unstuffed(*pieces_of(wire + b"rest", wire_cuts)) == (expected, b"rest")


def test_a_slice_without_dots_is_not_copied():
    data = b"Subject: x\r\n\r\nbody\r\n"
    assert DotStuffer().stuff(data) is data
