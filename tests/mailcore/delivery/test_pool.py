"""The connections to other servers together: their number, their limit that changes meanwhile, and their figures."""

import pytest
from twisted.internet.defer import Deferred

from a3mailer_site.figures import BOUNDS, figures
from fakemx import DRIP, HANG, FakeMx
from mailcore.delivery import pool
from mailcore.delivery.pool import ConnectionPool
from mailqueue.models import Attempt

NAMES = ("opened", "failed", "checkouts", "reuses", "waits")


class Straw:
    """A connection that only knows whether it was told to go."""

    def __init__(self):
        self.gone = Deferred()
        self.messages = 0

    def quit(self):
        self.gone.callback(None)


def counted(before=None):
    counters = figures.snapshot()["counters"]
    now = {name: int(counters.get(f"delivery.pool.{name}", 0)) for name in NAMES}
    return {name: now[name] - (before or {}).get(name, 0) for name in NAMES}


def gauges():
    values = figures.snapshot()["gauges"]
    return {name: values[f"delivery.pool.{name}"] for name in ("active", "idle", "limit", "waiting")}


def test_no_more_get_in_than_the_limit_and_the_next_when_one_leaves():
    pool = ConnectionPool(2)
    let_in = []
    for number in range(4):
        pool.acquire().addCallback(lambda _, number=number: let_in.append(number))
    assert let_in == [0, 1]
    assert gauges() == {"active": 0, "idle": 0, "limit": 2, "waiting": 2}
    pool.release()
    assert let_in == [0, 1, 2]


def test_a_higher_limit_lets_those_in_who_wait_and_a_lower_one_takes_effect_with_the_next_leave():
    pool = ConnectionPool(1)
    let_in = []
    for number in range(5):
        pool.acquire().addCallback(lambda _, number=number: let_in.append(number))
    pool.resize(3)
    assert let_in == [0, 1, 2]
    pool.resize(1)
    assert pool.crowded
    pool.release()
    pool.release()
    assert let_in == [0, 1, 2]
    assert not pool.crowded
    pool.release()
    assert let_in == [0, 1, 2, 3]


def test_idle_connections_count_and_the_longest_free_one_makes_room():
    pool = ConnectionPool(2)
    connections = [Straw() for _ in range(3)]
    for connection in connections[:2]:
        pool.acquire()
        pool.opened(connection, 0.01)
        pool.release()
        assert pool.keep(connection)
    assert gauges() == {"active": 0, "idle": 2, "limit": 2, "waiting": 0}
    pool.acquire()
    pool.opened(connections[2], 0.01)
    assert connections[0].gone.called
    assert gauges() == {"active": 1, "idle": 1, "limit": 2, "waiting": 0}
    pool.resize(1)
    assert connections[1].gone.called
    assert gauges() == {"active": 1, "idle": 0, "limit": 1, "waiting": 0}


def test_what_was_lost_is_no_reuse():
    before = counted()
    ConnectionPool.used(again=False, lost=False)
    ConnectionPool.used(again=True, lost=False)
    ConnectionPool.used(again=True, lost=True)
    assert counted(before) == {"opened": 0, "failed": 0, "checkouts": 3, "reuses": 1, "waits": 0}


@pytest.fixture
def mx(mx, dns):
    for name in ("b.test", "c.test"):
        dns.add(name, "MX", f"10 mx.{name}")
        dns.add(f"mx.{name}", "A", "127.0.0.1")
    return mx


def openings():
    return sum(figures.snapshot()["timings"].get("delivery.pool.open", [0] * (len(BOUNDS) + 2))[:-1])


@pytest.mark.django_db
def test_delivering_counts_what_was_opened_and_what_was_used_again(queue, deliver, mx):
    before, opened = counted(), openings()
    for _ in range(4):
        queue("bob@a.test")
        deliver()
    assert mx.connections == 1
    assert counted(before) == {"opened": 1, "failed": 0, "checkouts": 4, "reuses": 3, "waits": 0}
    assert openings() == opened + 1
    assert (gauges()["active"], gauges()["idle"]) == (0, 1)


@pytest.mark.django_db
def test_who_cannot_be_reached_is_counted_as_failed_and_serves_nobody(queue, deliver, mx, settings_of):
    with FakeMx() as gone:
        closed = gone.port
    settings_of(remote_smtp_port=closed)
    before = counted()
    queue("bob@a.test")
    deliver()
    assert counted(before) == {"opened": 0, "failed": 1, "checkouts": 0, "reuses": 0, "waits": 0}


@pytest.mark.django_db
def test_the_limit_holds_over_all_destinations_and_from_the_moment_it_is_set(queue, deliver, scheduler, mx):
    scheduler.resize_pool(1)
    for name in ("a.test", "b.test", "c.test"):
        for _ in range(3):
            queue(f"bob@{name}")
    before = counted()
    deliver()
    assert len(mx.messages) == 9
    assert counted(before)["waits"] > 0
    assert gauges()["active"] + gauges()["idle"] <= 1


@pytest.mark.django_db
def test_a_host_that_takes_long_to_begin_makes_way_for_others_that_wait(queue, turner, scheduler, mx, dns, monkeypatch):
    with FakeMx(host="127.0.6.1", port=mx.port, says={"GREETING": DRIP}) as slow:
        dns.add("slow.test", "MX", "10 mx.slow.test")
        dns.add("mx.slow.test", "A", slow.host)
        scheduler.resize_pool(1)
        late = queue("bob@slow.test")
        turner.run(scheduler._look())
        turner.until(lambda: slow.connections)
        queue("bob@a.test")
        turner.run(scheduler._look())
        # Not at once: it may only be slow.
        turner.run(scheduler._renew())
        assert mx.connections == 0
        monkeypatch.setattr(pool, "HURRY_AFTER", 0.0)
        turner.run(scheduler._renew())
        turner.until(lambda: scheduler.in_hand == 0)
        assert [message.recipients for message in mx.messages] == [["bob@a.test"]]
        attempt = Attempt.objects.get(message=late)
        assert (attempt.outcome, attempt.enhanced) == ("deferred", "4.4.2")
        assert attempt.reply == "the host takes too long to begin while other mail waits"


@pytest.mark.django_db
def test_a_host_that_takes_long_is_waited_for_while_nobody_else_waits(queue, turner, scheduler, mx, monkeypatch):
    monkeypatch.setattr(pool, "HURRY_AFTER", 0.0)
    mx.says["GREETING"] = HANG
    queue("bob@a.test")
    turner.run(scheduler._look())
    turner.until(lambda: mx.connections)
    turner.run(scheduler._renew())
    assert scheduler.in_hand == 1
    mx.drop_all()
    turner.until(lambda: scheduler.in_hand == 0)
