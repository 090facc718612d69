"""The write gate: fair, freed by the death of its holder, and round every write of Django's."""

import os
import sqlite3
import subprocess
import sys
import threading
import time

import pytest
from django.db import connection, transaction

from a3mailer_site.gated_sqlite.base import DatabaseWrapper
from a3mailer_site.gated_sqlite.gate import WriteGate
from a3mailer_site.models import Generation

pytestmark = pytest.mark.sqlite


def test_a_second_taker_waits_and_then_gives_up(tmp_path):
    first, second = WriteGate(str(tmp_path / "db"), 0.05), WriteGate(str(tmp_path / "db"), 0.05)
    first.acquire()
    with pytest.raises(sqlite3.OperationalError, match="database is locked"):
        second.acquire()
    assert not second.held
    first.release()
    second.acquire()
    assert second.held


def test_leaving_twice_does_not_free_what_another_holds(tmp_path):
    first, second, third = (WriteGate(str(tmp_path / "db"), 0.05) for _ in range(3))
    first.acquire()
    first.release()
    second.acquire()
    first.release()
    with pytest.raises(sqlite3.OperationalError):
        third.acquire()


def test_who_waits_comes_before_who_has_just_left(tmp_path):
    order = []
    greedy, patient = WriteGate(str(tmp_path / "db"), 10), WriteGate(str(tmp_path / "db"), 10)
    waiting = threading.Event()

    def wait_once():
        waiting.set()
        patient.acquire()
        order.append("patient")
        patient.release()

    greedy.acquire()
    thread = threading.Thread(target=wait_once)
    thread.start()
    waiting.wait()
    time.sleep(0.05)  # until it stands in the queue
    for _ in range(50):
        greedy.release()
        greedy.acquire()
        order.append("greedy")
        time.sleep(0.002)
    greedy.release()
    thread.join()
    assert order.index("patient") <= 1


def test_the_gate_of_a_dead_process_is_free(tmp_path):
    use = "from a3mailer_site.gated_sqlite.gate import WriteGate"
    die = f"import os, sys; {use}; WriteGate(sys.argv[1], 1).acquire(); os._exit(9)"
    assert subprocess.run([sys.executable, "-c", die, str(tmp_path / "db")], check=False).returncode == 9
    gate = WriteGate(str(tmp_path / "db"), 0.05)
    gate.acquire()
    assert gate.held


@pytest.mark.django_db(transaction=True)
def test_a_transaction_holds_the_gate_from_begin_to_commit():
    gate = WriteGate(str(connection.settings_dict["NAME"]), 0.02)
    with transaction.atomic():
        Generation.objects.create(name="a")
        with pytest.raises(sqlite3.OperationalError):
            gate.acquire()
        with transaction.atomic():  # a savepoint changes nothing
            Generation.objects.create(name="b")
        with pytest.raises(sqlite3.OperationalError):
            gate.acquire()
    gate.acquire()
    gate.close()


@pytest.mark.django_db(transaction=True)
def test_a_rollback_leaves_the_gate():
    gate = WriteGate(str(connection.settings_dict["NAME"]), 0.02)

    def fail():
        with transaction.atomic():
            Generation.objects.create(name="a")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    gate.acquire()
    gate.close()
    assert not Generation.objects.exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "write",
    [
        lambda: Generation.objects.create(name="x"),
        lambda: Generation.objects.update(value=2),
        lambda: Generation.objects.all().delete(),
        lambda: connection.cursor().execute("  insert into site_floor_generation (name, value) values ('y', 1)"),
        lambda: connection.cursor().executemany(
            "INSERT INTO site_floor_generation (name, value) VALUES (%s, %s)", [("z", 1), ("w", 2)]
        ),
    ],
    ids=["create", "update", "delete", "raw", "many"],
)
def test_a_single_write_outside_a_transaction_waits_for_the_gate(write):
    Generation.objects.create(name="before")
    gate = WriteGate(str(connection.settings_dict["NAME"]), 1)
    gate.acquire()
    released = threading.Timer(0.15, gate.release)
    released.start()
    started = time.monotonic()
    write()
    assert time.monotonic() - started > 0.1
    released.join()
    gate.acquire()
    gate.close()


@pytest.mark.django_db(transaction=True)
def test_reading_does_not_wait():
    gate = WriteGate(str(connection.settings_dict["NAME"]), 1)
    gate.acquire()
    assert Generation.objects.count() == 0
    gate.close()


@pytest.mark.django_db
def test_nobody_else_can_read_the_database_its_log_or_its_locks(tmp_path):
    settings = {**connection.settings_dict, "NAME": str(tmp_path / "db")}
    wrapper = DatabaseWrapper(settings, "another")
    mask = os.umask(0)
    try:
        with wrapper.cursor() as cursor:
            cursor.execute("CREATE TABLE t (a)")
        files = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    finally:
        os.umask(mask)
        wrapper.close()
    assert files == dict.fromkeys(["db", "db-wal", "db-shm", "db.gate", "db.queue"], 0o600)
