"""Content-transfer-encodings undone, at once and piece by piece."""

import quopri
import re
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mailcore.message.transfer import Place, decode_body, decode_piece, decode_quoted_printable


@pytest.mark.parametrize(
    ("encoded", "decoded"),
    [
        (b"", b""),
        (b"caf=C3=A9 =3D", b"caf\xc3\xa9 ="),
        (b"one=\r\ntwo=\nthree", b"onetwothree"),
        # RFC 2045 section 6.7 rule 3: white space at the end of a line is deleted, whatever the kind of line break.
        (b"one \t \r\ntwo\t\r\n", b"one\r\ntwo\r\n"),
        (b"one \ntwo", b"one\ntwo"),
        (b"\r\n \r\n\t\r\n", b"\r\n\r\n\r\n"),
        (b"the end \t", b"the end"),
        (b"one= \t\r\ntwo", b"onetwo"),
        (b"one =  \r\ntwo", b"one two"),
        # Encoded white space is meant, and so is what stands within a line.
        (b"one=20\r\ntwo=09\r\n", b"one \r\ntwo\t\r\n"),
        (b"a \t b \rc", b"a \t b \rc"),
        # What is no escape stays.
        (b"1=2=ZZ", b"1=2=ZZ"),
    ],
)
def test_quoted_printable(encoded, decoded):
    assert decode_quoted_printable(encoded) == decoded


@given(st.binary(max_size=300))
def test_what_is_encoded_comes_back(data):
    encoded = re.sub(rb"\r?\n", b"\r\n", quopri.encodestring(data))
    assert decode_quoted_printable(encoded) == data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


PIECES = st.sampled_from(
    [b"a", b"word", b" ", b"\t", b"=", b"=41", b"=C3=A9", b"= \r\n", b"=\r\n", b" \r\n", b"\r\n", b"\n"]
)


def in_pieces(data, encoding, width):
    found, place = b"", Place(0)
    while place.offset < len(data):
        window = data[place.offset : place.offset + width]
        before = place.offset
        octets, place = decode_piece(window, encoding, place, last=before + len(window) == len(data))
        assert place.offset > before
        found += octets
    return found


@given(st.lists(PIECES, max_size=60).map(b"".join), st.sampled_from([b"base64", b"quoted-printable", b"8bit"]))
@example(b"aaaaaaaaa=C3=A9=C3=A9==41", b"quoted-printable")
def test_pieces_make_the_whole(data, encoding):
    # Runs of white space stay shorter than two thirds of a window.
    data = re.sub(rb"[ \t]{9,}", b" ", data)
    for width in (24, 31, 64):
        assert in_pieces(data, encoding, width) == decode_body(data, encoding)


@pytest.mark.parametrize("data", [b" " * 100, b"a" + b" \t" * 100 + b"b", b"=" * 90, b"\r" * 80, b"= " * 60])
def test_pieces_come_to_an_end_whatever_they_hold(data):
    for width in (8, 9, 24):
        in_pieces(data, b"quoted-printable", width)


def test_white_space_costs_no_more_than_its_length():
    begun = time.process_time()
    decode_quoted_printable(b"x" + b" " * 4_000_000 + b"x")
    assert time.process_time() - begun < 5
