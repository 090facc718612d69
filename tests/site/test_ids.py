"""Ids: unique, growing, and readable both ways."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a3mailer_site.ids import from_text, new_id, to_text


def test_ids_only_grow_also_over_threads():
    seen = []

    def make():
        seen.extend(new_id() for _ in range(2000))

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(seen)) == 8000
    assert new_id() > max(seen)
    assert max(seen) < 2**63


@given(st.integers(0, 2**63 - 1))
def test_text_and_back(number):
    assert from_text(to_text(number)) == number
    assert from_text(to_text(number).upper()) == number


@given(st.integers(0, 2**63 - 2))
def test_text_sorts_like_the_number(number):
    assert to_text(number) < to_text(number + 1)


@pytest.mark.parametrize("text", ["", "0", "0" * 12, "0" * 14, "z" * 13, "ilou000000000", "../../../../..", "é" * 13])
def test_what_is_no_id_is_refused(text):
    with pytest.raises(ValueError, match="id"):
        from_text(text)
