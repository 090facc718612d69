"""ENVELOPE and BODYSTRUCTURE, against hand-written values and against the grammar."""

import re
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailcore.message.headers import Headers
from mailcore.message.imapform import body, bodystructure, envelope, string
from mailcore.message.structure import scan


def crlf(text):
    return text.replace("\n", "\r\n").encode()


def read(value):
    """Read one IMAP value (list, string, literal, NIL, number) as Python; fails where the grammar is broken."""
    token = re.compile(rb'\(|\)|"((?:[^"\\\r\n\0\x80-\xff]|\\["\\])*)"|\{(\d+)\}\r\n|NIL|\d+| ')
    stack = [[]]
    position = 0
    while position < len(value):
        found = token.match(value, position)
        assert found, value[position : position + 40]
        position = found.end()
        text = found[0]
        if text == b"(":
            stack.append([])
        elif text == b")":
            done = stack.pop()
            stack[-1].append(done)
        elif found[1] is not None:
            stack[-1].append(re.sub(rb"\\(.)", rb"\1", found[1]))
        elif found[2] is not None:
            size = int(found[2])
            stack[-1].append(value[position : position + size])
            assert len(stack[-1][-1]) == size
            assert b"\0" not in stack[-1][-1]
            position += size
        elif text != b" ":
            stack[-1].append(None if text == b"NIL" else int(text))
    assert len(stack) == 1
    assert len(stack[0]) == 1
    return stack[0][0]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"", b'""'),
        (b"abc", b'"abc"'),
        (b'a"b\\c', b'"a\\"b\\\\c"'),
        (b"a\rb", b"{3}\r\na\rb"),
        ("ë".encode(), b"{2}\r\n\xc3\xab"),
        (b"a\0b", b"{2}\r\nab"),
    ],
)
def test_a_string_is_quoted_where_it_can_be(value, expected):
    assert string(value) == expected


def test_the_envelope_of_an_ordinary_message():
    header = crlf(
        "From: Ann Lee <ann@example.com>\nTo: bob@example.com, Team: c@example.com;\nSubject: a\n b\n"
        "Date: Fri, 21 Nov 1997 09:55:06 -0600 (CST)\nMessage-ID: <1@example.com>\nIn-Reply-To: <0@example.com>\n"
    )
    ann = b'(("Ann Lee" NIL "ann" "example.com"))'
    assert envelope(Headers(header)) == (
        b'("Fri, 21 Nov 1997 09:55:06 -0600 (CST)" "a b" ' + ann + b" " + ann + b" " + ann + b" "
        b'((NIL NIL "bob" "example.com")(NIL NIL "Team" NIL)(NIL NIL "c" "example.com")(NIL NIL NIL NIL)) NIL NIL '
        b'"<0@example.com>" "<1@example.com>")'
    )


@pytest.mark.parametrize(
    ("header", "index", "expected"),
    [
        (b"", 2, None),
        (b"From: a@b\nSender: ", 3, [[None, None, b"a", b"b"]]),
        (b"From: a@b\nReply-To: c@d", 4, [[None, None, b"c", b"d"]]),
        (b"From: a@b\nFrom: c@d", 2, [[None, None, b"a", b"b"], [None, None, b"c", b"d"]]),
        (b"From: root", 2, [[None, None, b"root", b"MISSING_DOMAIN"]]),
        (b"From: <>", 2, [[None, None, b"MISSING_MAILBOX", b"MISSING_DOMAIN"]]),
        (b"Subject:", 1, b""),
        (b"Subject: one\nSubject: two", 1, b"one"),
        ("Subject: früh".encode(), 1, "früh".encode()),
    ],
)
def test_envelopes_of_odd_headers(header, index, expected):
    assert read(envelope(Headers(header)))[index] == expected


def test_the_structure_of_a_multipart_with_everything():
    message = crlf(
        """Content-Type: multipart/mixed; boundary=b
Content-Language: en, de

--b
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: quoted-printable

one
two
--b
Content-Type: application/pdf; name*0=a; name*1=b
Content-ID: <i@example.com>
Content-Description: a paper
Content-Transfer-Encoding: base64
Content-Disposition: attachment; filename*=utf-8''%C3%AB.pdf
Content-MD5: Q2hlY2s=
Content-Location: http://example.com/

AAAA
--b
Content-Type: message/rfc822

Subject: inside

text
--b--
"""
    )
    text = b'("text" "plain" ("charset" "utf-8") NIL NIL "quoted-printable" 8 1'
    pdf = b'("application" "pdf" ("name" "ab") "<i@example.com>" "a paper" "base64" 4'
    inside = (
        b'("message" "rfc822" NIL NIL NIL "7bit" 23 (NIL "inside" NIL NIL NIL NIL NIL NIL NIL NIL) '
        b'("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 4 0'
    )
    assert body(scan(message)) == b"(" + text + b")" + pdf + b")" + inside + b') 2) "mixed")'
    assert bodystructure(scan(message)) == (
        b"(" + text + b" NIL NIL NIL NIL)"
        + pdf + b' "Q2hlY2s=" ("attachment" ("filename*" "utf-8\'\'%C3%AB.pdf")) NIL "http://example.com/")'
        + inside + b' NIL NIL NIL NIL) 2 NIL NIL NIL NIL) "mixed" ("boundary" "b") NIL ("en" "de") NIL)'
    )  # fmt: skip


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (b"", b'("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 0 0)'),
        (b"Content-Type: TEXT/HTML; a=b\n\nx\n", b'("TEXT" "HTML" ("a" "b" "charset" "us-ascii") NIL NIL "7bit" 2 1)'),
        (b"Content-Type: image/png\n\nx\n", b'("image" "png" NIL NIL NIL "7bit" 2)'),
        (
            b"Content-Type: multipart/mixed; boundary=b\n\nnone",
            b'(("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 0 0) "mixed")',
        ),
        (b"Content-Transfer-Encoding: BASE64 (x)\n\n", b'("text" "plain" ("charset" "us-ascii") NIL NIL "BASE64" 0 0)'),
        (b"Content-Transfer-Encoding: \v\n\n", b'("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 0 0)'),
        (b"Content-Transfer-Encoding: ;\f\n\n", b'("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 0 0)'),
    ],
)
def test_bodies_of_plain_messages(message, expected):
    assert body(scan(message)) == expected


def test_a_global_message_is_a_message_in_imap4rev2():
    # RFC 9051 section 9, media-message: MESSAGE with RFC822 or GLOBAL; RFC 3501 section 9 knows only the first.
    message = "Content-Type: message/GLOBAL\n\nSubject: é\n\ntext\n".encode()
    fields = b'"message" "GLOBAL" NIL NIL NIL "7bit" 18'
    text = b'("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 5 1'
    inside = b"(NIL {2}\r\n\xc3\xa9 NIL NIL NIL NIL NIL NIL NIL NIL)"
    root = scan(message)
    assert body(root) == b"(" + fields + b")"
    assert bodystructure(root) == b"(" + fields + b" NIL NIL NIL NIL)"
    assert body(root, rev2=True) == b"(%b %b %b) 3)" % (fields, inside, text)
    assert bodystructure(root, rev2=True) == b"(%b %b %b NIL NIL NIL NIL) 3 NIL NIL NIL NIL)" % (fields, inside, text)


def test_an_encoded_global_message_has_the_form_of_one_in_imap4rev2():
    root = scan(b"Content-Type: message/global\nContent-Transfer-Encoding: base64\n\nU3ViamVjdDogw6kKCg==\n")
    fields = b'"message" "global" NIL NIL NIL "base64" 21'
    assert body(root) == b"(" + fields + b")"
    assert body(root, rev2=True) == (
        b'(%b (NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL) ("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 0 0) 1)'
        % fields
    )


def test_many_long_envelopes_make_no_structure_much_longer_than_the_message():
    header = b"Subject: x\nFrom: " + b"a," * 1000 + b"\n\n"
    message = b"Content-Type: multipart/digest; boundary=b\n\n" + (b"--b\n\n" + header) * 200
    written = bodystructure(scan(message))
    assert len(written) < 10 * len(message)
    value = read(written)
    check_body(value, extended=True)
    assert value[0][7] == read(envelope(Headers(header)))
    assert value[199][7] == [None] * 10


def test_a_structure_is_not_held_once_for_each_level_around_it():
    levels = b"".join(b"Content-Type: multipart/mixed; boundary=%d\n\n--%d\n" % (n, n) for n in range(90))
    root = scan(levels + b"Content-Type: text/x; a=" + b"x" * 1_000_000 + b"\n\n")
    tracemalloc.start()
    written = bodystructure(root)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10 * len(written)


@pytest.mark.parametrize(
    ("header", "disposition", "language"),
    [
        (b"Content-Language: en", None, b"en"),
        (b"Content-Language: en-US (American, English) , fr-CA (x)", None, [b"en-US", b"fr-CA"]),
        (b"Content-Language: en-US;q=0.5, de fr,, it", None, [b"en-US", b"de", b"it"]),
        (b"Content-Language: (none), ;", None, None),
        (b"Content-Disposition: ; filename=x", [b"", [b"filename", b"x"]], None),
        (b'Content-Disposition: "attachment"; filename=x', [b"", [b"filename", b"x"]], None),
        (b"Content-Disposition: /", None, None),
    ],
)
def test_extension_data_of_odd_headers(header, disposition, language):
    written = read(bodystructure(scan(header + b"\n\n")))
    assert written[9:11] == [disposition, language]


def check_body(value, *, extended, rev2=False):
    """Hold a structure against the grammar of RFC 3501 section 9, or of RFC 9051 section 9."""
    if isinstance(value[0], list):
        parts = [part for part in value if isinstance(part, list)]
        count = next(index for index, part in enumerate(value) if not isinstance(part, list))
        for part in parts[:count]:
            check_body(part, extended=extended, rev2=rev2)
        assert isinstance(value[count], bytes)
        assert len(value) == count + (5 if extended else 1)
        return
    assert all(isinstance(value[index], bytes) for index in (0, 1, 5))
    assert isinstance(value[6], int)
    length = 7
    kind = value[0].lower(), value[1].lower()
    if kind == (b"message", b"rfc822") or (rev2 and kind == (b"message", b"global")):
        assert len(value[7]) == 10
        check_body(value[8], extended=extended, rev2=rev2)
        assert isinstance(value[9], int)
        length = 10
    elif kind[0] == b"text":
        assert isinstance(value[7], int)
        length = 8
    assert len(value) == length + (4 if extended else 0)


PIECES = st.sampled_from(
    [
        b"Content-Type: multipart/mixed; boundary=b\r\n", b"Content-Type: multipart/digest; boundary=c; x*0*=\xff\r\n",
        b"Content-Type: message/rfc822\r\n", b"Content-Type: message/Global\r\n",
        b"Content-Transfer-Encoding: base64\r\n", b"Content-Type: ", b"--b\r\n", b"--c\r\n", b"--b--\r\n", b"\r\n",
        b"\r\n\r\n",        b"Content-Disposition: attachment; filename=\"x\"\r\n", b"Content-Disposition: ;\r\n",
        b"Content-Language: ,a,b\r\n",
        b"From: a@b, c: d;\r\n", b"Subject: \0\r\xff\"\\\r\n", b"Content-ID:\r\n", b"x/y;z=",
        b'"', b"=", b";", b"text/", b"\0",
    ]
)  # fmt: skip


@given(st.lists(PIECES, max_size=40).map(b"".join))
def test_every_value_keeps_to_the_grammar(message):
    root = scan(message)
    check_body(read(body(root)), extended=False)
    check_body(read(bodystructure(root)), extended=True)
    check_body(read(body(root, rev2=True)), extended=False, rev2=True)
    check_body(read(bodystructure(root, rev2=True)), extended=True, rev2=True)
    written = read(envelope(root.headers))
    assert len(written) == 10
    for addresses in written[2:8]:
        assert addresses is None or (addresses and all(len(address) == 4 for address in addresses))
