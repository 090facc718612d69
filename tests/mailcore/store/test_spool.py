"""Spools: memory first, then a file; one budget for all."""

import pytest

from mailcore.message.envelope import BodyRefusedError
from mailcore.store import spool as module
from mailcore.store.spool import MEMORY_LIMIT, Budget, Spool


@pytest.fixture(autouse=True)
def fresh_budget(monkeypatch):
    monkeypatch.setattr(module, "budget", Budget())


@pytest.mark.parametrize("pieces", [[b"abc"], [b"a" * 1000] * 300, [b"x" * (MEMORY_LIMIT + 1)], []])
def test_what_goes_in_comes_out(pieces):
    spool = Spool()
    for piece in pieces:
        spool.write(piece)
    assert spool.read() == b"".join(pieces)
    assert spool.read() == b"".join(pieces)  # again: reading has its own position
    assert spool.size == sum(map(len, pieces))
    assert spool.in_memory == (spool.size <= MEMORY_LIMIT)
    spool.abandon()


def test_the_budget_is_shared_and_given_back_once(monkeypatch):
    monkeypatch.setattr(module, "current", type("Env", (), {"spool_budget": 10}))
    first, second = Spool(), Spool()
    first.write(b"x" * 8)
    with pytest.raises(BodyRefusedError) as refused:
        second.write(b"x" * 3)
    assert refused.value.reply.code == 452
    first.abandon()
    first.abandon()
    assert module.budget.used == 0
    second.write(b"x" * 10)


def test_a_full_disk_is_a_refusal(monkeypatch):
    class Full:
        def write(self, data):
            raise OSError(28, "No space left on device")

        def close(self):
            pass

    monkeypatch.setattr(module.tempfile, "TemporaryFile", lambda **_: Full())
    spool = Spool()
    with pytest.raises(BodyRefusedError):
        spool.write(b"x" * (MEMORY_LIMIT + 1))
    spool.abandon()
    assert module.budget.used == 0
