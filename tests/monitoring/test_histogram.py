"""Percentiles out of buckets: interpolated, absent without a measurement, honest where the last bucket is open."""

from random import Random

import pytest

from a3mailer_site.figures import BOUNDS, LATENCIES, SIZES, Figures, bounds_of
from monitoring.histogram import Histogram

BOUNDS_3 = (1.0, 2.0, 4.0)


@pytest.mark.parametrize("buckets", [None, [0, 0, 0, 0, 0.0]])
def test_without_a_measurement_there_is_neither_mean_nor_percentile(buckets):
    empty = Histogram.of(BOUNDS_3, buckets)
    assert (empty.count, empty.average, empty.percentile(95), empty.reaches_beyond(95)) == (0, None, None, False)


@pytest.mark.parametrize(
    ("counts", "percent", "expected"),
    [
        ([10, 0, 0, 0], 50, 0.5),
        ([10, 0, 0, 0], 100, 1.0),
        ([0, 10, 0, 0], 50, 1.5),
        ([0, 0, 10, 0], 25, 2.5),
        ([5, 5, 0, 0], 50, 1.0),
        ([5, 5, 0, 0], 75, 1.5),
        ([1, 0, 1, 0], 75, 3.0),
        ([0, 0, 4, 0], 0, 2.0),
        ([0, 0, 0, 3], 50, 4.0),
    ],
)
def test_a_percentile_is_interpolated_within_its_bucket(counts, percent, expected):
    assert Histogram.of(BOUNDS_3, [*counts, 0.0]).percentile(percent) == pytest.approx(expected)


def test_a_percentile_in_the_open_bucket_is_a_lower_limit_and_says_so():
    some = Histogram.of(BOUNDS_3, [90, 0, 0, 10, 500.0])
    assert (some.percentile(95), some.reaches_beyond(95)) == (4.0, True)
    assert (some.percentile(50), some.reaches_beyond(50)) == (pytest.approx(50 / 90), False)


def test_the_mean_is_exact_and_percentiles_are_no_further_off_than_their_bucket_is_wide():
    random, figures = Random(3), Figures()
    times = sorted(random.expovariate(20) for _ in range(5000))
    for seconds in times:
        figures.observe("http.seconds", seconds)
    found = Histogram.of(BOUNDS, figures.snapshot()["timings"]["http.seconds"])
    assert found.average == pytest.approx(sum(times) / len(times))
    for percent in (50, 95, 99):
        exact = times[int(len(times) * percent / 100) - 1]
        upper = next(bound for bound in BOUNDS if bound >= exact)
        lower = max((bound for bound in BOUNDS if bound < exact), default=0)
        assert lower <= found.percentile(percent) <= upper


def test_cumulative_counts_end_with_all():
    assert Histogram.of(BOUNDS_3, [1, 2, 3, 4, 9.0]).cumulative == [1, 3, 6, 10]


@pytest.mark.parametrize(
    ("name", "bounds"),
    [
        ("http.seconds", BOUNDS),
        ("pool.database.wait_seconds", BOUNDS),
        ("commit.batch_size", SIZES),
        ("delivery.remote.latency_seconds", LATENCIES),
    ],
)
def test_a_figure_has_the_buckets_of_its_kind(name, bounds):
    assert bounds_of(name) == bounds == tuple(sorted(bounds))


def test_a_time_and_its_counter_are_counted_in_one_moment():
    figures = Figures()
    figures.observe("http.seconds", 0.02, counting="http.requests.GET.200")
    assert figures.snapshot()["counters"] == {"http.requests.GET.200": 1}
    assert sum(figures.snapshot()["timings"]["http.seconds"][:-1]) == 1
