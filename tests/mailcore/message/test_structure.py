"""The MIME scanner: what parts a message has and where they lie."""

import email
import mmap
import time
from email import policy
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailcore.message.parameters import (
    get_parameter,
    parameter_text,
    parse_content_type,
    parse_disposition,
    parse_parameters,
)
from mailcore.message.structure import DEPTH_LIMIT, FIELD_TOTAL, PART_LIMIT, find_part, scan, section_span, walk


def crlf(text):
    return text.replace("\n", "\r\n").encode()


NESTED = crlf(
    """From: a@example.com
Content-Type: multipart/mixed; boundary="outer"

preamble
--outer
Content-Type: multipart/alternative; boundary=outer-inner

--outer-inner

one
--outer-inner
Content-Type: text/html

<p>two</p>
--outer-inner--
epilogue of the inner
--outer
Content-Type: message/rfc822

Subject: inside
Content-Type: multipart/mixed; boundary=third

--third
Content-Type: application/pdf

pdf

--third--

--outer
Content-Type: message/rfc822

Subject: plain inside

text
--outer--
epilogue
"""
)


MULTIPART_B = b"Content-Type: multipart/mixed; boundary=b\n\n"
MULTIPART_C = b"Content-Type: multipart/mixed; boundary=c\n\n"


def content(message, path, item=""):
    span = section_span(scan(message), path, item)
    return None if span is None else message[slice(*span)]


@pytest.mark.parametrize(
    ("path", "item", "expected"),
    [
        ("1.1", "", "one"),
        ("1.1", "MIME", "\n"),
        ("1.2", "", "<p>two</p>"),
        ("1.2", "MIME", "Content-Type: text/html\n\n"),
        ("2", "HEADER", "Subject: inside\nContent-Type: multipart/mixed; boundary=third\n\n"),
        ("2", "MIME", "Content-Type: message/rfc822\n\n"),
        ("2", "TEXT", "--third\nContent-Type: application/pdf\n\npdf\n\n--third--\n"),
        ("2.1", "", "pdf\n"),
        ("3", "", "Subject: plain inside\n\ntext"),
        ("3.1", "", "text"),
        ("3.1", "MIME", "Subject: plain inside\n\n"),
        ("3", "TEXT", "text"),
        ("", "HEADER", 'From: a@example.com\nContent-Type: multipart/mixed; boundary="outer"\n\n'),
    ],
)
def test_sections_of_a_nested_message(path, item, expected):
    assert content(NESTED, path, item) == crlf(expected)


@pytest.mark.parametrize(
    ("path", "item"),
    [
        ("0", ""),
        ("4", ""),
        ("1.3", ""),
        ("1.1.1", ""),
        ("2.2", ""),
        ("2.1.1", ""),
        ("3.2", ""),
        ("3.1.1", ""),
        ("1", "HEADER"),
        ("1.1", "TEXT"),
        ("", "MIME"),
        ("x", ""),
        ("1..1", ""),
        ("1.", ""),
        (".".join(["1"] * 500), ""),
        ("99999999999999999999", ""),
        ((0,), ""),
        ((-1,), ""),
    ],
)
def test_a_section_that_is_not_there_is_none(path, item):
    assert section_span(scan(NESTED), path, item) is None


def test_the_first_part_of_what_has_no_parts_is_its_body():
    message = b"Subject: x\r\n\r\nbody\r\n"
    assert content(message, "1") == content(message, "", "TEXT") == b"body\r\n"
    assert content(message, "1", "MIME") == content(message, "", "HEADER") == b"Subject: x\r\n\r\n"
    assert content(message, "1", "TEXT") is None
    assert content(message, "2") is None
    assert content(message, "1.1") is None
    assert content(message, "") == message


@pytest.mark.parametrize(
    ("message", "types"),
    [
        (b"", ["text/plain"]),
        (b"Content-Type: text\r\n\r\n", ["text/plain"]),
        (b"Content-Type: ;\r\n\r\n", ["text/plain"]),
        (b"Content-Type: multipart/mixed\r\n\r\nx", ["text/plain"]),
        (b'Content-Type: multipart/mixed; boundary=""\r\n\r\nx', ["text/plain"]),
        (b"Content-Type: multipart/mixed; boundary=b\r\n\r\nno parts", ["multipart/mixed", "text/plain"]),
        (b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b", ["multipart/mixed", "text/plain"]),
        (b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b--\r\n--b\r\n", ["multipart/mixed", "text/plain"]),
        (b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--bb\r\n", ["multipart/mixed", "text/plain"]),
        (b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b \t\r\n--b\n--b--",
         ["multipart/mixed"] + ["text/plain"] * 2),
        (b"Content-Type: multipart/digest; boundary=b\n\n--b\n\nSubject: x\n\ny\n--b--",
         ["multipart/digest", "message/rfc822", "text/plain"]),
        (b"Content-Type: multipart/digest; boundary=b\n\n--b\nContent-Type: text/html\n\ny\n--b--",
         ["multipart/digest", "text/html"]),
        (b"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\n--b--",
         ["multipart/mixed", "message/rfc822", "text/plain"]),
        (b"Content-Type: message/rfc822\n\n", ["message/rfc822", "text/plain"]),
        # an inner multipart with the boundary of the outer one
        (
            MULTIPART_B + b"--b\n" + MULTIPART_B + b"--b\n\nx\n--b--\n--b\nContent-Type: text/html\n\ny\n--b--\n",
            ["multipart/mixed", "multipart/mixed", "text/plain", "text/html"],
        ),
        # an inner multipart that never ends
        (
            MULTIPART_B + b"--b\n" + MULTIPART_C + b"--c\n\nx\n--b\nContent-Type: text/html\n\n--c\n--b--\n",
            ["multipart/mixed", "multipart/mixed", "text/plain", "text/html"],
        ),
    ],
)  # fmt: skip
def test_broken_messages_have_a_structure(message, types):
    assert [f"{part.media_type.decode()}/{part.subtype.decode()}" for part in walk(scan(message))] == types


@pytest.mark.parametrize("rest", [b"", b"no parts\n", b"--b--\n", b"x\n--b--\ny\n"])
def test_the_empty_part_of_a_multipart_without_parts_can_be_read(rest):
    message = MULTIPART_B + rest
    root = scan(message)
    for item in ("", "MIME"):
        start, end = section_span(root, "1", item)
        assert start == end
    assert section_span(root, "2") is None
    assert section_span(root, "", "TEXT") == (len(MULTIPART_B), len(message))


def test_a_boundary_longer_than_another_is_not_taken_for_it():
    parts = list(walk(scan(NESTED)))
    assert len(parts) == 9
    assert [part.lines for part in parts if part.is_text] == [0, 0, 0]


def test_a_mapped_file_has_the_same_structure(tmp_path):
    (tmp_path / "message").write_bytes(NESTED)
    with (tmp_path / "message").open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        there = [(p.start, p.body_start, p.end, p.lines) for p in walk(scan(mapped))]
    assert there == [(p.start, p.body_start, p.end, p.lines) for p in walk(scan(NESTED))]


PIECES = st.sampled_from(
    [
        b"Content-Type: multipart/mixed; boundary=b", b"Content-Type: multipart/digest; boundary=c",
        b"Content-Type: message/rfc822", b"Content-Type: multipart/mixed; boundary=bb", b"--b", b"--c", b"--bb",
        b"--b--", b"--c--", b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\n\n", b" ", b"x", b"--", b"Subject: y",
    ]
)  # fmt: skip


def check(message):
    """Every part lies within its parent, after its elder, and its sections add up to it."""
    root = scan(message)
    assert (root.start, root.end) == (0, len(message))
    for part in walk(root):
        assert part.start <= part.body_start <= part.end
        at = part.body_start
        for child in part.children:
            assert at <= child.start <= child.end <= part.end
            at = child.end
        if part.is_message:
            assert [(child.start, child.end) for child in part.children] == [(part.body_start, part.end)]
    head, text = section_span(root, "", "HEADER"), section_span(root, "", "TEXT")
    assert message[slice(*head)] + message[slice(*text)] == message


@given(st.lists(PIECES, max_size=40).map(b"".join))
def test_any_pieces_of_a_message_make_a_sound_tree(message):
    check(message)


@given(st.binary(max_size=300))
def test_any_bytes_make_a_sound_tree(message):
    check(message)


@pytest.mark.parametrize("cut", range(len(NESTED)))
def test_a_message_cut_anywhere_makes_a_sound_tree(cut):
    check(NESTED[:cut])


def build(shape):
    """Make an ordinary message of a list (a multipart) of texts, bytes (attachments) and lists."""
    message = EmailMessage(policy=policy.SMTP)
    if isinstance(shape, list):
        message["Content-Type"] = "multipart/mixed"
        for inner in shape:
            message.attach(build(inner))
        return message
    if isinstance(shape, bytes):
        message.set_content(shape, "application", "octet-stream", filename="ä.bin", cte="base64")
    else:
        message.set_content(shape)
    return message


SHAPES = st.recursive(
    st.text(st.characters(codec="utf-8", exclude_categories=["C"]), max_size=50) | st.binary(max_size=50),
    lambda inner: st.lists(inner, min_size=1, max_size=3),
    max_leaves=8,
)


@given(SHAPES)
def test_ordinary_messages_have_the_parts_that_the_standard_library_finds(shape):
    message = build(shape).as_bytes()
    theirs = list(email.message_from_bytes(message, policy=policy.SMTP).walk())
    ours = list(walk(scan(message)))
    assert [f"{p.media_type.decode()}/{p.subtype.decode()}" for p in ours] == [p.get_content_type() for p in theirs]
    for mine, other in zip(ours, theirs, strict=True):
        if not mine.is_multipart:
            written = other.get_payload().encode("utf-8", "surrogateescape")
            assert message[mine.body_start : mine.end] == written.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def nested(depth, header=b"Content-Type: multipart/mixed; boundary=%d\n\n--%d\n"):
    return b"".join(header % ((level,) * header.count(b"%d")) for level in range(depth))


@pytest.mark.parametrize(
    "header", [b"Content-Type: multipart/mixed; boundary=%d\n\n--%d\n", b"Content-Type: message/rfc822\n\n"]
)
def test_what_is_nested_too_deep_is_a_leaf(header):
    parts = list(walk(scan(nested(DEPTH_LIMIT * 3, header))))
    assert len(parts) == DEPTH_LIMIT + 1
    assert parts[-1].media_type == b"application"


def test_after_the_limit_of_parts_the_rest_is_one_part():
    message = b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--b\n\nx\n" * (PART_LIMIT * 2)
    assert len(list(walk(scan(message)))) == PART_LIMIT


def test_after_the_limit_of_fields_in_all_parts_the_rest_is_one_part():
    a_part = b"--b\n" + b"a:\n" * 900 + b"\n"
    root = scan(MULTIPART_B + a_part * 1000)
    assert sum(part.headers.held for part in walk(root)) < FIELD_TOTAL + 2 * 900
    last = root.children[-1]
    assert last.size > len(a_part) * 800
    assert last.end == root.end


@pytest.mark.parametrize(
    "message",
    [
        MULTIPART_B + b"--b\nX\n" * 300_000,
        MULTIPART_B + b"--b\n--c\n" * 300_000,
        MULTIPART_B + b"\n--bx" * 400_000,
        MULTIPART_B + b"\n--b" + b" " * 3_000_000,
        MULTIPART_B + b"\n--b " * 300_000,
        nested(100) + b"\n--x" * 300_000,
        nested(100) + b"\n" * 3_000_000,
        b"".join(b"Content-Type: multipart/mixed; boundary=%d\n\n--%d\n" % (i, i) for i in range(100))
        + b"--99--\n" * 300_000,
        MULTIPART_B + b"--b\nContent-Type: multipart/mixed; boundary=c\n\n--c\n" * 50_000,
        b"Content-Type: text/plain" + b"; a=b" * 100_000 + b"\n\nx",
        b"Content-Type: text/plain" + b"; a*1*=b" * 100_000 + b"\n\nx",
        b"Content-Type: text/plain" + b";" * 1_000_000 + b"\n\nx",
        b"Content-Type: text/plain;" + b" " * 1_000_000 + b"\n\nx",
        b"Content-Type: text/plain; a=" + b'"' * 1_000_000 + b"\n\nx",
        b"Content-Type: text/plain" + b"(" * 1_000_000 + b"\n\nx",
        b"Content-Type: text/plain" + b"()" * 500_000 + b"\n\nx",
        b"Content-Type: text/plain; a=" + b"b(" * 300_000 + b")" * 300_000 + b"\n\nx",
        b"Content-Type: text/plain; " + b"a" * 1_000_000 + b"\n\nx",
        b"x\n" * 1_000_000,
        b"\n" * 3_000_000,
    ],
)
def test_a_hostile_message_takes_linear_time(message):
    started = time.monotonic()
    scan(message)
    assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    ("value", "name", "raw", "text"),
    [
        (b"; a=b", b"a", b"b", "b"),
        (b'; A="b c"', b"a", b"b c", "b c"),
        (b'; a="b\\"c"', b"a", b'b"c', 'b"c'),
        (b'; x=";a=no"; a=yes', b"a", b"yes", "yes"),
        (b'; a="open', b"a", b"open", "open"),
        (b";; junk ; a = b (c) ; d=e", b"a", b"b", "b"),
        (b"; a*=utf-8'de'%C3%AB", b"a*", b"utf-8'de'%C3%AB", "ë"),
        (b"; a*=plain", b"a*", b"plain", "plain"),
        (b"; a*0=b; a*1=c", b"a", b"bc", "bc"),
        (b"; a*1=c; a*0=b; a*3=x", b"a", b"bc", "bc"),
        (b"; a*0*=utf-8''%C3; a*1*=%AB; a*2=100%", b"a*", b"utf-8''%C3%AB100%25", "ë100%"),
        (b"; a*0=b; a*1*=%41", b"a*", b"''b%41", "bA"),
        (b"; a==?utf-8?q?=C3=AB?=", b"a", b"=?utf-8?q?=C3=AB?=", "ë"),
        (b"; a*=utf-8''%0D%0Aa%00", b"a*", b"utf-8''%0D%0Aa%00", "  a"),
    ],
)
def test_parameters_of_every_form(value, name, raw, text):
    parameters = parse_parameters(value)
    assert get_parameter(parameters, name) == raw
    assert parameter_text(parameters, name.rstrip(b"*")) == text


@pytest.mark.parametrize(
    ("value", "kind", "parameters"),
    [
        (b"(a) text (b) / (c) html (d) ; (e) x (f) = (g) y (h)", b"text/html", ((b"x", b"y"),)),
        (b"text/html (; x=no (nested; x=no) \\); x=no); x=y", b"text/html", ((b"x", b"y"),)),
        (b"text/html;x=y(comment);(z)a=b", b"text/html", ((b"x", b"y"), (b"a", b"b"))),
        (b"text/html; x=y(a)(b (c))(d);a=b", b"text/html", ((b"x", b"y"), (b"a", b"b"))),
        (b"text/html; x=report(1)(2).pdf", b"text/html", ((b"x", b"report(1)(2).pdf"),)),
        (b'text/html; x="a (b) c"; y=(c)d', b"text/html", ((b"x", b"a (b) c"), (b"y", b"d"))),
        (b"text/html; x=report(1).pdf; y=z", b"text/html", ((b"x", b"report(1).pdf"), (b"y", b"z"))),
        (b"text/html (open; x=y", b"text/html", ((b"x", b"y"),)),
        (b"(open text/html; x=y", b"/", ()),
    ],
)
def test_comments_are_no_part_of_types_and_parameters(value, kind, parameters):
    media_type, subtype, found = parse_content_type(value)
    assert (b"%b/%b" % (media_type, subtype), found) == (kind, parameters)
    assert parse_disposition(value.replace(b"/", b" "))[0] == media_type


def test_no_more_than_a_hundred_parameters_are_read():
    assert len(parse_parameters(b"; a=b" * 1000)) == 100


@given(st.lists(st.sampled_from([b";", b"a", b"*", b"0", b"1", b"=", b'"', b"\\", b"'", b"%", b" ", b"4", b"\xe4"])))
def test_any_parameters_are_read(pieces):
    parameters = parse_parameters(b"".join(pieces))
    for name, _ in parameters:
        parameter_text(parameters, name.lower()).encode()


def test_find_part_takes_numbers_as_text_or_as_a_sequence():
    root = scan(NESTED)
    assert find_part(root, "2.1") is find_part(root, (2, 1))
    assert find_part(root, "") is root
