import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from imap_model import Client, Store, asked

from mailcore.imap.names import NameRefusedError, Pattern, decode, encode, fold_inbox, parents
from mailcore.imap.questions import Pause

NAMES = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=40)


@pytest.mark.parametrize(
    "wire",
    [
        b"caf\xc3\xa9",  # 8-bit
        b"tab\there",  # a control character
        b"&",  # a shift that never ends
        b"&Jjo",  # the same
        b"&Jjo!",  # not base64
        b"&Jj-",  # half a UTF-16 unit
        b"&AGE-",  # "a" stands for itself (RFC 3501 section 5.1.3)
        b"&ACY-",  # "&" is written &-
        b"&2AA-",  # a lone high surrogate
        b"&3AA-",  # a lone low surrogate
        b"&Jjp-",  # unused bits are not zero
        b"&Jjo-&Jjo-",  # two shifts where one would do
        b"&Jjo=-",  # padding
        b"&Jjo/-",  # "/" where there is ","
        b"&AAA-",  # NUL
        b"&AAo-",  # LF
        b"&AIU-",  # a C1 control
        b"&AC4ALgAv-etc",  # "../" in disguise
    ],
)
def test_what_is_not_strict_modified_utf7_is_refused(wire):
    with pytest.raises(NameRefusedError):
        decode(wire)


@pytest.mark.parametrize(
    ("wire", "name"),
    [
        (b"INBOX", "INBOX"),
        (b"", ""),
        (b"a&-b", "a&b"),
        (b"&-&-", "&&"),
        (b"~peter/mail/&U,BTFw-/&ZeVnLIqe-", "~peter/mail/台北/日本語"),  # RFC 3501 section 5.1.3
        (b"&2D3eAA-", "\U0001f600"),
        (b"&AOk-&-&AOk-", "é&é"),
    ],
)
def test_names_are_read_and_written(wire, name):
    assert decode(wire) == name
    assert encode(name) == wire


@given(NAMES)
def test_every_name_survives_the_wire(name):
    assert decode(encode(name)) == name


@given(st.binary(max_size=30))
def test_each_name_has_one_encoding_only(wire):
    try:
        name = decode(wire)
    except NameRefusedError:
        return
    assert encode(name) == wire


def test_inbox_is_written_in_capitals_wherever_it_is_the_first_level():
    assert fold_inbox("iNbOx") == "INBOX"
    assert fold_inbox("inbox/sub") == "INBOX/sub"
    assert fold_inbox("inboxes") == "inboxes"
    assert fold_inbox("a/inbox") == "a/inbox"


def test_parents_come_outermost_first():
    assert parents("a/b/c") == ["a", "a/b"]
    assert parents("a") == []


@given(st.text("ab/%*", max_size=8), st.text("ab/", max_size=8))
def test_patterns_match_as_the_same_regular_expression_would(pattern, name):
    form = "".join({"*": ".*", "%": "[^/]*"}.get(letter) or re.escape(letter) for letter in pattern)
    assert Pattern(pattern).matches(name) == bool(re.fullmatch(form, name))


def test_the_worst_pattern_takes_no_longer_than_others_can_wait():
    # A regular expression would look at this for years.
    pattern, name = Pattern("*a" * 2500 + "b"), "a" * 1000
    started = time.perf_counter()
    assert not pattern.matches(name)
    assert time.perf_counter() - started < 0.25  # 2 ms where it was written


def test_a_list_of_many_long_names_lets_others_have_their_turn():
    store = Store(*(f"{number}/" + "a" * 200 for number in range(500)))
    client = Client(store)
    answer = client.do(b'a LIST "" *a*a')
    assert answer.count(b"* LIST") == 500
    assert len(asked(client, Pause)) >= 500 * 200 // 20_000
    assert client.do(b'b LIST "' + b"x" * 200 + b'" (' + b" ".join([b"%"] * 50) + b")").startswith(b"b NO [LIMIT]")
