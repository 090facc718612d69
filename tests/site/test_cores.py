"""Threads kept to one core, and spread again; each test in a thread of its own, whose cores nobody else shares."""

import os
import threading

import pytest

from a3mailer_site import cores


def in_a_thread(work):
    """What ``work`` returns, from a thread that ends with it."""
    found = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    thread.join()
    return found[0]


@pytest.fixture(autouse=True)
def _unbound(monkeypatch):
    monkeypatch.setattr(cores, "_all", set())


def test_a_thread_and_those_it_starts_keep_to_one_core_and_a_pool_that_hashes_spreads():
    before = os.sched_getaffinity(0)

    def work():
        cores.keep_to_one()
        started = in_a_thread(lambda: os.sched_getaffinity(0))
        spread = in_a_thread(lambda: cores.spread() or os.sched_getaffinity(0))
        return os.sched_getaffinity(0), started, spread

    own, started, spread = in_a_thread(work)
    assert own == started == {max(before)}
    assert spread == before
    assert os.sched_getaffinity(0) == before


def test_where_nothing_is_bound_nothing_is_spread():
    def work():
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        cores.spread()
        return os.sched_getaffinity(0)

    assert len(in_a_thread(work)) == 1
