"""Windows that slide: what is old fades, what is new counts, and no flood of keys fills the memory."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from security.sliding import SlidingCounts

SECONDS = 60


@pytest.mark.parametrize(
    ("later", "left"),
    [(0, 10), (59.9, 10), (60, 10), (90, 5), (119.4, 0.1), (120, 0), (180, 0), (6000, 0)],
)
def test_what_was_counted_fades_in_the_window_after_its_own(later, left):
    counts = SlidingCounts(10)
    counts.add("a", 10, now=0, seconds=SECONDS)
    assert counts.count("a", now=later, seconds=SECONDS) == pytest.approx(left)


def test_one_key_says_nothing_of_another():
    counts = SlidingCounts(10)
    counts.add("a", 3, now=0, seconds=SECONDS)
    assert counts.count("b", now=0, seconds=SECONDS) == 0


def test_the_key_that_was_quiet_for_longest_is_forgotten_when_there_are_too_many():
    counts = SlidingCounts(3)
    for key in ("a", "b", "c", "a", "d"):
        counts.add(key, 1, now=0, seconds=SECONDS)
    assert len(counts) == 3
    assert [counts.count(key, now=0, seconds=SECONDS) for key in "abcd"] == [2, 0, 1, 1]


@given(st.lists(st.floats(0, 500), max_size=60), st.floats(0, 600))
def test_the_count_lies_between_the_newest_half_and_two_windows(moments, now):
    counts = SlidingCounts(10)
    past = sorted(moment for moment in moments if moment <= now)
    for moment in past:
        counts.add("a", 1, now=moment, seconds=SECONDS)
    found = counts.count("a", now=now, seconds=SECONDS)
    in_this_window = sum(1 for moment in past if moment // SECONDS == now // SECONDS)
    assert in_this_window <= found + 1e-9
    assert found <= sum(1 for moment in past if moment > now - 2 * SECONDS) + 1e-9
