"""Pools of threads, and the way back to the reactor."""

import threading

import pytest
from twisted.python.failure import Failure

from mailcore.dialogue import UnavailableError
from mailcore.threads import Pool, WayBack


class FakeReactor:
    """Keeps what threads want to be called, until the test calls it."""

    def __init__(self):
        self.calls = []
        self.came = threading.Semaphore(0)

    def callFromThread(self, function, *args):  # noqa: N802
        self.calls.append((function, args))
        self.came.release()

    def turn(self):
        calls, self.calls = self.calls, []
        for function, args in calls:
            function(*args)

    def wait(self):
        assert self.came.acquire(timeout=10)
        self.turn()


@pytest.fixture
def reactor():
    return FakeReactor()


def outcome(deferred):
    seen = []
    deferred.addBoth(seen.append)
    return seen


def test_calls_arrive_in_order_with_one_wake_up(reactor):
    way_back, seen = WayBack(reactor), []
    way_back.call(seen.append, 1)
    way_back.call_all([(seen.append, (2,)), (seen.append, (3,))])
    way_back.call_all([])
    assert len(reactor.calls) == 1
    reactor.turn()
    assert seen == [1, 2, 3]
    way_back.call(seen.append, 4)
    reactor.turn()
    assert seen[-1] == 4


def test_one_call_that_fails_does_not_take_the_others_with_it(reactor):
    way_back, seen = WayBack(reactor), []
    way_back.call_all([(seen.append, (1,)), (int, ("x",)), (seen.append, (2,))])
    with pytest.raises(ValueError, match="invalid literal"):
        reactor.turn()
    reactor.turn()
    assert seen == [1, 2]


def test_work_is_done_in_a_thread_and_answered_in_the_reactor(reactor):
    pool = Pool("test", WayBack(reactor), threads=1, waiting=10)
    seen = outcome(pool.submit(threading.current_thread))
    reactor.wait()
    assert seen[0].name == "test-0"
    assert seen[0] is not threading.current_thread()
    pool.stop()


def test_an_error_is_the_answer(reactor):
    pool = Pool("test", WayBack(reactor), threads=1, waiting=10)
    seen = outcome(pool.submit(lambda: int("x")))
    reactor.wait()
    assert isinstance(seen[0], Failure)
    assert seen[0].check(ValueError)
    pool.stop()


def test_when_too_much_waits_the_next_is_refused_at_once_and_later_taken_again(reactor):
    gate = threading.Event()
    pool = Pool("test", WayBack(reactor), threads=1, waiting=2)
    began = threading.Event()

    def busy():
        began.set()
        return gate.wait(10)

    pool.submit(busy)
    assert began.wait(10)
    waiting = [outcome(pool.submit(lambda: 1)) for _ in range(2)]
    refused = outcome(pool.submit(lambda: 2))
    assert refused[0].check(UnavailableError)
    gate.set()
    while not all(waiting):
        reactor.wait()
    again = outcome(pool.submit(lambda: 3))
    while not again:
        reactor.wait()
    assert again == [3]
    pool.stop()


def test_at_the_end_what_waits_is_done_and_nothing_more_is_taken(reactor):
    pool = Pool("test", WayBack(reactor), threads=1, waiting=10)
    seen = [outcome(pool.submit(lambda number=number: number)) for number in range(5)]
    pool.stop()
    reactor.turn()
    assert seen == [[0], [1], [2], [3], [4]]
    assert outcome(pool.submit(lambda: 5))[0].check(UnavailableError)


def test_work_is_wrapped(reactor):
    pool = Pool("test", WayBack(reactor), threads=1, waiting=10, wrap=lambda work: work() * 2)
    seen = outcome(pool.submit(lambda: 21))
    reactor.wait()
    assert seen == [42]
    pool.stop()


def test_what_is_handed_over_together_wakes_the_reactor_once():
    wakes, heard = [], []

    class Counting:
        def callFromThread(self, function, *args):  # noqa: N802
            wakes.append((function, args))

    way_back = WayBack(Counting())
    with way_back.together():
        way_back.call(heard.append, 1)
        way_back.call_all([(heard.append, (2,)), (heard.append, (3,))])
        assert wakes == []
    assert len(wakes) == 1
    wakes[0][0](*wakes[0][1])
    assert heard == [1, 2, 3]
    with way_back.together():
        pass
    assert len(wakes) == 1
