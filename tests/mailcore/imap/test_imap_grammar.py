import contextlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mailcore.conversation import CommandRefusedError
from mailcore.imap import responses, sequences
from mailcore.imap.fetch_items import read_plan
from mailcore.imap.grammar import Parser, SyntaxRefusedError
from mailcore.imap.search_keys import SearchReader
from mailcore.imap.sequences import STAR, resolve, slices_of_uids
from mailcore.message.headers import select_fields

METHODS = [
    "tag", "atom", "word", "string", "astring", "nstring", "literal", "literal8", "number", "sequence_set", "mailbox",
    "list_mailbox", "flag_list", "flags", "flag", "keyword", "date", "date_time",
]  # fmt: skip


@pytest.mark.parametrize(
    ("method", "text"),
    [
        ("tag", b"+a"),
        ("tag", b""),
        ("atom", b"(a)"),
        ("atom", b"\xe9"),
        ("string", b"bare"),
        ("string", b'"open'),
        ("string", b'"bad \\n escape"'),
        ("string", b'"a\r\nb"'),
        ("string", b'"a\x00b"'),
        ("string", b"{3}\r\n"),  # announced, and not there
        ("literal", b"{3}"),
        ("literal", b"{-1}\r\n"),
        ("literal", b"~{3}\r\n"),
        ("literal8", b"{3}\r\n"),
        ("literal8", b"~{3}"),
        ("literal8", b"~ {3}\r\n"),
        ("literal8", b"~{3}\r\n"),
        ("string", b"~{3}\r\n"),
        ("number", b"-1"),
        ("number", b"4294967296"),
        ("number", b"9" * 5000),
        ("sequence_set", b"0"),
        ("sequence_set", b"1:0"),
        ("sequence_set", b":"),
        ("sequence_set", b","),
        ("sequence_set", b"4294967296"),
        ("sequence_set", b"$1"),
        ("mailbox", b"&"),
        ("mailbox", b'"&AAA-"'),
        ("flag", b"\\Recent"),
        ("flag", b"\\Unknown"),
        ("flag", b"\\"),
        ("flag", b"k" * 101),
        ("flag_list", b"\\Seen"),
        ("flag_list", b"(\\Seen"),
        ("flag_list", b"(\\Seen  \\Draft)"),
        ("date", b"1-Foo-2024"),
        ("date", b"30-Feb-2024"),
        ("date", b"1-Jan-0000"),
        ("date", b'"1-Jan-2024'),
        ("date_time", b"01-Jan-2024 00:00:00 +0000"),
        ("date_time", b'"1-Jan-2024 00:00:00 +0000"'),
        ("date_time", b'"01-Jan-2024 24:00:00 +0000"'),
        ("date_time", b'"01-Jan-2024 00:00:00 +9900"'),
    ],
)
def test_what_the_grammar_does_not_know_is_refused(method, text):
    def read():
        parser = Parser(text)
        getattr(parser, method)()
        parser.end()

    with pytest.raises(SyntaxRefusedError):
        read()


@given(st.sampled_from(METHODS), st.binary(max_size=60))
@example("string", b'"\\')
def test_no_method_raises_anything_but_its_own_error(method, text):
    words = ""
    try:
        getattr(Parser(text), method)()
    except SyntaxRefusedError as error:
        words = str(error)
    assert words.isascii()
    assert "\r" not in words


@given(st.text('()[]<>{}"\\ .,:*0123456789ABCDEFHNOPRSTUXYKadhinx-', max_size=60))
def test_fetch_and_search_raise_only_what_the_session_answers(text):
    for read in (lambda parser: read_plan(parser, uid=False), lambda parser: SearchReader(parser).read()):
        with contextlib.suppress(SyntaxRefusedError, CommandRefusedError):
            read(Parser(text.encode()))


@given(st.binary(max_size=50).filter(lambda octets: b"\x00" not in octets))
def test_strings_survive_their_own_writing(octets):
    written = responses.string(octets)
    if written.startswith(b"{"):
        assert written == b"{%d}\r\n%b" % (len(octets), octets)
    else:
        assert Parser(written).string() == octets


@given(st.text(st.characters(min_codepoint=1, max_codepoint=126), max_size=20))
def test_astrings_survive_their_own_writing(text):
    octets = text.encode()
    written = responses.astring(octets)
    if not written.startswith(b"{"):
        parser = Parser(written + b" next")
        assert parser.astring() == octets
        assert parser.rest == b" next"


def test_nil_as_a_name_is_not_nothing():
    assert responses.astring(b"nil") == b'"nil"'


def test_a_literal_gives_what_was_kept_for_it():
    parser = Parser(b"{3}\r\n {2+}\r\n", (b"abc", b"de"))
    assert parser.astring() == b"abc"
    parser.space()
    assert parser.astring() == b"de"
    assert parser.is_done


def test_nul_stands_in_a_binary_literal_and_nowhere_else():
    parser = Parser(b"~{2}\r\n ~{1+}\r\n", (b"a\x00", b"b"))
    assert parser.at_literal8
    assert parser.literal8() == b"a\x00"
    parser.space()
    assert parser.literal8() == b"b"
    for method in ("string", "astring", "nstring", "mailbox", "list_mailbox"):
        with pytest.raises(SyntaxRefusedError):
            getattr(Parser(b"{2}\r\n", (b"a\x00",)), method)()


def test_a_date_and_time_is_the_same_moment_in_every_zone():
    assert Parser(b'" 1-Jan-2024 10:00:00 +0130"').date_time() == Parser(b'"01-Jan-2024 08:30:00 +0000"').date_time()


@given(st.integers(-62_135_596_800, 253_402_300_799))
def test_dates_survive_their_own_writing(seconds):
    assert Parser(responses.date_time(seconds)).date_time() == seconds


def test_keywords_are_the_same_whatever_their_letter_case():
    assert Parser(b"(\\SEEN $Junk $JUNK \\seen)").flag_list() == (1, ("$Junk",))


# -- Sequence sets ----------------------------------------------------------------------------------------------------


def test_a_range_is_never_expanded():
    assert Parser(b"1:4294967295").sequence_set() == ((1, 4294967295),)
    assert slices_of_uids(((1, 4294967295),), [5, 9]) == [range(2)]


def test_star_is_the_last_and_ranges_have_no_direction():
    assert Parser(b"4:*,*,2:1").sequence_set() == ((4, STAR), (STAR, STAR), (2, 1))
    assert resolve(((4, STAR), (STAR, STAR), (2, 1)), 9) == [(1, 2), (4, 9)]
    # RFC 3501 section 6.4.8: 559:* names the last message even if its UID is lower.
    assert slices_of_uids(((559, STAR),), [3, 8]) == [range(1, 2)]


def test_star_of_an_empty_mailbox_names_nothing():
    assert slices_of_uids(((STAR, STAR),), []) == []
    assert slices_of_uids(((1, STAR),), []) == []


@given(st.sets(st.integers(1, 60)))
def test_sets_survive_their_own_writing(numbers):
    written = sequences.write(sorted(numbers))
    if numbers:
        found = {place for run in slices_of_uids(Parser(written).sequence_set(), list(range(1, 61))) for place in run}
        assert {place + 1 for place in found} == numbers
    else:
        assert written == b""


# -- Cached header lines ----------------------------------------------------------------------------------------------


LINES = st.lists(
    st.tuples(st.sampled_from([b"From", b"to", b"SUBJECT", b"X-To", b"Tos"]),
              st.sampled_from([b":", b" :", b"\t:", b"\r:", b"\v\f:", b""]),
              st.text("ab: \r", max_size=5), st.sampled_from([b"\r\n", b"\n", b"\r\n more\r\n", b"\r\n\t\r\n"]))
)  # fmt: skip


@given(LINES, st.sets(st.sampled_from([b"from", b"to", b"subject", b"cc"]), min_size=1))
def test_cached_lines_give_what_the_whole_header_would(lines, wanted):
    header = b"".join(name + colon + text.encode() + end for name, colon, text, end in lines)
    plan = read_plan(Parser(b"BODY.PEEK[HEADER.FIELDS (%b)]" % b" ".join(sorted(wanted))), uid=False)
    assert plan.pick_header(header) == responses.literal(select_fields(header, frozenset(wanted)))
