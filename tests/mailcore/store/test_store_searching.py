"""SEARCH: what a criterion means, and that the quick look at raw bytes never changes the answer."""

import base64
import quopri
from datetime import date

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mailcore.store import searching
from mailcore.store.criteria import (
    AddressContains,
    And,
    Arrived,
    Comparison,
    Contains,
    HeaderContains,
    Larger,
    Not,
    Or,
    Place,
    Sent,
    Smaller,
    UidIn,
)
from mailcore.store.searching import search
from mailqueue.bodies import ROW_LIMIT
from tests.mailcore.store.samples import append, make_user

HTML = "<html><p>Gro<b>ß</b>e St&auml;dte &amp; Meere<!-- nothing --></p></html>"
MESSAGES = [
    # plain
    b"""Date: Mon, 1 Jan 2024 23:30:00 -0800
From: Alice <alice@example.com>
Subject: Weekly
 report, 100% done
X-Own: Secret word
Received: from a by b

Hello World
second line_here
""",
    # encoded words, quoted-printable
    b"""Date: Tue, 2 Jan 2024 10:00:00 +0000
From: =?utf-8?q?J=C3=BCrgen?= <j@example.com>
Subject: =?utf-8?b?%s?=
MIME-Version: 1.0
Content-Type: text/plain; charset=iso-8859-1
Content-Transfer-Encoding: quoted-printable

%s
"""
    % (base64.b64encode("Größe 日本".encode()), quopri.encodestring("Schöne Grüße aus Köln".encode("latin-1"))),
    # HTML in base64, and an attachment with a name; no date
    b"""From: c@example.com
Subject: multi
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=xyz

preamble
--xyz
Content-Type: text/html; charset=utf-8
Content-Transfer-Encoding: base64

%s
--xyz
Content-Type: application/octet-stream
Content-Disposition: attachment; filename*=utf-8''b%%C3%%BCro.pdf

binary hidden
--xyz--
"""
    % base64.encodebytes(HTML.encode()),
    # eight bits without a charset
    "Date: Wed, 3 Jan 2024 10:00:00 +0000\nSubject: raw\n\nnaïve 日本語\n".encode(),
    # large
    b"Date: Thu, 4 Jan 2024 10:00:00 +0000\nSubject: large\n\n" + b"filler line\n" * ROW_LIMIT + b"needle\n",
    # letters written as other letters
    b"Date: not a date\nSubject: seven\nContent-Type: text/plain; charset=utf-7\n\n+AHMAZQBjAHIAZQB0-\n",
]
MESSAGES = [content.replace(b"\n", b"\r\n") for content in MESSAGES]
ALL = list(range(1, len(MESSAGES) + 1))
DAY = 86400


def header(name, text):
    return HeaderContains(name, text)


def body(text):
    return Contains(Place.BODY, text)


def text(words):
    return Contains(Place.TEXT, words)


CASES = [
    (And(()), ALL),
    (Or(()), []),
    (UidIn(frozenset({2, 5, 99})), [2, 5]),
    (header("subject", "weekly report"), [1]),
    (header("subject", "WEEKLY"), [1]),
    (header("subject", ""), ALL),
    (header("x-own", ""), [1]),
    (header("subject", "größe"), [2]),
    (header("subject", "GRÖSSE"), [2]),
    (header("subject", "日本"), [2]),
    (header("subject", "100%"), [1]),
    (header("subject", "1%"), []),
    (header("subject", "w_ekly"), []),
    (header("from", "jürgen"), [2]),
    (header("from", "@EXAMPLE.com"), [1, 2, 3]),
    (header("x-own", "secret WORD"), [1]),
    (header("received", "by b"), [1]),
    (header("x-none", ""), []),
    (header("weekly", ""), []),
    (header("sub.ect", ""), []),
    (header("sübject", ""), []),
    (body("hello world"), [1]),
    (body("world\r\nsecond"), [1]),
    (body("weekly"), []),
    (body("line_here"), [1]),
    (body("line?here"), []),
    (body("grüße"), [2]),
    (body("GRÜSSE"), [2]),
    (body("große städte & meere"), [3]),
    (body("<b>"), []),
    (body("auml"), []),
    (body("büro.pdf"), [3]),
    (body("hidden"), []),
    (body("preamble"), []),
    (body("日本"), [4]),
    (body("needle"), [5]),
    (body("secret"), [6]),
    (body(""), ALL),
    (text("secret"), [1, 6]),
    (text("subject: large"), [5]),
    (text("weekly report"), [1]),
    (text("日本"), [2, 4]),
    (text("needles"), []),
    (Larger(ROW_LIMIT), [5]),
    (Smaller(len(MESSAGES[0])), [4, 6]),
    (Larger(len(MESSAGES[0])), [2, 3, 5]),
    (Arrived(Comparison.ON, date(1970, 1, 2)), [2]),
    (Arrived(Comparison.BEFORE, date(1970, 1, 3)), [1, 2]),
    (Arrived(Comparison.SINCE, date(1970, 1, 3)), [3, 4, 5, 6]),
    (Sent(Comparison.ON, date(2024, 1, 1)), [1]),
    (Sent(Comparison.BEFORE, date(2024, 1, 3)), [1, 2]),
    (Sent(Comparison.SINCE, date(2024, 1, 3)), [4, 5]),
    (Not(Sent(Comparison.SINCE, date(2024, 1, 3))), [1, 2, 3, 6]),
    (Not(body("needle")), [1, 2, 3, 4, 6]),
    (And((body("needle"), UidIn(frozenset({1})))), []),
    (And((body("hello"), Smaller(10**6), header("subject", "weekly"))), [1]),
    (Or((body("needle"), header("x-own", "secret"), UidIn(frozenset({3})))), [1, 3, 5]),
    (Not(Or((text("e"), UidIn(frozenset({1}))))), []),
]


@pytest.fixture
def searched(user, inbox):
    for uid, content in enumerate(MESSAGES, 1):
        # The last second of a day still belongs to it.
        append(user, inbox, content, internal_date=(uid - 1) * DAY + (DAY - 1 if uid == 2 else 0))
    return user, inbox


@pytest.mark.django_db
def test_a_criterion_finds_exactly_its_messages(searched, monkeypatch):
    for slice_ in (500, 2):
        monkeypatch.setattr(searching, "SLICE", slice_)
        wrong = [(criterion, hits) for criterion, hits in CASES if search(*searched, ALL, criterion) != hits]
        assert wrong == []


@pytest.mark.django_db
def test_only_the_uids_that_are_asked_for_are_found(searched):
    assert search(*searched, [2, 4, 99], text("日本")) == [2, 4]
    assert search(*searched, [1, 3], text("日本")) == []


@pytest.mark.django_db
def test_nobody_searches_the_mail_of_another(searched):
    _, inbox = searched
    other = make_user()
    for criterion in (header("subject", ""), text("e"), Larger(0), Not(body("x")), Not(Sent(Comparison.ON, date.min))):
        assert search(other, inbox, ALL, criterion) == []


@pytest.mark.django_db
def test_a_deep_tree_is_no_harm(searched):
    criterion = body("needle")
    for _ in range(25):
        criterion = Not(And((criterion, Not(Or(())))))
    assert search(*searched, ALL, criterion) == [1, 2, 3, 4, 6]


PIECES = st.sampled_from(
    [
        b"Subject: ab c\r\n", b"Subject: a\r\n b\r\n", b"From: =?utf-8?q?a=62?=\r\n", b"X: a\0b\r\n",
        b"Content-Type: text/plain\r\n", b"Content-Type: text/html\r\n", b"Content-Type: image/png; name=\"a\\b\"\r\n",
        b"Content-Type: multipart/mixed; boundary=q\r\n", b"Content-Type: message/rfc822\r\n",
        b"Content-Type: text/plain; charset=\"utf-7\"\r\n", b"Content-Type: text/plain; charset*=''utf-7\r\n",
        b"Content-Type: text/plain; charset=cp037\r\n", b"Content-Type: text/plain;\r\n charset=us-ascii\r\n",
        b"Content-Type: text/plain; name*0=a; name*1=b\r\n", b"Content-Disposition: attachment; filename=\"ab\"\r\n",
        b"Content-Transfer-Encoding: base64\r\n", b"Content-Transfer-Encoding: quoted-printable\r\n",
        b"\r\n", b"\n", b"--q\r\n", b"--q--\r\n", b"a", b"b", b"ab", b" ", b"=61=62", b"YWI=", b"<i>", b"&#97;",
        b"+AGE-", b"\x81\x82", b"\xc3\xa4",
    ]
)  # fmt: skip


def contains(place, words):
    return searching._Compiler().compile(Contains(place, words))[0]


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(content=st.lists(PIECES, max_size=14).map(b"".join), words=st.sampled_from(["a", "ab", "b", "a b", "ab c", "ä"]))
@example(content=b"Content-Type: text/plain; charset=cp037\r\n\r\n\x81\x82", words="ab")
@example(content=b"Subject: a\0b\r\n", words="ab")
@example(content=b"Content-Type: text/html\r\n\r\na<i>b", words="ab")
def test_the_look_at_raw_bytes_never_changes_the_answer(content, words):
    for place in Place:
        quick, slow = searching._Facts(1), searching._Facts(1)
        quick.octets = slow.octets = content
        slow._raw = b""
        assert slow.raw is None
        test = contains(place, words)
        assert test(quick) == test(slow)


def test_most_mail_is_decided_by_a_look_at_its_raw_bytes():
    facts = searching._Facts(1)
    facts.octets = MESSAGES[0]
    assert facts.raw is not None
    assert contains(Place.BODY, "nowhere")(facts) is False
    assert contains(Place.BODY, "hello")(facts) is True
    assert facts._contained is None


ADDRESSES = [
    b"Alice <alice@example.com>",
    b"<alice (home) @ (of) example. com>",
    b"alice@example.com (Alice)",
    b'"Alice A." <alice@example.com>, bob@example.com',
    b"friends: alice@example.com,\r\n Bob <bob@example.com>;, empty:;",
    b"=?utf-8?q?=C3=84lice?= <alice@example.com>",
    b'"ali\\ce"@example.com',
    b"nobody at all",
]


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["from", "reply-to", "x-address"])
def test_an_address_is_found_as_it_is_written_and_as_it_is_meant(user, inbox, name):
    append(user, inbox, *[name.encode() + b": " + value + b"\r\n\r\nbody\r\n" for value in ADDRESSES])
    append(user, inbox, b"Subject: alice@example.com\r\n\r\nbody\r\n")
    everything = range(1, len(ADDRESSES) + 2)
    cases = {
        "alice@example.com": [1, 2, 3, 4, 5, 6, 7],
        "ICE@EXAMPLE.": [1, 2, 3, 4, 5, 6, 7],
        "alice <alice@": [1, 3],
        "alice a. <alice@": [4],
        '"alice a."': [4],
        "(home)": [2],
        "älice <alice": [6],
        "friends": [5],
        "empty": [5],
        "bob <bob@example.com>": [5],
        "nobody": [8],
        "carol": [],
        "": [1, 2, 3, 4, 5, 6, 7, 8],
    }
    found = {text: search(user, inbox, everything, AddressContains(name, text)) for text in cases}
    assert found == cases
