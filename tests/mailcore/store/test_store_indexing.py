"""The search index: it never changes what is found, whatever state it is in, and it is kept up with the mail."""

import base64
import quopri
import re
import time
from datetime import date
from email.header import Header
from io import StringIO
from unicodedata import normalize

import pytest
from django.core.management import call_command
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mailcore.message.collation import RULES
from mailcore.message.headers import Headers
from mailcore.message.structure import scan
from mailcore.message.text import address_texts, body_texts, field_texts, header_texts
from mailcore.store import entries, indexing, mailboxes, searching
from mailcore.store.changes import Copy, Expunge
from mailcore.store.commit import run
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
from mailcore.store.indexing import Indexer, index_all, state
from mailcore.store.models import Message, SearchEntry
from mailcore.store.narrowing import narrow
from mailcore.store.pruning import GRACE, prune
from mailcore.store.searching import Search, search
from mailqueue.bodies import ROW_LIMIT
from mailqueue.models import Body
from tests.mailcore.store.samples import append, make_user, message

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _no_rests(monkeypatch):
    monkeypatch.setattr(indexing, "REST", 0)
    monkeypatch.setattr(indexing, "GIVE_WAY", 0)
    monkeypatch.setattr(indexing, "PAUSE", 0)


# -- Nothing but speed depends on the index ----------------------------------------------------------------------------

TEXTS = {
    "utf-8": "Grüße aus Köln ﬁn naïve İstanbul ıssız Ⅳ",
    "iso-8859-1": "Größe naïve café",
    "gb2312": "会议纪要 明天 下午",
    "gb18030": "㐀 会议 東京",
    "big5": "會議 明天",
    "shift_jis": "会議は明日です カタカナ",
    "iso-2022-jp": "会議は明日です",
    "euc-kr": "회의는 내일",
    "koi8-r": "Привет мир",
    "windows-1253": "ΣΊΣΥΦΟΣ σίσυφος",
    "utf-7": "Hej världen",
    "us-ascii": "Hello  world\r\nsecond line",
}
SUBJECTS = ["Weekly\r\n report", "", "Re: =?utf-8?q?Gr=C3=B6?=\r\n =?utf-8?q?=C3=9Fe?=", "x" * 3000 + " end"]


def mail():
    for number, (charset, text) in enumerate(TEXTS.items()):
        raw = text.encode(charset)
        for encoding in ("8bit", "base64", "quoted-printable"):
            encode = {"8bit": bytes, "base64": base64.encodebytes, "quoted-printable": quopri.encodestring}[encoding]
            subject = Header(text, charset).encode(linesep="\r\n") if encoding == "base64" else SUBJECTS[number % 4]
            html = b"<html><style>p{}</style><p>bo<b>ld</b> &amp; %s" % raw if number % 3 == 1 else raw
            kind = b"html" if html is not raw else b"plain"
            date_ = b"Date: Tue, %d Jan 2024 10:00:00 +0900\r\n" % (number + 1) if number % 4 else b""
            part = b"Content-Type: text/%s; charset=%s\r\nContent-Transfer-Encoding: %s\r\n\r\n%s\r\n" % (
                kind,
                charset.encode(),
                encoding.encode(),
                encode(html),
            )
            if number % 2 and encoding == "base64":
                part = (
                    b"Content-Type: multipart/mixed; boundary=q\r\n\r\n--q\r\n" + part + b"--q\r\n"
                    b"Content-Type: message/rfc822\r\n\r\nSubject: inner "
                    + subject.encode()
                    + b"\r\n\r\n%s\r\n" % raw
                    + b"--q\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment;"
                    b" filename*0*=utf-8''f%C3%BCr; filename*1=alle.pdf\r\n\r\nnotread\r\n--q--\r\n"
                )
            yield (
                date_
                + b'From: "Alice \\"A\\"" <alice@example.com>\r\nTo: group: b@example.com,\r\n C <c@example.com>;\r\n'
                b"Subject: " + subject.encode() + b"\r\nX-Number: %d\r\n" % number + part
            )
    yield b"Subject: large\r\n\r\n" + b"filler line\r\n" * ROW_LIMIT + b"needle\r\n"
    yield b""
    yield b"\xff\xfe\x00 broken"


MAIL = list(mail())


def slowly_folded(text):
    """What ``collation.py`` says, in the simplest words."""
    text = normalize("NFKD", normalize("NFKD", text).upper().casefold())
    return re.sub(r"\s+", " ", text)


def has(texts, words):
    return any(slowly_folded(words) in slowly_folded(f" {text} ") for text in texts)


def truth(uid, content, criterion):
    """Whether a message fulfils a criterion, told by all its decoded text and nothing else."""
    root = scan(content)
    headers = Headers(content[: root.body_start])
    match criterion:
        case And(keys):
            return all(truth(uid, content, key) for key in keys)
        case Or(keys):
            return any(truth(uid, content, key) for key in keys)
        case Not(key):
            return not truth(uid, content, key)
        case UidIn(uids):
            return uid in uids
        case Larger(octets):
            return len(content) > octets
        case Smaller(octets):
            return len(content) < octets
        case Arrived():
            begin, end = criterion.span
            return begin <= uid * 86400 < end
        case Sent(comparison, day):
            found = re.search(rb"\ADate: Tue, (\d+)", content)
            own = date(2024, 1, int(found[1])) if found else None
            compare = {
                Comparison.BEFORE: lambda: own < day,
                Comparison.ON: lambda: own == day,
                Comparison.SINCE: lambda: own >= day,
            }
            return own is not None and compare[comparison]()
        case HeaderContains(name, words):
            return any(has(field_texts(name.encode(), value), words) for value in headers.get_all(name.encode()))
        case AddressContains(name, words):
            return any(has(address_texts(value), words) for value in headers.get_all(name.encode()))
        case Contains(place, words):
            return (place is Place.TEXT and has(header_texts(headers), words)) or has(body_texts(content, root), words)


PIECES = [text[begin : begin + length] for text in TEXTS.values() for begin in (0, 3) for length in (1, 2, 5, 9)]
WORDS = st.sampled_from(
    [
        *PIECES,
        *map(str.upper, PIECES),
        *("GRÖSSE", "große", "weekly report", "report\r\n", "bold & ", "fürалле", "füralle.pdf", "needle", "nowhere"),
        *(
            "",
            " ",
            "e",
            "会",
            "会议",
            "議は",
            "istanbul",
            "ISSIZ",
            "iv",
            "Inner",
            "notread",
            "style",
            "subject: we",
            "end",
        ),
        *('alice "a" <alice', "group", "@example.com", "c <c@", "\0", "%", "_"),
    ]
)
DAYS = st.dates(date(2023, 12, 30), date(2024, 1, 14))
LEAVES = st.one_of(
    st.builds(Contains, st.sampled_from(Place), WORDS),
    st.builds(HeaderContains, st.sampled_from(["subject", "from", "to", "x-number", "content-disposition"]), WORDS),
    st.builds(AddressContains, st.sampled_from(["from", "to", "cc"]), WORDS),
    st.builds(Sent, st.sampled_from(Comparison), DAYS),
    st.builds(Arrived, st.sampled_from(Comparison), st.dates(date(1970, 1, 2), date(1970, 2, 10))),
    st.builds(UidIn, st.frozensets(st.integers(1, 45))),
    st.builds(Larger, st.integers(0, 800)),
    st.builds(Smaller, st.integers(0, 800)),
)
CRITERIA = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(And, st.lists(inner, max_size=3).map(tuple)),
        st.builds(Or, st.lists(inner, max_size=3).map(tuple)),
    ),
    max_leaves=6,
)
UIDS = range(1, len(MAIL) + 1)


@pytest.fixture
def filled(user, inbox):
    for uid, content in enumerate(MAIL, 1):
        append(user, inbox, content, internal_date=uid * 86400)
    return user, inbox


@pytest.mark.parametrize("index", ["absent", "fresh", "lagging", "of other rules", "without signatures"])
def test_what_is_found_is_what_the_text_says_whatever_the_index(filled, index):
    if index != "absent":
        assert sum(index_all()) == len(MAIL)
    if index == "lagging":
        SearchEntry.objects.filter(body__in=Message.objects.filter(uid__in=UIDS[::2]).values("body")).delete()
    elif index == "of other rules":
        SearchEntry.objects.update(rules=RULES + 1, subject="", sender=None, signature=b"\0")
    elif index == "without signatures":
        SearchEntry.objects.update(**entries.UNREADABLE._asdict())

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(CRITERIA)
    def check(criterion):
        wanted = [uid for uid in UIDS if truth(uid, MAIL[uid - 1], criterion)]
        assert search(*filled, UIDS, criterion) == wanted

    check()


def test_the_index_leaves_little_to_read(filled):
    list(index_all())
    hits, undecided = narrow(*filled, UIDS, Contains(Place.BODY, "needle"))
    assert hits == []
    assert undecided == [len(MAIL) - 2]
    for criterion in (AddressContains("to", "c <c@example"), Sent(Comparison.SINCE, date(2024, 1, 5)), Larger(10)):
        hits, undecided = narrow(*filled, UIDS, criterion)
        assert hits
        assert undecided == []
    hits, undecided = narrow(*filled, UIDS, HeaderContains("subject", "weekly report"))
    assert hits
    assert [uid for uid in UIDS if b"Subject: xxx" in MAIL[uid - 1]] == undecided  # too long to be kept


def test_a_criterion_of_any_size_is_no_harm(filled):
    list(index_all())
    leaf = Contains(Place.BODY, "needle")
    deep = leaf
    for _ in range(75):
        deep = Not(And((Not(Not(deep)), Or((leaf, UidIn(frozenset({1})))))))
    search(*filled, UIDS, deep)
    wide = Or(tuple(Contains(Place.TEXT, f"{word} nowhere to be found") for word in range(1000)))
    assert search(*filled, UIDS, wide) == []
    assert search(*filled, UIDS, Contains(Place.TEXT, "nowhere " * 10_000)) == []


def test_only_the_owner_searches(filled):
    list(index_all())
    _, inbox = filled
    for criterion in (HeaderContains("subject", ""), Contains(Place.TEXT, "hello"), Larger(0), Not(Larger(0)), And(())):
        assert search(make_user(), inbox, UIDS, criterion) == []


def test_a_search_can_be_done_in_slices(filled, monkeypatch):
    monkeypatch.setattr(searching, "NARROWED", 7)
    monkeypatch.setattr(searching, "SLICE", 3)
    list(index_all())
    SearchEntry.objects.filter(body__in=Message.objects.filter(uid__in=UIDS[::3]).values("body")).delete()
    criterion = Or((Contains(Place.BODY, "hello world"), Contains(Place.TEXT, "会议")))
    sliced = Search(*filled, UIDS, criterion)
    turns = 1
    while not sliced.advance(0):
        turns += 1
    assert turns > len(MAIL) // 7
    assert sliced.found == search(*filled, UIDS, criterion) != []


# -- Keeping it up -----------------------------------------------------------------------------------------------------


def indexed():
    return SearchEntry.objects.filter(rules=RULES).count()


def finish(indexer, now):
    for _ in range(20):
        if indexer.turn(now):
            return
    raise AssertionError("it never ends")


def test_new_mail_is_indexed_and_old_mail_too(user, inbox):
    append(user, inbox, message(), message())
    indexer = Indexer(time.time())
    finish(indexer, time.time())
    assert indexed() == 2
    append(user, inbox, message(), message(body=b"x" * ROW_LIMIT))
    finish(indexer, time.time())
    assert indexed() == 4
    assert indexer.lag(time.time()) == 0


def test_a_body_of_many_is_indexed_once_and_goes_with_its_entry(user, inbox):
    append(user, inbox, message(b"shared"))
    run(Copy(user, inbox, [1], mailboxes.find(user, "Sent"), move=False))
    list(index_all())
    assert state()[:2] == (1, 1)
    run(Expunge(user, inbox, [1], flagged_only=False))
    prune(time.time() + GRACE + 1)
    assert indexed() == 1
    run(Expunge(user, mailboxes.find(user, "Sent"), [1], flagged_only=False))
    prune(time.time() + GRACE + 1)
    assert (Body.objects.count(), SearchEntry.objects.count()) == (0, 0)


def test_what_was_committed_late_is_found_by_a_sweep(user, inbox):
    now = time.time()
    indexer = Indexer(now)
    finish(indexer, now)
    append(user, inbox, message())
    Message.objects.get()  # its id is older than what the indexer has looked at by then
    finish(indexer, now + indexing.OVERLAP + 10)
    SearchEntry.objects.all().delete()
    finish(indexer, now + indexing.OVERLAP + 20)
    assert indexed() == 0
    finish(indexer, now + indexing.SWEEP_EVERY + 1)
    assert indexed() == 1


def test_other_rules_mean_that_everything_is_indexed_anew(user, inbox):
    append(user, inbox, message(b"first"), message(b"second"))
    list(index_all())
    SearchEntry.objects.update(rules=RULES - 1, subject="nonsense")
    finish(Indexer(time.time()), time.time())
    assert list(SearchEntry.objects.order_by("body").values_list("rules", "subject")) == [
        (RULES, " first "),
        (RULES, " second "),
    ]


def test_what_died_in_the_middle_is_done_again(user, inbox, monkeypatch):
    append(user, inbox, *[message() for _ in range(5)])
    monkeypatch.setattr(indexing, "WORK", 0)
    written = []
    write = indexing._write

    def dies(entries):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(len(entries))
        write(entries)

    monkeypatch.setattr(indexing, "_write", dies)
    with pytest.raises(KeyboardInterrupt):
        Indexer(time.time()).turn(time.time())
    assert indexed() == 2
    monkeypatch.setattr(indexing, "_write", write)
    finish(Indexer(time.time()), time.time())
    assert indexed() == 5


def test_a_turn_ends_in_time_and_says_how_far_behind_it_is(user, inbox, monkeypatch):
    append(user, inbox, *[message() for _ in range(5)])
    monkeypatch.setattr(indexing, "WORK", 0)
    monkeypatch.setattr(indexing, "TURN", 0)
    indexer = Indexer(time.time() - 60)
    assert not indexer.turn(time.time())
    assert 0 < indexed() < 5
    assert indexer.lag(time.time() + 100) >= 100
    finish(indexer, time.time())
    assert indexed() == 5
    assert indexer.lag(time.time() + 100) == 0


def test_an_indexer_that_is_stopped_ends_its_turn(user, inbox, monkeypatch):
    append(user, inbox, *[message() for _ in range(5)])
    monkeypatch.setattr(indexing, "WORK", 0)
    indexer = Indexer(time.time())
    indexer.stop()
    assert not indexer.turn(time.time())
    assert indexed() < 5


def test_a_message_that_cannot_be_read_by_our_mistake_stops_nothing(user, inbox, monkeypatch):
    append(user, inbox, message(b"good"), message(b"poison"), message(b"fine"))
    entry_of = indexing.entry_of

    def fails(octets):
        if b"poison" in octets:
            raise RecursionError
        return entry_of(octets)

    monkeypatch.setattr(indexing, "entry_of", fails)
    finish(Indexer(time.time()), time.time())
    assert indexed() == 3
    for criterion in (HeaderContains("subject", "poison"), Contains(Place.TEXT, "poison")):
        assert search(user, inbox, [1, 2, 3], criterion) == [2]
    assert search(user, inbox, [1, 2, 3], Sent(Comparison.ON, date(2024, 1, 1))) == [1, 2, 3]


def test_mail_that_only_passes_through_is_not_indexed(user, inbox):
    append(user, inbox, message())
    Message.objects.all().delete()
    finish(Indexer(time.time()), time.time())
    assert SearchEntry.objects.count() == 0


def test_the_command_indexes_and_says_how_much(user, inbox):
    append(user, inbox, message(), message())

    def said(*arguments):
        out = StringIO()
        call_command("indexmail", *arguments, stdout=out)
        return out.getvalue()

    assert said("--dry-run") == "indexmail: 0 indexed, now 0 of 2 messages; 0 bytes, 0 a message (dry run)\n"
    assert said().startswith("indexmail: 2 indexed, now 2 of 2 messages; ")
    assert said().startswith("indexmail: 0 indexed, now 2 of 2 messages; ")
    assert said("--rebuild").startswith("indexmail: 2 indexed, now 2 of 2 messages; ")
