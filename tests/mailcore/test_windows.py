"""What was counted lately: windows of the length they say, whatever happens to the processes meanwhile."""

import pytest

from mailcore.supervisor.totals import Totals
from mailcore.supervisor.windows import Windows


def snapshot(count, times=(0, 0, 0.0)):
    return {"counters": {"accepted": count}, "gauges": {}, "timings": {"seconds": list(times)}}


def run(seconds, rate=1, started=1000.0):
    """Count ``rate`` things a second in one process; returns the windows, the sums and the clock at the end."""
    windows, totals = Windows(started), Totals()
    for second in range(1, seconds + 1):
        totals.update(1, snapshot(second * rate, (second * rate, 0, second * 0.5)))
        windows.remember(started + second, totals.sum())
    return windows, totals, started + seconds


@pytest.mark.parametrize(
    ("seconds", "minute", "five"),
    [(0, 0, 0), (1, 1, 1), (59, 59, 59), (60, 60, 60), (61, 60, 61), (250, 60, 250), (300, 60, 300), (4000, 60, 304)],
)
def test_a_window_is_as_long_as_it_says_and_has_what_was_counted_in_it(seconds, minute, five):
    windows, totals, now = run(seconds, rate=3)
    found = windows.differences(now, totals.sum())
    assert set(found) == {"60", "300"}
    for name, expected in (("60", minute), ("300", five)):
        length = found[name]["seconds"]
        assert length == pytest.approx(expected, abs=4 if expected > 300 else 0)
        assert found[name]["counters"].get("accepted", 0) == 3 * length
        assert found[name]["timings"].get("seconds", [0, 0, 0.0]) == [3 * length, 0, 0.5 * length]


def test_a_process_that_is_replaced_leaves_what_it_counted_in_the_window():
    windows, totals, now = run(30)
    totals.retire(1)  # a process of its own count that begins at nothing
    for second in range(1, 11):
        totals.update(2, snapshot(second))
        windows.remember(now + second, totals.sum())
    now += 10
    assert windows.differences(now, totals.sum())["60"]["counters"] == {"accepted": 40}
    # It counts no longer while there is nobody to count, and nothing is ever taken away.
    totals.retire(2)
    assert windows.differences(now + 5, totals.sum())["60"]["counters"] == {"accepted": 40}


def test_what_is_older_than_the_window_is_not_in_it():
    windows, totals, now = run(20, rate=5)
    for second in range(1, 100):
        windows.remember(now + second, totals.sum())
    found = windows.differences(now + 99, totals.sum())
    assert found["60"]["counters"] == {"accepted": 0}
    assert found["300"]["counters"] == {"accepted": 100}


def test_the_memory_is_bounded():
    windows, _, _ = run(5000)
    assert len(windows._fine) <= 62
    assert len(windows._coarse) <= 52


def test_a_supervisor_that_slept_says_how_long_the_window_really_is():
    windows, totals, now = run(30)
    totals.update(1, snapshot(100))
    assert windows.differences(now + 400, totals.sum())["60"]["seconds"] == 400
