"""One session at a time has a maildrop, in the process and in all of them."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater

from mailcore.pop3.locks import MaildropLocks
from mailcore.pop3.questions import Holder

ROOT = Path(__file__).resolve().parents[3]

# Takes the maildrop of account 7 and says so; then waits to be told to end, or killed.
OTHER = """
import sys
from pathlib import Path
from mailcore.pop3.locks import MaildropLocks
from mailcore.pop3.questions import Holder
locks, holder = MaildropLocks(lambda: Path(sys.argv[1]), None), Holder()
try:
    locks.take(7, holder).send(None)
except StopIteration as done:
    print(done.value, flush=True)
sys.stdin.readline()
locks.let_go(7, holder)
print("free", flush=True)
sys.stdin.readline()
"""


class Process:
    """The locks of one process, with a clock of its own."""

    def __init__(self, path):
        self.clock = Clock()
        self.locks = MaildropLocks(lambda: path, lambda seconds: deferLater(self.clock, seconds))

    def take(self, account, holder):
        """What came of it; ``None`` while it waits."""
        outcome = []
        Deferred.fromCoroutine(self.locks.take(account, holder)).addCallback(outcome.append)
        return outcome


@pytest.fixture
def path(tmp_path):
    return tmp_path / "locks"


@pytest.fixture
def process(path):
    return Process(path)


@pytest.fixture
def other(path):
    """Another process, which has the maildrop of account 7."""
    with subprocess.Popen(
        [sys.executable, "-c", OTHER, path], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout.readline() == "True\n"
        yield program
        program.kill()


def test_the_second_waits_for_the_first(process):
    first, second = Holder(), Holder()
    assert process.take(1, first) == [True]
    turn = process.take(1, second)
    assert turn == []
    process.locks.let_go(1, first)
    assert turn == [True]


def test_accounts_do_not_wait_for_each_other(process):
    assert process.take(1, Holder()) == [True]
    assert process.take(2, Holder()) == [True]


def test_who_gives_up_waiting_is_passed_over(process):
    holders = [Holder() for _ in range(3)]
    turns = [process.take(1, holder) for holder in holders]
    process.locks.let_go(1, holders[1])
    assert turns[1] == [False]
    process.locks.let_go(1, holders[0])
    assert turns[2] == [True]
    process.locks.let_go(1, holders[2])
    assert process.take(1, Holder()) == [True]


def test_letting_go_of_what_one_does_not_hold_changes_nothing(process):
    process.take(1, Holder())
    process.locks.let_go(1, Holder())
    process.locks.let_go(2, Holder())
    assert process.take(1, Holder()) == []


def test_the_file_is_for_nobody_else(process, path):
    process.take(1, Holder())
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_maildrop_that_another_process_has_is_waited_for(process, other):
    assert process.take(8, Holder()) == [True]
    turn = process.take(7, Holder())
    process.clock.pump([0.1] * 5)
    assert turn == []
    print("go", file=other.stdin, flush=True)
    assert other.stdout.readline() == "free\n"
    process.clock.pump([0.1] * 2)
    assert turn == [True]


def test_who_gives_up_waiting_for_another_process_does_not_get_it_later(process, other):
    holder = Holder()
    turn = process.take(7, holder)
    process.locks.let_go(7, holder)
    process.clock.pump([0.1] * 2)
    assert turn == [False]
    next_one = process.take(7, Holder())
    assert next_one == []


def test_a_process_that_is_killed_holds_nothing_any_more(process, other):
    turn = process.take(7, Holder())
    assert turn == []
    os.kill(other.pid, signal.SIGKILL)
    other.wait()
    process.clock.pump([0.1] * 2)
    assert turn == [True]
