from datetime import UTC, datetime, timedelta

import pytest

from mailcore.delivery.backoff import JITTER, longest_pause, next_attempt, pause

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("attempts", "seconds"), [(1, 300), (2, 600), (3, 1200), (4, 2400), (5, 3600), (6, 3600), (10_000, 3600)]
)
def test_the_pause_doubles_up_to_the_longest(attempts, seconds):
    assert pause(attempts, 300, 3600, uniform=lambda low, high: 1) == seconds


def test_the_pause_is_a_little_shorter_or_longer_by_chance():
    pauses = {pause(1, 300, 3600) for _try in range(200)}
    assert len(pauses) > 100
    assert all(300 * (1 - JITTER) <= one <= 300 * (1 + JITTER) for one in pauses)
    assert timedelta(seconds=pause(20, 300, 3600, uniform=lambda low, high: high)) == longest_pause(3600)


@pytest.mark.parametrize(("expires_in", "again_in"), [(1000, 300), (300, 300), (100, 100), (0, 300), (-100, 300)])
def test_the_last_attempt_is_at_the_end_of_the_lifetime(expires_in, again_in):
    again = next_attempt(NOW, 300, NOW + timedelta(seconds=expires_in))
    assert again == NOW + timedelta(seconds=again_in)
