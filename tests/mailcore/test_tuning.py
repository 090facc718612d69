"""What is tuned while a process runs: read in a thread, put in force in the reactor's, tried again after a failure."""

import pytest
from twisted.internet.defer import fail, succeed
from twisted.internet.task import Clock

from a3mailer_site import caches, generations
from a3mailer_site.env import current
from a3mailer_site.live import set_live
from mailcore.dialogue import UnavailableError
from mailcore.tuning import Tuning

pytestmark = pytest.mark.django_db


class AtOnce:
    """The way back, without a way."""

    def call(self, function, *args):
        function(*args)


class Here:
    """A pool without threads; ``away`` makes the database unavailable."""

    def __init__(self):
        self.away = False
        self.works = 0

    def submit(self, work):
        self.works += 1
        return fail(UnavailableError("away")) if self.away else succeed(work())

    def stop(self):
        pass


@pytest.fixture
def made(monkeypatch):
    listeners = {name: list(each) for name, each in generations._listeners.items()}
    monkeypatch.setattr(generations, "_listeners", listeners)
    before = caches.in_force()

    def make(polled=False):
        clock, told = Clock(), []
        tuning = Tuning(clock, AtOnce(), polled=polled)
        tuning._pool = Here()
        tuning.follow("connection_pool_size", told.append)
        tuning.start()
        return tuning, clock, told

    yield make
    caches.resize(before)


def test_until_somebody_sets_something_the_settings_hold(made):
    _tuning, _clock, told = made()
    assert told == [current().connection_pool_size]
    assert caches.in_force() == int(current().cache_size * caches.part_of("command", 1))


def test_a_change_is_in_force_within_a_second_and_told_once(made, monkeypatch):
    _tuning, clock, told = made()
    monkeypatch.setattr(generations, "_listeners", {})  # as if another process had written
    set_live("connection_pool_size", 7)
    set_live("cache_size", 10 * 2**20)
    clock.pump([0.1] * 10)
    assert told[1:] == [7]
    assert caches.in_force() == 2 * 2**20
    clock.pump([0.1] * 50)
    assert told[1:] == [7]


def test_who_is_told_of_changes_does_not_ask_again_and_again(made):
    tuning, clock, told = made(polled=True)
    clock.pump([0.1] * 100)
    assert tuning._pool.works == 1
    set_live("connection_pool_size", 9)
    generations.announce("settings")
    assert told[-1] == 9


def test_a_database_that_is_away_is_asked_until_it_answers(made):
    tuning, clock, told = made(polled=True)
    tuning._pool.away = True
    set_live("connection_pool_size", 11)
    generations.announce("settings")
    assert told[-1] != 11
    tuning._pool.away = False
    clock.pump([0.1] * 10)
    assert told[-1] == 11
