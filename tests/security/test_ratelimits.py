"""The counting: windows slide, budgets are shared, what is refused costs nothing, Retry-After is true."""

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from a3mailer_site.live import set_live
from security import ratelimits
from security.ratelimits import DEFAULTS, Limit, Spending, limits, spend, used

START = 1_700_000_000 // 3600 * 3600  # the beginning of a window, whatever its length


FIVE = Limit(5, 60)


def ask(now, limit=FIVE, whose="a", kind="per_ip", **extra):
    return spend([Spending(kind, whose, limit)], now, extra)


def test_one_more_than_allowed_is_refused_and_others_are_not():
    verdicts = [ask(START) for _ in range(5)]
    assert [verdict.remaining for verdict in verdicts] == [4, 3, 2, 1, 0]
    assert not any(verdict.refused for verdict in verdicts)
    over = ask(START)
    assert (over.refused, over.remaining, over.limit, over.kind) == (True, 0, 5, "per_ip")
    assert not ask(START, whose="b").refused
    assert not ask(START, kind="per_user").refused


def test_what_is_refused_is_not_counted():
    for _ in range(5):
        ask(START)
    for _ in range(50):
        assert ask(START + 1).refused
    assert used(Spending("per_ip", "a", Limit(5, 60)), START + 1) == 5


def test_a_refused_request_costs_no_budget_anything():
    small, large = Spending("per_user", "a", Limit(1, 60)), Spending("authenticated", "", Limit(100, 60))
    assert not spend([large, small], START).refused
    for _ in range(10):
        assert spend([large, small], START).refused
        assert spend([small, large], START).refused
    assert used(large, START) == 1
    assert used(small, START) == 1


def test_the_window_slides_over_its_border():
    """Fixed windows would allow twice as much round their border."""
    for _ in range(5):
        ask(START + 59)
    assert ask(START + 60).refused
    assert ask(START + 61).refused
    assert not ask(START + 60 + 13).refused
    assert ask(START + 60 + 13).refused
    assert not ask(START + 200).refused


@settings(deadline=None, max_examples=150)
@given(
    gaps=st.lists(st.floats(0, 40), min_size=1, max_size=40),
    most=st.integers(1, 12),
    seconds=st.integers(1, 90),
    extra=st.integers(0, 3),
)
def test_retry_after_is_true_for_who_waits_so_long(gaps, most, seconds, extra):
    ratelimits.forget()
    limit, now = Limit(most + extra, seconds), float(START)
    for gap in gaps:
        now += gap
        verdict = ask(now, limit, per_ip=extra)
        if verdict.refused:
            assert 1 <= verdict.reset <= 2 * seconds + 1
            assert not ask(now + verdict.reset, limit, per_ip=extra).refused
            now += verdict.reset


def test_strangers_use_up_their_share_and_no_more():
    whole = Limit(10, 60)
    strangers = 5
    mine = [ask(START, whole, kind="authenticated", whose="", authenticated=strangers).refused for _ in range(6)]
    assert mine == [False] * 5 + [True]


def test_the_tightest_budget_speaks():
    verdict = spend([Spending("per_ip", "a", Limit(100, 60)), Spending("per_user", "u", Limit(3, 30))], START)
    assert (verdict.kind, verdict.limit, verdict.remaining, verdict.reset) == ("per_user", 3, 2, 30)


def test_threads_together_get_what_one_would():
    fine = []

    def hammer():
        fine.extend(1 for _ in range(200) if not ask(START, Limit(500, 60)).refused)

    threads = [threading.Thread(target=hammer) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(fine) == 500


@pytest.mark.django_db
@pytest.mark.parametrize(
    "stored",
    [
        5,
        [],
        {},
        {"global": None},
        {"global": {"max_requests": "x", "window_seconds": 60}},
        {"global": {"max_requests": 1, "window_seconds": 60}},
        {"per_ip": {"max_requests": 10**12, "window_seconds": 60}},
        {"per_ip": {"max_requests": 100, "window_seconds": 0}},
        {"per_user": {"max_requests": 100, "window_seconds": 10**6}},
    ],
)
def test_what_an_older_version_stored_never_locks_anybody_out(stored):
    set_live(ratelimits.SETTING, stored)
    assert limits() == DEFAULTS


@pytest.mark.django_db
def test_without_a_database_the_last_limits_hold(monkeypatch):
    from django.db import OperationalError

    set_live(ratelimits.SETTING, {"per_ip": {"max_requests": 77, "window_seconds": 7}})
    assert limits().per_ip == Limit(77, 7)

    def away(*args):
        raise OperationalError("away")

    monkeypatch.setattr(ratelimits, "live", away)
    assert limits().per_ip == Limit(77, 7)
