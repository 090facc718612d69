"""Figures of several processes, summed; and those of a process, counted."""

import pytest

from a3mailer_site.figures import BOUNDS, Figures
from mailcore.supervisor.totals import Totals


def snapshot(**counters):
    return {"counters": counters, "gauges": {}, "timings": {}}


def test_counters_of_all_processes_are_added():
    totals = Totals()
    totals.update(1, snapshot(accepted=3))
    totals.update(2, snapshot(accepted=4, refused=1))
    assert totals.sum()["counters"] == {"accepted": 7, "refused": 1}


def test_the_newest_figures_of_a_process_replace_its_older_ones():
    totals = Totals()
    totals.update(1, snapshot(accepted=3))
    totals.update(1, snapshot(accepted=5))
    assert totals.sum()["counters"] == {"accepted": 5}


def test_what_a_retired_process_counted_is_kept_and_its_gauges_are_not():
    totals = Totals()
    totals.update(1, {"counters": {"accepted": 3}, "gauges": {"open": 7}, "timings": {"commit": [1, 2, 0.5]}})
    totals.retire(1)
    totals.update(2, {"counters": {"accepted": 2}, "gauges": {"open": 1}, "timings": {"commit": [1, 0, 0.25]}})
    total = totals.sum()
    assert total == {"counters": {"accepted": 5}, "gauges": {"open": 1}, "timings": {"commit": [2, 2, 0.75]}}
    totals.retire(2)
    totals.retire(2)
    assert totals.sum()["counters"] == {"accepted": 5}


def test_what_nobody_counted_is_absent():
    assert Figures().snapshot() == {"counters": {}, "gauges": {}, "timings": {}}


def test_figures_are_counted_measured_and_read():
    figures = Figures()
    figures.count("accepted")
    figures.count("bytes", 500)
    figures.count("bytes", 1)
    figures.gauge("open", lambda: 3)
    assert figures.snapshot()["counters"] == {"accepted": 1, "bytes": 501}
    assert figures.snapshot()["gauges"] == {"open": 3}


@pytest.mark.parametrize(
    ("seconds", "bucket"), [(0.0, 0), (0.001, 0), (0.0011, 1), (BOUNDS[-1], len(BOUNDS) - 1), (99.0, len(BOUNDS))]
)
def test_a_time_falls_into_the_bucket_whose_bound_is_not_below_it(seconds, bucket):
    figures = Figures()
    figures.observe("commit.seconds", seconds)
    *counts, total = figures.snapshot()["timings"]["commit.seconds"]
    assert [place for place, count in enumerate(counts) if count] == [bucket]
    assert total == seconds
