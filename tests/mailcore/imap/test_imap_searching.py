"""The SEARCH family on the wire: ESEARCH, SEARCHRES, SORT, THREAD, PARTIAL, WITHIN, charsets, MULTISEARCH."""

import re
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from imap_model import MESSAGE, MIXED, NOW, Client, Store, asked

from mailcore.imap import questions as q
from mailcore.imap.commands.multisearch import NAMES_LIMIT
from mailcore.imap.fetch_items import read_items
from mailcore.imap.forms import PLAIN
from mailcore.imap.grammar import Parser, SyntaxRefusedError
from mailcore.imap.search_results import Partial, read_partial, read_returns
from mailcore.store import criteria
from mailcore.store.flags import DELETED, FLAGGED, SEEN
from mailcore.store.sort_keys import Algorithm, SortCriterion, SortKey


def with_mail(count=5, names=(), **options):
    """Mail of subjects a, b, … and falling sizes; every second is seen."""
    store = Store(*names)
    for number in range(count):
        subject = bytes([ord("a") + number])
        text = MESSAGE.replace(b"lunch", subject) + b"x" * (10 * (count - number))
        store.inbox.add(text, SEEN if number % 2 else 0, date=number * 100)
    return Client(store, select=b"INBOX", **options)


def untagged(said):
    return [line for line in said.split(b"\r\n") if line.startswith(b"* ")]


def found(client, command):
    """The one untagged line of a command that must work."""
    said = client.do(b"t " + command)
    assert b"\r\nt OK " in b"\r\n" + said, said
    (line,) = untagged(said)
    return line


def flags_of(client, line):
    return sorted(int(number) for number in re.findall(rb"\* (\d+) FETCH", client.do(b"t " + line)))


# -- SEARCHRES (RFC 5182) ---------------------------------------------------------------------------------------------


def test_what_was_saved_stands_wherever_a_set_may():
    client = with_mail(5, ["Work"])
    assert untagged(client.do(b"a SEARCH RETURN (SAVE) SEEN")) == []  # section 2.1: no ESEARCH for SAVE alone
    assert flags_of(client, b"FETCH $ FLAGS") == [2, 4]
    assert flags_of(client, b"UID FETCH $ FLAGS") == [2, 4]
    assert found(client, b"SEARCH $ SUBJECT d") == b"* SEARCH 4"
    assert found(client, b"SEARCH NOT $") == b"* SEARCH 1 3 5"
    assert found(client, b"UID SEARCH UID $") == b"* SEARCH 2 4"
    assert found(client, b"SORT (REVERSE ARRIVAL) UTF-8 $") == b"* SORT 4 2"
    assert flags_of(client, b"STORE $ +FLAGS (\\Flagged)") == [2, 4]
    assert flags_of(client, b"UID STORE $ +FLAGS (\\Deleted)") == [2, 4]
    assert b"COPYUID 1002 2,4 1:2" in client.do(b"a COPY $ Work")
    assert b"COPYUID 1002 2,4 3:4" in client.do(b"a UID COPY $ Work")
    client.do(b"a SEARCH RETURN (SAVE) 2")
    assert untagged(client.do(b"a UID EXPUNGE $")) == [b"* 2 EXPUNGE", b"* 4 RECENT"]
    client.do(b"a SEARCH RETURN (SAVE) 3")
    assert b"COPYUID 1002 4 5" in client.do(b"a MOVE $ Work")
    client.do(b"a SEARCH RETURN (SAVE) 1")
    assert b"COPYUID 1002 1 6" in client.do(b"a UID MOVE $ Work")


def test_the_examples_of_rfc_5182():
    """Section 2.2: a search whose result is used by the next ones, pipelined."""
    store = Store()
    for number in range(1, 11):
        store.inbox.add(MESSAGE, SEEN if number in {2, 3} else 0)
    client = Client(store, select=b"INBOX")
    said = client.send(b"A282 SEARCH RETURN (SAVE) SEEN\r\nA283 FETCH $ (UID)\r\n").read()
    assert said == (
        b"A282 OK SEARCH completed\r\n* 2 FETCH (UID 2)\r\n* 3 FETCH (UID 3)\r\nA283 OK FETCH completed\r\n"
    )
    said = client.send(b"B282 SEARCH RETURN (SAVE) UNSEEN\r\nB283 SEARCH $ 4:6\r\n").read()
    assert b"* SEARCH 4 5 6\r\n" in said
    said = client.send(b"E282 SEARCH RETURN (MIN MAX SAVE) UNSEEN\r\nE283 FETCH $ FLAGS\r\n").read()
    assert said.startswith(b'* ESEARCH (TAG "E282") MIN 1 MAX 10\r\n')
    assert re.findall(rb"\* (\d+) FETCH", said) == [b"1", b"10"]


@pytest.mark.parametrize(
    ("options", "saved"),
    [
        (b"SAVE", [2, 4, 6]),
        (b"SAVE ALL", [2, 4, 6]),
        (b"SAVE COUNT", [2, 4, 6]),
        (b"SAVE MIN", [2]),
        (b"SAVE MAX", [6]),
        (b"SAVE MIN MAX", [2, 6]),
        (b"SAVE MIN COUNT", [2, 4, 6]),
        (b"SAVE MIN MAX ALL", [2, 4, 6]),
        (b"SAVE PARTIAL 2:2", [4]),  # RFC 9394 section 3.2
        (b"SAVE PARTIAL -1:-2", [4, 6]),
        (b"SAVE MIN PARTIAL 2:2", [2, 4]),
        (b"SAVE MAX PARTIAL 1:1", [2, 6]),
        (b"SAVE MIN MAX PARTIAL 2:9", [2, 4, 6]),
        (b"SAVE COUNT PARTIAL 2:2", [2, 4, 6]),
        (b"SAVE PARTIAL 9:10", []),
    ],
)
def test_what_is_saved_depends_on_what_is_returned(options, saved):
    client = with_mail(6)
    client.do(b"a SEARCH RETURN (%b) SEEN" % options)
    assert flags_of(client, b"FETCH $ FLAGS") == saved


def test_what_is_expunged_is_saved_no_more_and_numbers_follow():
    client = with_mail(5)
    client.do(b"a SEARCH RETURN (SAVE) 2:4")
    client.store.inbox.remove([1, 3])
    client.ring()
    client.do(b"a FETCH 2 UID")
    assert flags_of(client, b"FETCH $ FLAGS") == [2, 4]  # not told of EXPUNGE yet, and 3 is not there
    client.do(b"a NOOP")
    assert found(client, b"SEARCH $") == b"* SEARCH 1 2"
    assert found(client, b"UID SEARCH $") == b"* SEARCH 2 4"


def test_new_mail_is_not_among_what_was_saved():
    client = with_mail(3)
    client.do(b"a SEARCH RETURN (SAVE) ALL")
    client.store.inbox.add()
    client.do(b"a NOOP")
    assert found(client, b"SEARCH $") == b"* SEARCH 1 2 3"


@pytest.mark.parametrize(
    ("after", "saved"),
    [
        (b"SEARCH RETURN (SAVE) DRAFT", []),  # nothing found
        (b"SEARCH RETURN (SAVE) FROB", [2, 4]),  # BAD
        (b"SEARCH RETURN (SAVE) CHARSET KLINGON ALL", []),  # NO with SAVE
        (b"SEARCH CHARSET KLINGON ALL", [2, 4]),  # NO without
        (b"SEARCH RETURN (ALL) 1", [2, 4]),
        (b"SORT RETURN (SAVE) (ARRIVAL) KLINGON ALL", []),
        (b"ESEARCH RETURN (SAVE) CHARSET KLINGON ALL", []),
        (b"SELECT INBOX", []),
        (b"EXAMINE INBOX", []),
    ],
)  # fmt: skip
def test_how_long_something_is_saved(after, saved):
    client = with_mail(5)
    client.do(b"a SEARCH RETURN (SAVE) SEEN")
    client.do(b"b " + after)
    assert flags_of(client, b"FETCH $ FLAGS") == saved


def test_a_search_that_the_store_could_not_answer_empties_what_was_saved():
    client = with_mail(5)
    client.do(b"a SEARCH RETURN (SAVE) SEEN")
    client.store.refuse = {q.SearchMessages: q.Refused.UNAVAILABLE}
    assert b"b NO [UNAVAILABLE]" in client.do(b"b SEARCH RETURN (SAVE) SUBJECT a")
    assert flags_of(client, b"FETCH $ FLAGS") == []


def test_an_empty_variable_is_a_valid_set():
    client = with_mail(2)
    for line in (b"FETCH $ FLAGS", b"UID FETCH $ FLAGS", b"STORE $ FLAGS ()", b"COPY $ INBOX", b"UID EXPUNGE $"):
        assert client.do(b"a " + line).startswith(b"a OK ")
    assert found(client, b"SEARCH $") == b"* SEARCH"


def test_what_is_saved_takes_no_more_than_two_numbers_a_run():
    client = with_mail(20)
    client.do(b"a SEARCH RETURN (SAVE) ALL")
    assert len(client.session._talk.selected._saved) == 2


# -- ESEARCH and PARTIAL (RFC 4731, RFC 9394) -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        # RFC 4731 section 3.1
        (b"SEARCH RETURN (MIN COUNT) SEEN", b'* ESEARCH (TAG "t") MIN 2 COUNT 3'),
        (b"SEARCH RETURN (MIN) SEEN", b'* ESEARCH (TAG "t") MIN 2'),
        (b"SEARCH RETURN (MAX) SEEN", b'* ESEARCH (TAG "t") MAX 6'),
        (b"UID SEARCH RETURN (ALL) SEEN", b'* ESEARCH (TAG "t") UID ALL 2,4,6'),
        (b"UID SEARCH RETURN (COUNT ALL) DRAFT", b'* ESEARCH (TAG "t") UID COUNT 0'),
        # RFC 9394 section 3.1: pages from both ends
        (b"UID SEARCH RETURN (PARTIAL 1:2) SEEN", b'* ESEARCH (TAG "t") UID PARTIAL (1:2 2,4)'),
        (b"UID SEARCH RETURN (PARTIAL -1:-2) SEEN", b'* ESEARCH (TAG "t") UID PARTIAL (-1:-2 4,6)'),
        (b"SEARCH RETURN (PARTIAL -3:-9) SEEN", b'* ESEARCH (TAG "t") PARTIAL (-3:-9 2)'),
        (b"SEARCH RETURN (PARTIAL -4:-9) SEEN", b'* ESEARCH (TAG "t") PARTIAL (-4:-9 NIL)'),
        (b"SEARCH RETURN (PARTIAL 3:2) SEEN", b'* ESEARCH (TAG "t") PARTIAL (2:3 4,6)'),
        (b"SEARCH RETURN (PARTIAL -2:-1) SEEN", b'* ESEARCH (TAG "t") PARTIAL (-1:-2 4,6)'),
        (b"SEARCH RETURN (PARTIAL 7:9 COUNT) SEEN", b'* ESEARCH (TAG "t") PARTIAL (7:9 NIL) COUNT 3'),
        (b"SEARCH RETURN (PARTIAL 1:2 MIN MAX) SEEN", b'* ESEARCH (TAG "t") MIN 2 MAX 6 PARTIAL (1:2 2,4)'),
        (b"SEARCH RETURN (PARTIAL 1:1) MODSEQ 1", b'* ESEARCH (TAG "t") PARTIAL (1:1 1) MODSEQ 2'),
        (b"SEARCH RETURN (PARTIAL 1:1 COUNT) MODSEQ 1", b'* ESEARCH (TAG "t") PARTIAL (1:1 1) COUNT 6 MODSEQ 7'),
        # RFC 5267 section 4.2: a hint
        (b"SEARCH RETURN (CONTEXT COUNT) SEEN", b'* ESEARCH (TAG "t") COUNT 3'),
        (b"SEARCH RETURN (CONTEXT) SEEN", b'* ESEARCH (TAG "t") ALL 2,4,6'),
    ],
)
def test_results_of_extended_searches(command, answer):
    client = with_mail(6)
    client.do(b"x ENABLE CONDSTORE")
    assert found(client, command) == answer


@pytest.mark.parametrize(
    "command",
    [
        b"SEARCH RETURN (PARTIAL) ALL",
        b"SEARCH RETURN (PARTIAL 1) ALL",
        b"SEARCH RETURN (PARTIAL 0:1) ALL",
        b"SEARCH RETURN (PARTIAL 1:*) ALL",
        b"SEARCH RETURN (PARTIAL *:1) ALL",
        b"SEARCH RETURN (PARTIAL 1:-1) ALL",
        b"SEARCH RETURN (PARTIAL -1:1) ALL",
        b"SEARCH RETURN (PARTIAL 1:4294967296) ALL",
        b"SEARCH RETURN (PARTIAL 1:99999999999) ALL",
        b"SEARCH RETURN (PARTIAL 1:2 PARTIAL 3:4) ALL",
        b"SEARCH RETURN (PARTIAL 1:2 ALL) ALL",
        b"SEARCH RETURN (UPDATE ()) ALL",
        b"SEARCH RETURN (UPDATE (FROB)) ALL",
        b"SEARCH RETURN (UPDATE (UID) ALL",
        b"SEARCH RETURN (COUNT (UID)) ALL",
        b"SEARCH RETURN ALL",
        b"SEARCH RETURN (SAVE)",
        b"SEARCH RETURN(SAVE) ALL",
        b"SEARCH $1",
        b"SEARCH YOUNGER 0",
        b"SEARCH OLDER",
        b"SEARCH OLDER -1",
        b"SEARCH YOUNGER 99999999999",
        b"SORT (ARRIVAL) UTF-8",
        b"SORT () UTF-8 ALL",
        b"SORT ARRIVAL UTF-8 ALL",
        b"SORT (FROB) UTF-8 ALL",
        b"SORT (REVERSE) UTF-8 ALL",
        b"SORT (REVERSE REVERSE DATE) UTF-8 ALL",
        b"SORT RETURN (FROB) (DATE) UTF-8 ALL",
        b"THREAD UTF-8 ALL",
        b"THREAD FROB UTF-8 ALL",
        b"THREAD REFERENCES UTF-8",
        b"CANCELUPDATE",
        b'CANCELUPDATE "nope"',
        b"CANCELUPDATE t",
        b"FETCH 1 FLAGS (PARTIAL 1:2)",  # RFC 9394 section 3.3: of UID FETCH
        b"UID FETCH 1 FLAGS (PARTIAL)",
        b"UID FETCH 1 FLAGS (PARTIAL 1:2 PARTIAL 1:2)",
        b"UID FETCH 1 FLAGS (PARTIAL 1:*)",
        b"ESEARCH",
        b"ESEARCH IN () ALL",
        b"ESEARCH IN (frob) ALL",
        b"ESEARCH IN (mailboxes) ALL",
        b"ESEARCH IN (mailboxes ()) ALL",
        b"ESEARCH IN (selected-delayed) ALL",
        b"ESEARCH IN (personal (scope)) ALL",
        b"ESEARCH IN (personal) 1:3",
        b"ESEARCH IN (personal) UID $",
        b"ESEARCH IN (personal selected) RETURN (SAVE) ALL",
        b"ESEARCH IN (personal) RETURN (UPDATE) ALL",
    ],
)
def test_what_the_grammar_refuses(command):
    client = with_mail(3)
    said = client.do(b"t " + command)
    assert said.startswith(b"t BAD "), said


NUMBERS = st.integers(1, 12)


@given(NUMBERS, NUMBERS, st.booleans(), st.integers(0, 9))
def test_a_page_is_what_counting_gives(first, last, from_end, count):
    sign = b"-" if from_end else b""
    page = read_partial(Parser(b"%b%d:%b%d" % (sign, first, sign, last)))
    low, high = sorted((first, last))
    places = list(range(count))
    counted = [place for at, place in enumerate(reversed(places) if from_end else places, 1) if low <= at <= high]
    assert list(page.of(places)) == sorted(counted)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 4)), max_size=5), NUMBERS, NUMBERS, st.booleans())
def test_a_page_of_runs_is_the_page_of_their_places(gaps, first, last, from_end):
    runs, at = [], 0
    for gap, length in gaps:
        runs.append(range(at + gap, at + gap + length))
        at += gap + length
    page = Partial(min(first, last), max(first, last), from_end)
    places = [place for run in runs for place in run]
    assert [place for run in page.runs(runs) for place in run] == list(page.of(places))


@settings(max_examples=300)
@given(
    st.lists(
        st.sampled_from([b"RETURN", b"(", b")", b" ", b"MIN", b"SAVE", b"PARTIAL", b"1:2", b"-1:-2", b"UPDATE", b"UID"])
    )
)
def test_options_are_read_or_refused(pieces):
    parser = Parser(b"".join(pieces))
    try:
        returns = read_returns(parser, partial(read_items, form=PLAIN))
    except SyntaxRefusedError:
        return
    assert returns is None or returns.options


@pytest.mark.parametrize(
    ("command", "numbers"),
    [
        (b"UID FETCH 1:* FLAGS (PARTIAL 1:2)", [1, 2]),
        (b"UID FETCH 1:* FLAGS (PARTIAL -1:-2)", [5, 6]),
        (b"UID FETCH 2:5 (FLAGS) (PARTIAL -2:-1)", [4, 5]),
        (b"UID FETCH 1:* FLAGS (PARTIAL 9:10)", []),
        (b"UID FETCH 1,3,5 FLAGS (PARTIAL 2:3)", [3, 5]),
        (b"UID FETCH 1:* FLAGS (CHANGEDSINCE 4 PARTIAL 1:2)", [4, 5]),
        (b"UID FETCH 1:* FLAGS (PARTIAL -1:-1 CHANGEDSINCE 4)", [6]),
        (b"UID FETCH 1:* (ENVELOPE) (PARTIAL 2:3)", [2, 3]),
    ],
)
def test_a_page_of_a_fetch(command, numbers):
    assert flags_of(with_mail(6), command) == numbers


def test_a_page_of_a_fetch_marks_only_what_it_reads():
    client = with_mail(6)
    client.do(b"a UID FETCH 1:* BODY[] (PARTIAL 1:1)")
    assert [uid for uid, message in client.store.inbox.messages.items() if message[0] & SEEN] == [1, 2, 4, 6]


def test_imap4rev2_has_no_search_response():
    client = with_mail(4)
    client.session._talk.rev2 = True
    assert found(client, b"SEARCH SEEN") == b'* ESEARCH (TAG "t") ALL 2,4'
    assert found(client, b"UID SEARCH DRAFT") == b'* ESEARCH (TAG "t") UID'


# -- Keys and charsets ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "numbers"),
    [
        (b"YOUNGER 250", b" 3 4 5"),
        (b"YOUNGER 249", b" 4 5"),
        (b"OLDER 250", b" 1 2 3"),  # RFC 5032 section 2: at the very second both match
        (b"OLDER 251", b" 1 2"),
        (b"NOT YOUNGER 250", b" 1 2"),
        (b"NOT OLDER 250", b" 4 5"),
        (b"OLDER 151 SEEN", b" 2"),
    ],
)
def test_messages_of_the_last_seconds(keys, numbers):
    client = with_mail(5)
    for uid, message in client.store.inbox.messages.items():
        message[3] = NOW - 500 + 100 * uid - 50
    assert found(client, b"SEARCH " + keys) == b"* SEARCH" + numbers


@pytest.mark.parametrize(
    ("charset", "written"),
    [
        (b"UTF-8", "Grüße".encode()),
        (b"ISO-8859-1", "Grüße".encode("latin-1")),
        (b"iso-8859-15", "Grüße".encode("latin-1")),
        (b'"WINDOWS-1252"', "Grüße".encode("cp1252")),
        (b"KOI8-R", "привет".encode("koi8-r")),
        (b"GB18030", "你好".encode("gb18030")),
        (b"Big5", "你好".encode("big5")),
        (b"Shift_JIS", "こんにちは".encode("shift_jis")),
        (b"ISO-2022-JP", "こんにちは".encode("iso2022_jp")),
        (b"US-ASCII", b"plain"),
    ],
)
@pytest.mark.parametrize("command", [b"SEARCH CHARSET %b", b"SORT (ARRIVAL) %b", b"THREAD REFERENCES %b"])
def test_a_text_may_be_in_any_charset_of_mail(command, charset, written):
    client = with_mail(1)
    client.do(b"a " + command % charset + b" SUBJECT {%d+}\r\n" % len(written) + written)
    (question,) = asked(client, q.SearchMessages)
    assert question.criterion.text in {"Grüße", "привет", "你好", "こんにちは", "plain"}


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        (b"SEARCH CHARSET KLINGON ALL", b"NO [BADCHARSET (US-ASCII UTF-8 "),
        (b"SEARCH CHARSET rot13 ALL", b"NO [BADCHARSET ("),
        (b"SEARCH CHARSET \xff ALL", b"BAD "),
        (b"SORT (DATE) KLINGON ALL", b"NO [BADCHARSET ("),
        (b"THREAD REFERENCES KLINGON ALL", b"NO [BADCHARSET ("),
        (b"ESEARCH CHARSET KLINGON ALL", b"NO [BADCHARSET ("),
        (b"SEARCH CHARSET UTF-8 SUBJECT {1+}\r\n\xff", b"BAD "),
        (b"SEARCH CHARSET GB18030 SUBJECT {1+}\r\n\xff", b"BAD "),
        (b"SEARCH CHARSET UTF-7 SUBJECT +2AA-", b"BAD "),  # half of a pair
    ],
)
def test_a_charset_that_is_none_and_a_text_that_is_not_in_it(line, answer):
    assert with_mail(1).do(b"a " + line).startswith(b"a " + answer)


def test_after_utf8_accept_a_charset_is_refused():
    client = with_mail(1)
    client.session._talk.utf8 = True  # RFC 6855 section 3
    assert client.do(b"a SEARCH CHARSET UTF-8 ALL").startswith(b"a BAD ")
    assert client.do(b"a SORT (ARRIVAL) UTF-8 ALL").startswith(b"* SORT 1\r\n")
    assert client.do(b"a SORT (DATE) KOI8-R ALL").startswith(b"a BAD ")
    assert client.do(b"a THREAD REFERENCES ISO-8859-1 ALL").startswith(b"a BAD ")


@pytest.mark.parametrize("charset", [b"US-ASCII", b"us-ascii", b"UTF-8"])
def test_after_utf8_accept_sort_and_thread_name_a_charset_as_before(charset):
    client = with_mail(1)
    client.session._talk.utf8 = True
    assert client.do(b"a SORT (ARRIVAL) %b LARGER 1" % charset).startswith(b"* SORT 1\r\n")
    assert client.do(b"a THREAD REFERENCES %b LARGER 1" % charset).startswith(b"* THREAD (1)\r\n")


def test_with_uids_only_a_key_has_no_message_numbers():
    client = with_mail(3)
    client.session._talk.uidonly = True  # RFC 9586 section 3
    assert client.do(b"a UID SEARCH 1:2").startswith(b"a BAD [UIDREQUIRED]")
    assert b"* SEARCH 1 2\r\n" in client.do(b"a UID SEARCH UID 1:2")
    client.do(b"a UID SEARCH RETURN (SAVE) SEEN")
    assert b"* SEARCH 2\r\n" in client.do(b"a UID SEARCH $")


# -- SORT and THREAD (RFC 5256, RFC 5267 section 3) -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        (b"SORT (SIZE) UTF-8 ALL", b"* SORT 5 4 3 2 1"),
        (b"SORT (REVERSE SIZE) US-ASCII SEEN", b"* SORT 2 4"),
        (b"UID SORT (ARRIVAL) UTF-8 1:3", b"* SORT 1 2 3"),
        (b"SORT (ARRIVAL) UTF-8 DRAFT", b"* SORT"),
        (b"SORT (SIZE) UTF-8 MODSEQ 4", b"* SORT 5 4 3 (MODSEQ 6)"),  # RFC 7162 section 7, sort-data
        (b"SORT RETURN () (SIZE) UTF-8 ALL", b'* ESEARCH (TAG "t") ALL 5,4,3,2,1'),
        (b"SORT RETURN (MIN MAX COUNT) (SIZE) UTF-8 ALL", b'* ESEARCH (TAG "t") MIN 5 MAX 1 COUNT 5'),
        (b"UID SORT RETURN (PARTIAL 1:2) (SIZE) UTF-8 ALL", b'* ESEARCH (TAG "t") UID PARTIAL (1:2 5,4)'),
        (b"SORT RETURN (PARTIAL -1:-2) (SIZE) UTF-8 ALL", b'* ESEARCH (TAG "t") PARTIAL (-1:-2 2,1)'),
        (b"SORT RETURN (COUNT) (SIZE) UTF-8 DRAFT", b'* ESEARCH (TAG "t") COUNT 0'),
        (b"SORT RETURN (ALL) (ARRIVAL) UTF-8 2:4", b'* ESEARCH (TAG "t") ALL 2:4'),
        (b"THREAD REFERENCES UTF-8 SEEN", b"* THREAD (2)(4)"),
        (b"UID THREAD ORDEREDSUBJECT UTF-8 1:2", b"* THREAD (1)(2)"),
        (b"THREAD REFERENCES UTF-8 DRAFT", b"* THREAD"),
    ],
)
def test_sorted_and_threaded_results(command, answer):
    client = with_mail(5)
    client.do(b"x ENABLE CONDSTORE")
    assert found(client, command) == answer


def test_what_is_asked_of_the_store():
    client = with_mail(2)
    client.do(b"a SORT (REVERSE DATE SUBJECT DATE FROM DISPLAYTO) UTF-8 DRAFT")
    assert asked(client, q.SortMessages) == []  # nothing to sort
    client.store.refuse = {q.SortMessages: q.Refused.UNAVAILABLE, q.ThreadMessages: q.Refused.UNAVAILABLE}
    assert client.do(b"a SORT (REVERSE DATE SUBJECT DATE) UTF-8 ALL").startswith(b"a NO [UNAVAILABLE]")
    (question,) = asked(client, q.SortMessages)
    assert question.criteria == (SortCriterion(SortKey.DATE, reverse=True), SortCriterion(SortKey.SUBJECT))
    assert client.do(b"a THREAD ORDEREDSUBJECT UTF-8 ALL").startswith(b"a NO [UNAVAILABLE]")
    (question,) = asked(client, q.ThreadMessages)
    assert question.algorithm is Algorithm.ORDEREDSUBJECT


def test_a_sorted_result_can_be_saved():
    client = with_mail(5)
    client.do(b"a SORT RETURN (SAVE MAX) (SIZE) UTF-8 ALL")
    assert flags_of(client, b"FETCH $ FLAGS") == [1]


def test_a_message_that_goes_while_it_is_sorted_is_left_out():
    client = with_mail(3)
    client.store.inbox.remove([2])
    assert found(client, b"SORT (SIZE) UTF-8 ALL") == b"* SORT 3 1"
    assert client.do(b"b NOOP").startswith(b"* 2 EXPUNGE")


@pytest.mark.parametrize("line", [b"SORT (SIZE) UTF-8 ALL", b"THREAD REFERENCES UTF-8 ALL"])
def test_expunged_messages_are_not_told_where_numbers_are_at_stake(line):
    client = with_mail(3)
    client.store.inbox.remove([2])
    client.ring()
    assert b"EXPUNGE" not in client.do(b"a " + line)
    assert b"* 2 EXPUNGE" in client.do(b"a UID " + line)


@pytest.mark.parametrize("line", [b"SORT (DATE) UTF-8 ALL", b"THREAD REFERENCES UTF-8 ALL", b'CANCELUPDATE "x"'])
def test_without_a_mailbox_there_is_nothing_to_sort(line):
    assert Client().do(b"a " + line).startswith(b"a BAD ")


# -- MULTISEARCH (RFC 7377) -------------------------------------------------------------------------------------------


def many_boxes(select=None):
    store = Store("folder1", "folder1/a", "folder2", "folder2/banana", "folder2/banana/x", "folder2/peach", "salmon")
    for name in ("folder1", "folder2/banana", "folder2/banana/x", "folder2/peach", "salmon"):
        for number in range(4):
            store.boxes[name].add(MESSAGE if number else MIXED, SEEN if number == 2 else 0)
    store.inbox.add(MIXED, FLAGGED)
    store.subscribed = {"salmon", "folder2", "gone"}
    return Client(store, select=select)


@pytest.mark.parametrize(
    ("source", "boxes"),
    [
        (
            b'(mailboxes "folder1" subtree "folder2")',
            ["folder1", "folder2/banana", "folder2/banana/x", "folder2/peach"],
        ),
        (b'(mailboxes "folder1" subtree-one "folder2")', ["folder1", "folder2/banana", "folder2/peach"]),
        (b'(mailboxes (folder1 "salmon" nowhere))', ["folder1", "salmon"]),
        (b"(subscribed)", ["salmon"]),
        (b"(personal subtree folder1)", ["folder1", "folder2/banana", "folder2/banana/x", "folder2/peach", "salmon"]),
        (b'(subtree-one "")', ["folder1", "salmon"]),
        (b'(subtree "")', ["folder1", "folder2/banana", "folder2/banana/x", "folder2/peach", "salmon"]),
        (b"(inboxes)", []),
        (b"(subtree (folder2/banana salmon))", ["folder2/banana", "folder2/banana/x", "salmon"]),
        (b"(subtree folder)", []),
    ],
)
@pytest.mark.parametrize("select", [None, b"salmon"])
def test_each_mailbox_with_results_has_a_response(source, boxes, select):
    client = many_boxes(select)
    said = client.do(b'tag1 ESEARCH IN %b UNSEEN SUBJECT "lunch"' % source)
    assert untagged(said) == [
        b'* ESEARCH (TAG "tag1" MAILBOX %b UIDVALIDITY %d) UID ALL 2,4'
        % (name.encode(), client.store.boxes[name].uidvalidity)
        for name in boxes
    ]
    assert said.endswith(b"tag1 OK ESEARCH completed\r\n")
    assert all(box.first_recent == 1 for box in client.store.boxes.values() if box.name != "salmon")


@pytest.mark.parametrize(
    ("source", "is_searched"), [(b"personal", False), (b"subscribed", True), (b'subtree "Other Users"', True)]
)
def test_mailboxes_of_others_are_not_personal(source, is_searched):
    # RFC 5465 section 6.2, by RFC 7377 section 2.1
    client = many_boxes()
    client.store.make("Other Users/ann@example.com/Work").add(MIXED)
    client.store.subscribed.add("Other Users/ann@example.com/Work")
    assert (b"Other Users" in client.do(b"a ESEARCH IN (%b) ALL" % source)) is is_searched


def test_results_of_several_mailboxes_take_the_form_that_is_asked_for():
    client = many_boxes()
    said = client.do(b"tag3 ESEARCH IN (mailboxes (folder1 INBOX)) RETURN (MIN COUNT PARTIAL 2:3) UNSEEN")
    assert untagged(said) == [
        b'* ESEARCH (TAG "tag3" MAILBOX INBOX UIDVALIDITY 1001) UID MIN 1 PARTIAL (2:3 NIL) COUNT 1',
        b'* ESEARCH (TAG "tag3" MAILBOX folder1 UIDVALIDITY 1002) UID MIN 1 PARTIAL (2:3 2,4) COUNT 3',
    ]


def test_without_in_the_selected_mailbox_is_searched():
    client = many_boxes(b"salmon")
    line = b'* ESEARCH (TAG "t" MAILBOX salmon UIDVALIDITY 1008) UID ALL 2:3'
    assert found(client, b"ESEARCH 2:3") == line
    assert found(client, b"ESEARCH IN (selected) 2:3") == line
    assert found(client, b"ESEARCH IN (selected selected) RETURN (SAVE ALL) 2:3") == line
    assert found(client, b"ESEARCH UID $") == line
    assert untagged(client.do(b"a ESEARCH DRAFT")) == []


@pytest.mark.parametrize("line", [b"ESEARCH ALL", b"ESEARCH IN (selected) ALL", b"ESEARCH IN (selected personal) ALL"])
def test_without_a_selected_mailbox_it_cannot_be_searched(line):
    assert many_boxes().do(b"a " + line).startswith(b"a BAD ")


def test_what_goes_away_or_may_not_be_read_is_passed_over():
    client = many_boxes()
    whole = client.store.read_mailbox

    def read_mailbox(question):
        if question.name == "folder1":
            return q.Refused.NO_SUCH_MAILBOX
        if question.name == "folder2/banana":
            return q.Refused.NO_PERMISSION
        if question.name == "folder2/peach":
            return whole(question)._replace(rights="l")
        return whole(question)

    client.store.read_mailbox = read_mailbox
    boxes = re.findall(rb"MAILBOX (\S+) ", client.do(b"a ESEARCH IN (personal) ALL"))
    assert boxes == [b"INBOX", b"folder2/banana/x", b"salmon"]
    client.store.refuse = {q.ReadMailbox: q.Refused.UNAVAILABLE}
    assert client.do(b"a ESEARCH IN (personal) ALL").startswith(b"a NO [UNAVAILABLE]")


def test_the_selected_mailbox_is_searched_as_the_session_knows_it():
    client = many_boxes(b"salmon")
    client.do(b"a ESEARCH IN (mailboxes (salmon folder1)) ALL")
    assert [question.name for question in asked(client, q.ReadMailbox)] == ["folder1"]


def test_names_are_bounded():
    client = many_boxes()
    names = b" ".join([b"x"] * (NAMES_LIMIT + 1))
    assert client.do(b"a ESEARCH IN (mailboxes (%b)) ALL" % names).startswith(b"a NO [LIMIT]")
    assert client.do(b"a ESEARCH IN (%b) ALL" % names.replace(b"x", b"personal")).startswith(b"a NO [LIMIT]")


def test_others_have_their_turn_while_many_mailboxes_are_chosen():
    client = many_boxes()
    for number in range(2000):
        client.store.make(f"box{number}")
    names = b" ".join([b"x"] * NAMES_LIMIT)
    client.do(b"a ESEARCH IN (mailboxes (%b)) ALL" % names)
    assert len(asked(client, q.Pause)) >= 2000 * NAMES_LIMIT // 50_000


def test_names_are_written_as_the_client_reads_them():
    client = many_boxes()
    client.store.make("Grüße").add()
    assert b"MAILBOX Gr&APwA3w-e UIDV" in client.do(b"a ESEARCH IN (mailboxes Gr&APwA3w-e) ALL")
    client.session._talk.utf8 = True
    assert 'MAILBOX "Grüße" UIDV'.encode() in client.do('a ESEARCH IN (mailboxes "Grüße") ALL'.encode())


def test_the_time_before_now_is_part_of_the_question():
    client = with_mail(1)
    client.do(b"a SEARCH OR YOUNGER 60 OLDER 3600")
    (question,) = asked(client, q.SearchMessages)
    assert question.criterion == criteria.Or((criteria.Younger(60), criteria.Not(criteria.Younger(3599))))
    assert criteria.settled(question.criterion, 10_000) == criteria.Or(
        (criteria.ArrivedFrom(9940), criteria.Not(criteria.ArrivedFrom(6401)))
    )


def test_deleted_mail_is_found_until_it_is_expunged():
    client = with_mail(3)
    client.store.inbox.flag([2], q.StoreMode.ADD, DELETED)
    client.ring()
    client.do(b"a NOOP")
    assert found(client, b"SORT (ARRIVAL) UTF-8 DELETED") == b"* SORT 2"
