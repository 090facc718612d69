"""A role with processes of straw and a clock in hand: crashes, back-off, replacing, stopping."""

import pytest
import structlog
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from a3mailer_site.control import ControlError
from mailcore.supervisor.role import DRAIN_PATIENCE, PAUSES, READY_PATIENCE, RETRY, Role


class Straw:
    """A process that does what the test says."""

    def __init__(self, pid):
        self.pid = pid
        self.state = "starting"
        self.listening = []
        self.ready = Deferred()
        self.gone = Deferred()
        self.ending = "exit code 1"
        self.signals = []

    def come(self):
        self.state = "ready"
        self.ready.callback(self)

    def go(self):
        before, self.state = self.state, "gone"
        if before == "starting":
            self.ready.errback(Failure(RuntimeError("gone")))
            self.ready.addErrback(lambda _: None)
        self.gone.callback(self)

    def terminate(self):
        self.state = "draining"
        self.signals.append("TERM")

    def kill(self):
        if self.state != "gone":
            self.signals.append("KILL")
            self.go()


class World:
    def __init__(self):
        self.clock = Clock()
        self.spawned = []
        self.retired = []
        self.role = Role("mail", self.clock, self._spawn, self.retired.append)

    def _spawn(self):
        self.spawned.append(Straw(len(self.spawned) + 1))
        return self.spawned[-1]

    def last(self):
        return self.spawned[-1]

    def up(self):
        self.role.start()
        self.last().come()
        return self.last()


@pytest.fixture
def world():
    with structlog.testing.capture_logs():
        yield World()


def outcome(deferred):
    seen = []
    deferred.addBoth(seen.append)
    return seen


def test_states_follow_the_process(world):
    assert world.role.state == "restarting"
    world.role.start()
    assert world.role.state == "starting"
    world.last().come()
    assert world.role.state == "ready"
    assert world.role.first_ready.called
    world.role.start()  # it is filled
    assert len(world.spawned) == 1


def test_crashes_are_repaired_with_growing_pauses_and_then_once_a_minute(world):
    world.up()
    for number, pause in enumerate(PAUSES, 1):
        world.last().go()
        assert world.role.restarts == number
        world.clock.advance(pause - 0.01)
        assert len(world.spawned) == number
        world.clock.advance(0.02)
        assert len(world.spawned) == number + 1
    world.last().go()
    assert world.role.state == "down"
    assert world.role.last_ending == "exit code 1"
    for _ in range(2):
        count = len(world.spawned)
        world.clock.advance(RETRY - 0.01)
        assert len(world.spawned) == count
        world.clock.advance(0.02)
        assert len(world.spawned) == count + 1
        world.last().go()
    world.clock.advance(RETRY)
    world.last().come()
    assert world.role.state == "ready"


def test_crashes_long_ago_are_forgotten(world):
    world.up()
    for _ in range(10):
        world.clock.advance(61)
        world.last().go()
        world.clock.advance(PAUSES[0])
        world.last().come()
    assert world.role.state == "ready"
    assert world.role.restarts == 10


def test_one_that_does_not_become_ready_is_killed_and_tried_again(world):
    world.role.start()
    world.clock.advance(READY_PATIENCE)
    assert world.spawned[0].signals == ["KILL"]
    world.clock.advance(PAUSES[0])
    assert len(world.spawned) == 2


def test_a_replacement_takes_over_when_it_is_ready_and_the_old_one_may_finish(world):
    old = world.up()
    done = outcome(world.role.replace())
    new = world.last()
    assert world.role.current is old
    assert old.signals == []
    new.come()
    assert world.role.current is new
    assert old.signals == ["TERM"]
    assert done == []
    old.go()
    assert done == [None]
    assert world.role.restarts == 0
    assert world.retired == [old.pid]


def test_an_old_one_that_does_not_finish_is_killed(world):
    old = world.up()
    done = outcome(world.role.replace())
    world.last().come()
    world.clock.advance(DRAIN_PATIENCE)
    assert old.signals == ["TERM", "KILL"]
    assert done == [None]


@pytest.mark.parametrize("failure", ["crashes", "hangs"])
def test_a_replacement_that_fails_leaves_the_old_one(world, failure):
    old = world.up()
    done = outcome(world.role.replace())
    if failure == "crashes":
        world.last().go()
    else:
        world.clock.advance(READY_PATIENCE)
    assert done[0].check(ControlError)
    assert world.last().state == "gone"
    assert world.role.current is old
    assert old.signals == []
    world.clock.advance(100)
    assert len(world.spawned) == 2


def test_the_old_one_may_crash_while_the_new_one_starts(world):
    old = world.up()
    done = outcome(world.role.replace())
    new = world.last()
    old.go()
    new.come()
    world.clock.advance(100)
    assert world.role.current is new
    assert len(world.spawned) == 2
    assert done == [None]


def test_two_replacements_at_once_are_refused(world):
    world.up()
    world.role.replace()
    assert outcome(world.role.replace())[0].check(ControlError)


def test_replacing_one_that_is_down_starts_it_at_once(world):
    world.up()
    world.last().go()
    assert outcome(world.role.replace()) == [None]
    assert world.role.state == "starting"
    world.clock.advance(100)
    assert world.spawned[-1].state in {"starting", "gone"}


def test_stopping_waits_for_the_process_and_starts_nothing_again(world):
    process = world.up()
    done = outcome(world.role.stop())
    assert process.signals == ["TERM"]
    assert done == []
    process.go()
    assert done == [None]
    world.clock.advance(1000)
    assert len(world.spawned) == 1
    assert world.role.state == "stopped"
    assert outcome(world.role.replace())[0].check(ControlError)


def test_stopping_between_two_tries_is_done_at_once(world):
    world.up()
    world.last().go()
    assert outcome(world.role.stop()) == [None]
    world.clock.advance(1000)
    assert len(world.spawned) == 1


def test_stopping_during_a_replacement_ends_both(world):
    old = world.up()
    replaced = outcome(world.role.replace())
    new = world.last()
    done = outcome(world.role.stop())
    assert new.signals == ["KILL"]
    old.go()
    assert done == [None]
    assert replaced[0].check(ControlError)
