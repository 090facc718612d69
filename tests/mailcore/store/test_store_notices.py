"""Doorbells: who is rung for what, and what the eyes see of other connections."""

import subprocess
import sys
import threading
import time

import pytest
from django.db import connection

from a3mailer_site.models import Generation
from mailcore.store import eyes
from mailcore.store.batch import Change
from mailcore.store.eyes import Eyes, forget_changes
from mailcore.store.models import MailboxChange
from mailcore.store.notices import Doorbells
from tests.mailcore.store.samples import append, message


def test_a_bell_rings_for_its_mailbox_once_a_modseq():
    rung = []
    bells = Doorbells()
    bells.watch(1, rung.append)
    bells.ring([Change(1, 5), Change(2, 9)])
    bells.ring([Change(1, 5), Change(1, 4)])
    assert rung == [1]
    bells.ring([Change(1, 6)])
    assert rung == [1, 1]
    bells.unwatch(1, rung.append)
    bells.unwatch(1, rung.append)
    bells.ring([Change(1, 7)])
    assert rung == [1, 1]
    assert bells.watched == 0


def test_watching_twice_needs_unwatching_twice():
    rung = []
    bells = Doorbells()
    bells.watch(1, rung.append)
    bells.watch(1, rung.append)
    bells.unwatch(1, rung.append)
    bells.ring([Change(1, 5)])
    assert rung == [1]


def test_bells_go_by_the_way_that_is_given():
    carried = []
    bells = Doorbells(carry=lambda *call: carried.append(call))
    bells.watch(1, print)
    bells.ring([Change(1, 2)])
    bells.ring_all()
    assert carried == [(print, 1), (print, 1)]


def test_caches_forget_when_their_generation_is_another_and_one_that_fails_keeps_nobody_from_it():
    forgotten = []
    bells = Doorbells()
    bells.when_changed("addresses", lambda: 1 / 0)
    bells.when_changed("addresses", lambda: forgotten.append("addresses"))
    bells.when_changed("routes", lambda: forgotten.append("routes"))
    bells.generations([("addresses", 1), ("routes", 1), ("other", 1)])
    assert forgotten == ["addresses", "routes"]
    bells.generations([("addresses", 1), ("routes", 2)])
    assert forgotten == ["addresses", "routes", "routes"]


class Heard:
    """Collects what a bell or a cache is told, from any thread."""

    def __init__(self):
        self._changed = threading.Condition()
        self.things = []

    def __call__(self, thing="forget"):
        with self._changed:
            self.things.append(thing)
            self._changed.notify_all()

    def wait_for(self, count, seconds=5):
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.things) >= count, seconds), self.things


@pytest.fixture
def looking():
    bells = Doorbells()
    watcher = Eyes(bells)
    yield bells, watcher
    watcher.stop()
    connection.close()


@pytest.mark.django_db(transaction=True)
def test_a_commit_of_another_connection_rings(looking, user, inbox):
    bells, watcher = looking
    heard = Heard()
    bells.watch(inbox, heard)
    watcher.start()
    heard.wait_for(1)  # at the beginning everybody is rung
    append(user, inbox, message())
    heard.wait_for(2)
    append(user, inbox, message())
    heard.wait_for(3)
    assert set(heard.things) == {inbox}


@pytest.mark.django_db(transaction=True)
def test_a_generation_that_grows_makes_caches_forget(looking):
    bells, watcher = looking
    heard = Heard()
    Generation.objects.bump("addresses")
    bells.when_changed("addresses", heard)
    watcher.start()
    heard.wait_for(1)
    Generation.objects.bump("routes")
    Generation.objects.bump("addresses")
    heard.wait_for(2)
    assert len(heard.things) == 2


@pytest.mark.django_db(transaction=True)
def test_a_commit_of_another_process_rings(looking, user, inbox):
    if connection.vendor != "sqlite":
        pytest.skip("the other process opens the file")
    bells, watcher = looking
    heard = Heard()
    bells.watch(inbox, heard)
    watcher.start()
    heard.wait_for(1)
    program = (
        "import sqlite3, sys; file = sqlite3.connect(sys.argv[1], timeout=5); "
        "file.execute('INSERT INTO store_mailboxchange (mailbox_id, modseq, at, owner_id) VALUES (?, 99, 0, 0)', "
        "[sys.argv[2]]); "
        "file.commit()"
    )
    subprocess.run([sys.executable, "-c", program, connection.settings_dict["NAME"], str(inbox)], check=True)
    heard.wait_for(2)


@pytest.mark.django_db(transaction=True)
def test_the_eyes_outlive_a_database_that_fails(looking, user, inbox, monkeypatch):
    bells, watcher = looking
    heard = Heard()
    bells.watch(inbox, heard)
    monkeypatch.setattr(eyes, "AGAIN_AFTER", 0.01)
    failures = iter([RuntimeError("broken"), connection.Database.OperationalError("away")])
    real = bells.generations

    def failing(values):
        for failure in failures:
            raise failure
        real(values)

    monkeypatch.setattr(bells, "generations", failing)
    watcher.start()
    heard.wait_for(1)
    append(user, inbox, message())
    heard.wait_for(2)


@pytest.mark.django_db
def test_old_doorbells_are_forgotten():
    now = int(time.time())
    MailboxChange.objects.bulk_create([MailboxChange(mailbox_id=1, modseq=n, at=now - 61) for n in range(3)])
    MailboxChange.objects.create(mailbox_id=1, modseq=9, at=now - 59)
    assert forget_changes(now) == 3
    assert forget_changes(now) == 0
    assert MailboxChange.objects.get().modseq == 9
