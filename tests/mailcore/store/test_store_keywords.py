"""Keywords: one text in the row, the same whatever the letter case, the first spelling stays."""

import pytest

from mailcore.store import keywords
from mailcore.store.refusals import LimitError


@pytest.mark.parametrize(
    ("work", "text", "words", "result"),
    [
        (keywords.added, "", ("b", "a"), "a b"),
        (keywords.added, "Work", ("work", "WORK"), "Work"),
        (keywords.added, "", ("Junk", "junk"), "Junk"),
        (keywords.removed, "Work b", ("WORK",), "b"),
        (keywords.removed, "b", ("a",), "b"),
        (keywords.removed, "", ("a",), ""),
        (keywords.replaced, "Work b", ("work", "c"), "Work c"),
        (keywords.replaced, "Work b", (), ""),
        (keywords.replaced, "", ("$Forwarded",), "$Forwarded"),
    ],
)
def test_keywords_are_added_removed_and_replaced(work, text, words, result):
    assert work(text, words) == result


def test_there_is_a_limit_to_their_number_and_length():
    many = [f"k{number}" for number in range(keywords.COUNT_LIMIT)]
    full = keywords.added("", many)
    assert keywords.added(full, ["K0"]) == full
    with pytest.raises(LimitError):
        keywords.added(full, ["one-more"])
    with pytest.raises(LimitError):
        keywords.replaced("", [*many, "one-more"])
    with pytest.raises(LimitError):
        keywords.added("", ["x" * (keywords.LENGTH_LIMIT + 1)])
    keywords.removed(full, ["x" * 1000])


def test_equal_texts_share_one_tuple():
    assert keywords.split("a b") == ("a", "b")
    assert keywords.split("a b") is keywords.split("a b")
    assert keywords.split("") is keywords.NONE
