"""The collation i;unicode-casemap (RFC 5051) as it is defined, however it is computed."""

import sys
from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailcore.message.collation import casemap, contains, folded, folded_needle, folded_words


def titlecase(character):
    """The simple titlecase mapping: where the full one is longer, it is the character itself."""
    title = character.title()
    return title if len(title) == 1 else character


def defined(text):
    return normalize("NFKD", "".join(map(titlecase, text)))


def test_every_character_is_mapped_as_it_is_defined():
    every = list(map(chr, range(sys.maxunicode + 1)))
    assert list(map(casemap, every)) == list(map(defined, every))


# Characters with a case, combining ones in an order that is changed, a final sigma, no case at all; and ASCII.
MIXED = st.text(st.one_of(st.sampled_from("aZ \u0301\u0327\u0345ΣςİıßﬁǅǆⅣ中"), st.characters()), max_size=40)


@given(MIXED)
def test_so_is_every_text(text):
    assert casemap(text) == defined(text)


@given(MIXED)
def test_what_a_search_looks_into_takes_the_same_texts_for_equal(text):
    plain = text.lower() if text.isascii() else defined(text).casefold()
    assert folded(text).split() == plain.split() == folded_words(text)
    assert contains(text, folded_needle(text))


@pytest.mark.parametrize(
    ("first", "second"), [("Straße", "STRASSE"), ("İ", "i\u0307"), ("ΟΔΟΣ", "οδος"), ("ﬁn", "FIN")]
)
def test_they_are_the_same(first, second):
    assert folded(first) == folded(second)
