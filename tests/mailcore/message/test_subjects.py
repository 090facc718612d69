"""The base subject (RFC 5256 section 2.1), by its grammar; and the collation that compares it (RFC 5051)."""

import re
import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailcore.message.collation import casemap
from mailcore.message.subjects import SUBJECT_LIMIT, BaseSubject, base_subject


@pytest.mark.parametrize(
    ("subject", "base", "is_reply"),
    [
        ("", "", False),
        ("hello", "hello", False),
        ("  hello   there ", "hello there", False),
        ("hello\tthere\r\n you", "hello there you", False),
        # subj-refwd = ("re" / ("fw" ["d"])) *WSP [subj-blob] ":"
        ("Re: hello", "hello", True),
        ("RE:hello", "hello", True),
        ("Fw: hello", "hello", True),
        ("fwd : hello", "hello", True),
        ("Re [2]: hello", "hello", True),
        ("Re[2]: hello", "hello", True),
        ("Re: fw: Re: hello", "hello", True),
        ("Re hello", "Re hello", False),
        ("Regards: hello", "Regards: hello", False),
        ("AW: hello", "AW: hello", False),  # the RFC knows English alone
        ("re:", "", True),
        # subj-blob = "[" *BLOBCHAR "]" *WSP
        ("[list] hello", "hello", False),
        ("[list][x]  hello", "hello", False),
        ("[list] Re: [x] hello", "hello", True),
        ("Re: [list]", "[list]", True),  # the last blob is the base where nothing else would be
        ("[a] [b]", "[b]", False),
        ("[a] [b] (fwd)", "[b]", True),
        ("[a[b] hello", "[a[b] hello", False),
        ("[a] [b Re: hello", "[b Re: hello", False),
        ("hello [list]", "hello [list]", False),
        # subj-trailer = "(fwd)" / WSP
        ("hello (fwd)", "hello", True),
        ("hello (FWD) (fwd)  ", "hello", True),
        ("hello(fwd)", "hello", True),
        ("hello (fw)", "hello (fw)", False),
        ("(fwd)", "", True),
        # subj-fwd = subj-fwd-hdr subject subj-fwd-trl
        ("[Fwd: hello]", "hello", True),
        ("Re: [fwd: [fwd: re: [Fwd: hello]]]", "hello", True),
        ("[fwd: Re: hello (fwd)]", "hello", True),
        ("[fwd: hello", "[fwd: hello", False),
        ("[fwd:]", "", True),
        ("[foo] Fwd: [bar] Re: fw: b (fWd)  (fwd)", "b", True),
    ],
)
def test_base_subjects(subject, base, is_reply):
    assert base_subject(subject) == BaseSubject(base, is_reply)


BLOB = r"\[[^\[\]]*\] *"


def literally(subject):
    """Do the steps one at a time, as they are written."""
    text, is_reply = re.sub(r"[ \t\r\n]+", " ", subject), False
    while True:
        while found := re.search(r"(\(fwd\)| )\Z", text, re.IGNORECASE):  # (2)
            is_reply |= found[0] != " "
            text = text[: found.start()]
        changed = True
        while changed:  # (5)
            changed = False
            if found := re.match(rf"(?:{BLOB})*(?:re|fwd?) *(?:{BLOB})?:| ", text, re.IGNORECASE):  # (3)
                is_reply |= found[0] != " "
                text, changed = text[found.end() :], True
            if (found := re.match(BLOB, text)) and text[found.end() :]:  # (4)
                text, changed = text[found.end() :], True
        if not (text.lower().startswith("[fwd:") and text.endswith("]")):  # (6)
            return text, is_reply
        text, is_reply = text[5:-1], True


PIECES = ["re", "Re:", "fw", "FWD:", "[a]", "[", "]", " ", "  ", "x", "(fwd)", "(FWD)", ":", "[fwd:", "é", "\t", "(x)"]


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_the_steps_are_those_of_the_rfc(subject):
    assert base_subject(subject) == literally(subject)


@given(st.text(max_size=60))
def test_any_text_has_a_base(subject):
    assert base_subject(subject) == literally(subject)


@pytest.mark.parametrize("piece", ["[a]", "[fwd:", "re: ", "(fwd)", "[", " ", "re", "[fwd: [a]", "x "])
def test_no_subject_takes_long(piece):
    started = time.perf_counter()
    base_subject(piece * 100_000)
    assert time.perf_counter() - started < 0.5
    assert len(base_subject("x" * 100_000).text) == SUBJECT_LIMIT


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ("hello", "HELLO", True),
        ("Grüße", "GRÜßE", True),
        ("Grüße", "GRÜSSE", False),  # simple mappings alone: ß has none
        ("é", "e\u0301", True),  # composed or not
        ("é", "e", False),
        ("ﬁ", "fi", True),
        ("１", "1", True),  # full width
        ("ǆ", "Ǆ", True),  # its titlecase is one character
        ("σ", "ς", True),
        ("ı", "I", True),  # the titlecase of a dotless i
        ("привет", "ПРИВЕТ", True),
        ("한", "\u1112\u1161\u11ab", True),
        ("你", "好", False),
    ],
)
def test_letters_that_are_the_same(one, other, equal):
    # Titlecasing comes before decomposition (RFC 5051 section 2.3), so that "ﬁ" ends as small letters.
    if one == "ﬁ":
        assert (casemap(one), casemap(other)) == ("fi", "FI")
    else:
        assert (casemap(one) == casemap(other)) is equal


@given(st.text())
def test_mapped_text_is_decomposed_and_can_be_written(text):
    mapped = casemap(text)
    assert unicodedata.is_normalized("NFKD", mapped)
    assert len(text) <= len(mapped)


@given(st.text(st.characters(codec="ascii")))
def test_ascii_takes_the_short_way_to_the_same(text):
    assert casemap(text) == casemap(text + "é").removesuffix("E\u0301")
