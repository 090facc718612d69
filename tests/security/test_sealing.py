"""The hash chain: everything is sealed once, and whatever is changed afterwards shows."""

import io
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db.models import F

from security.audit import record
from security.models import AuditEntry
from security.sealing import BATCH, HeadLog, broken_links, head, seal

pytestmark = pytest.mark.django_db
SYSTEM = AuditEntry.EventType.SYSTEM


def entries(count):
    return [record(f"act{n}", SYSTEM, source_ip="192.0.2.1", metadata={"n": n, "ü": [1.5, None]}) for n in range(count)]


def test_all_entries_are_sealed_once_and_the_chain_goes_on():
    entries(3)
    assert seal() == 3
    first = head()
    assert seal() == 0
    assert head() == first
    entries(2)
    assert seal() == 2
    chain = list(AuditEntry.objects.order_by("seq").values_list("seq", "prev", "hash"))
    assert [seq for seq, _, _ in chain] == [1, 2, 3, 4, 5]
    assert [prev for _, prev, _ in chain] == ["", *(own for _, _, own in chain[:-1])]
    assert len({own for _, _, own in chain}) == 5
    assert list(broken_links()) == []


def test_more_than_a_batch_is_sealed_at_once():
    AuditEntry.objects.bulk_create(AuditEntry(event_type=SYSTEM, action="x") for _ in range(2 * BATCH + 1))
    assert seal() == 2 * BATCH + 1
    assert head()[0] == 2 * BATCH + 1
    assert list(broken_links()) == []


@pytest.mark.parametrize(
    "change",
    [
        {"metadata": {"n": 2}},
        {"action": "another"},
        {"user_id": "user_1"},
        {"source_ip": "192.0.2.2"},
        {"source_ip": None},
        {"outcome": "failure"},
        {"severity": "critical"},
        {"event_type": "network"},
        {"request_id": "req_1"},
        {"at": F("at") + timedelta(seconds=1)},
        {"hash": "0" * 64},
        {"prev": "0" * 64},
    ],
)
def test_a_change_shows(change):
    entries(3)
    seal()
    AuditEntry.objects.filter(seq=2).update(**change)
    assert 2 in list(broken_links())
    with pytest.raises(CommandError, match="broken at 2"):
        call_command("verifyaudit")


def test_a_gap_and_an_exchange_show():
    one, two, three = entries(3)
    seal()
    AuditEntry.objects.filter(pk=two.pk).delete()
    assert list(broken_links()) == [3]
    AuditEntry.objects.filter(pk=one.pk).update(seq=None)
    AuditEntry.objects.filter(pk=three.pk).update(seq=1)
    assert list(broken_links()) == [1]


def test_a_tail_that_is_cut_off_shows_in_the_log(monkeypatch):
    told = []
    monkeypatch.setattr("security.sealing.log.info", lambda _event, **facts: told.append(facts), raising=False)
    heads = HeadLog()
    entries(2)
    seal()
    heads.tell()
    heads.tell()
    assert told == [{"seq": 2, "hash": head()[1]}]
    AuditEntry.objects.filter(seq=2).delete()
    assert head() != (told[0]["seq"], told[0]["hash"])


def test_the_command_says_in_one_line_that_all_is_well():
    entries(2)
    seal()
    entries(1)
    out = io.StringIO()
    call_command("verifyaudit", stdout=out)
    assert out.getvalue() == f"verifyaudit: 2 entries hold, 1 not sealed yet, newest hash {head()[1]}\n"
