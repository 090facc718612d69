"""The door to the database: errors become "come back later", and connections are fit for use."""

import errno
import sqlite3
import time

import pytest
from django.db import InterfaceError, OperationalError, connection, transaction
from twisted.internet.task import Clock

from mailcore import database
from mailcore.database import DatabaseDoors, in_database_thread
from mailcore.dialogue import NoSpaceError, UnavailableError
from mailcore.threads import WayBack


def raising(error):
    def work():
        raise error

    return work


@pytest.mark.parametrize(
    "error",
    [
        OperationalError("database is locked"),
        InterfaceError("connection already closed"),
        sqlite3.OperationalError("disk I/O error"),
        OSError(errno.ENOSPC, "No space left on device"),
    ],
)
@pytest.mark.django_db(transaction=True)
def test_trouble_of_the_database_means_come_back_later(error):
    with pytest.raises(UnavailableError, match=r"database|disk"):
        in_database_thread(raising(error))


@pytest.mark.parametrize(
    "error", [OperationalError("database or disk is full"), OSError(errno.ENOSPC, "No space left on device")]
)
@pytest.mark.django_db(transaction=True)
def test_a_full_disk_is_told_apart(error):
    with pytest.raises(NoSpaceError):
        in_database_thread(raising(error))


@pytest.mark.parametrize("error", [ValueError("bug"), FileNotFoundError(errno.ENOENT, "gone")])
@pytest.mark.django_db(transaction=True)
def test_other_errors_stay_what_they_are(error):
    with pytest.raises(type(error)):
        in_database_thread(raising(error))


@pytest.mark.django_db(transaction=True)
def test_a_connection_that_broke_is_closed_and_the_next_work_opens_a_new_one(monkeypatch):
    connection.ensure_connection()
    before = connection.connection
    monkeypatch.setattr(connection, "is_usable", lambda: False)

    def lost():
        connection.errors_occurred = True  # as Django notes at every error of the driver
        raise OperationalError("server closed the connection unexpectedly")

    with pytest.raises(UnavailableError):
        in_database_thread(lost)
    assert connection.connection is None
    assert in_database_thread(one) == 1
    assert connection.connection is not before


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("ago", "looks_again"), [(0.0, 0), (60.0, 1)])
def test_a_connection_is_looked_at_again_when_the_last_look_is_long_ago(monkeypatch, ago, looks_again):
    looks = []
    monkeypatch.setattr(database, "close_old_connections", lambda: looks.append(1))
    database._thread.looked_at = time.monotonic() - ago
    assert in_database_thread(one) == 1
    assert len(looks) == looks_again


def one():
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        return cursor.fetchone()[0]


@pytest.mark.django_db(transaction=True)
def test_a_function_that_leaves_a_transaction_open_is_found_out():
    with pytest.raises(RuntimeError, match="inside a transaction"):
        in_database_thread(lambda: transaction.atomic().__enter__())
    assert in_database_thread(one) == 1


class Hasty:
    def callFromThread(self, function, *args):  # noqa: N802
        function(*args)


def test_the_doors_of_a_connection_lead_to_the_same_rooms():
    doors = DatabaseDoors(WayBack(Hasty()), verify=lambda *args: args)
    mine = doors.at("connection")
    assert mine.connection == "connection"
    assert doors.connection is None
    assert mine._readers is doors._readers
    refused = []
    mine.commit("work").addErrback(refused.append)
    assert refused[0].check(UnavailableError)
    doors.close()


def test_a_pause_lasts_as_long_as_it_should():
    clock = Clock()
    doors = DatabaseDoors(WayBack(Hasty()), verify=lambda *args: args, clock=clock).at(object())
    try:
        over = []
        doors.pause(2.0).addCallback(over.append)
        clock.advance(1.9)
        assert over == []
        clock.advance(0.2)
        assert over == [None]
    finally:
        doors.close()
