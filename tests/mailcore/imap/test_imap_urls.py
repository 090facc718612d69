"""URLs that CATENATE takes (RFC 5092), and everything near them that it does not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailcore.imap.grammar import SyntaxRefusedError
from mailcore.imap.questions import Section, SectionText
from mailcore.imap.urls import read_url

GOOD = [
    (b";UID=20", (None, None, 20, Section(), None)),
    (b"/Drafts/;UID=20", ("Drafts", None, 20, Section(), None)),
    (b"/inbox/;uid=20", ("INBOX", None, 20, Section(), None)),
    (b"/a/b;UIDVALIDITY=385759045/;UID=1", ("a/b", 385759045, 1, Section(), None)),
    (b"/Entw%C3%BCrfe/;UID=1/;SECTION=1.2", ("Entwürfe", None, 1, Section((1, 2)), None)),
    (b"/Entwu%CC%88rfe/;UID=1", ("Entwürfe", None, 1, Section(), None)),
    (b"/a%3Bb/;UID=1/;section=header", ("a;b", None, 1, Section((), SectionText.HEADER), None)),
    (b"/A/;UID=1/;SECTION=2.MIME", ("A", None, 1, Section((2,), SectionText.MIME), None)),
    (
        b"/A/;UID=1/;SECTION=HEADER.FIELDS%20(To%20Date)",
        ("A", None, 1, Section((), SectionText.HEADER_FIELDS, (b"TO", b"DATE")), None),
    ),
    (b"/A/;UID=1/;PARTIAL=0.1024", ("A", None, 1, Section(), (0, 1024))),
    (b"/A/;UID=1/;SECTION=TEXT/;PARTIAL=7", ("A", None, 1, Section((), SectionText.TEXT), (7, 2**32 - 1))),
]
BAD = [
    b"", b"/", b"/A", b"/A/", b"A/;UID=1", b"/A;UID=1", b"/A/;UID=0", b"/A/;UID=", b"/A/;UID=4294967296",
    b"/A/;UID=99999999999", b"/A;UIDVALIDITY=0/;UID=1", b"/A;UIDVALIDITY=x/;UID=1", b"/A/;UID=1/",
    b"/A/;UID=1;SECTION=1",
    b"/A/;UID=1/;SECTION=", b"/A/;UID=1/;SECTION=0", b"/A/;UID=1/;SECTION=1.FROB", b"/A/;UID=1/;SECTION=1]x",
    b"/A/;UID=1/;SECTION=MIME", b"/A/;UID=1/;PARTIAL=", b"/A/;UID=1/;PARTIAL=0.0", b"/A/;UID=1/;PARTIAL=0.9999999999",
    b"/A/;UID=1;EXPIRE=2030-01-01T00:00:00Z;URLAUTH=anonymous", b"/A/;UID=1/;SECTION=1;URLAUTH=anonymous:internal",
    b"imap://bob@mail.example.com/A/;UID=1", b"imap:///A/;UID=1", b"http://example.com/", b"/A /;UID=1",
    b"/A\x00/;UID=1",
    b"/%FF/;UID=1", b"/%00/;UID=1", b"/caf\xc3\xa9/;UID=1", b"/A?SUBJECT%20x/;UID=1\r\n",
]  # fmt: skip


@pytest.mark.parametrize(("url", "expected"), GOOD)
def test_a_url_names_a_mailbox_a_message_and_what_of_it_is_meant(url, expected):
    found = read_url(url)
    wanted = found.wanted
    assert (found.mailbox, found.uidvalidity, found.uid, wanted.section, wanted.partial) == expected


@pytest.mark.parametrize("url", BAD)
def test_other_urls_are_refused(url):
    with pytest.raises(SyntaxRefusedError):
        read_url(url)


PIECES = st.sampled_from(
    [b"/", b";", b"UID=", b";UID=1", b";UIDVALIDITY=", b"9", b"A", b"%", b"%2", b"%2F", b"%FF", b"/;SECTION=", b"1.2",
     b"HEADER.FIELDS", b"(", b")", b"%20", b"]", b"/;PARTIAL=", b".", b"&", b"\x00", b"\xff", b'"']
)  # fmt: skip


@given(st.lists(PIECES, max_size=12).map(b"".join))
def test_whatever_it_is_given_it_reads_or_refuses(url):
    try:
        uid = read_url(url).uid
    except SyntaxRefusedError:
        return
    assert 0 < uid < 2**32
