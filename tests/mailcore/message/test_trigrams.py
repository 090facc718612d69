"""The signature of a text never rules out what is in it, and mostly rules out what is not."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailcore.message import collation
from mailcore.message.collation import folded_chunks, folded_needle, folded_words
from mailcore.message.trigrams import LIMIT, marks, may_contain, signature

# Few letters, so that the same words come again; and what folding changes, shortens or makes longer.
LETTERS = "ab ab  c\t\n-ßﬁÅİ中文字\U0001f600e\u0301\u00a0\u00a8"
TEXTS = st.text(st.sampled_from(LETTERS), max_size=60)


def signature_of(*texts):
    return signature(map(folded_words, texts))


def is_in(needle, text):
    return any(needle in chunk for chunk in folded_chunks(text, max(len(needle), 1)))


@given(TEXTS, TEXTS, st.data())
def test_what_a_text_contains_is_never_ruled_out(before, text, data):
    begin = data.draw(st.integers(0, len(text)))
    needle = folded_needle(text[begin : data.draw(st.integers(begin, len(text)))])
    if is_in(needle, text):
        assert may_contain(signature_of(before, text), needle)
        assert may_contain(signature_of(text, before), needle)


@given(st.text(st.sampled_from("abc dß中文"), min_size=20, max_size=60), st.integers(3, 10))
def test_nor_is_it_where_a_long_text_is_looked_at_in_pieces(text, size):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(collation, "CHUNK", size)
        bits = signature_of(text)
    for begin in range(len(text)):
        for length in (3, 5, 9):
            needle = folded_needle(text[begin : begin + length])
            if is_in(needle, text):
                assert may_contain(bits, needle)


def test_most_of_what_is_not_there_is_ruled_out():
    chance = random.Random(7)

    def word():
        return "".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=chance.randint(5, 9)))

    there = [word() for _ in range(400)]
    bits = signature_of(" ".join(there))
    absent = [word() for _ in range(400)]
    assert all(may_contain(bits, each) for each in there)
    assert sum(may_contain(bits, each) for each in absent) < 20
    # Of words that are there, too, though not beside each other, nothing is said: that is left to a look.
    assert may_contain(bits, f"{there[0]} {there[200]}")


def test_its_size_grows_with_the_different_words_only():
    once = signature_of("one two three")
    assert signature_of("one two three " * 1000) == once
    assert len(once) < 20
    chance = random.Random(7)
    assert len(signature_of("".join(chance.choices("abcdefghijklmnopqrstuvwxyz ", k=200_000)))) <= LIMIT


@pytest.mark.parametrize("needle", ["", "a", " "])
def test_a_needle_that_is_too_short_says_nothing(needle):
    assert marks(needle) == []
    assert may_contain(signature_of("xyz"), needle)
