"""Purging the audit log: what is left can be verified, and no change is hidden by it."""

import io
import threading
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from security import sealing
from security.audit import record
from security.models import AuditCheckpoint, AuditEntry
from security.sealing import beginning, broken_links, head, last_before, purge_some, seal

SYSTEM = AuditEntry.EventType.SYSTEM
NOW = timezone.now()
OLD = NOW - timedelta(days=400)


def entries(count, at):
    """Sealed entries of that time."""
    AuditEntry.objects.bulk_create(AuditEntry(event_type=SYSTEM, action=f"a{n}", at=at) for n in range(count))
    seal()


def run(name, *arguments):
    out = io.StringIO()
    call_command(name, *arguments, stdout=out)
    return out.getvalue().strip()


@pytest.mark.django_db
class TestAlone:
    def test_what_is_old_goes_and_the_rest_is_verified(self):
        entries(1203, OLD)
        entries(5, NOW)
        before = head()
        assert run("purgeaudit", "--dry-run") == "purgeaudit: 1203 deleted (dry run)"
        assert AuditEntry.objects.count() == 1208
        assert run("purgeaudit") == "purgeaudit: 1203 deleted"
        assert AuditEntry.objects.filter(seq__isnull=False).count() == 5
        assert head() == before
        assert beginning()[0] == 1203
        assert list(broken_links()) == []
        seal()
        assert run("verifyaudit").startswith("verifyaudit: 6 entries hold, 1203 purged, 0 not sealed yet, newest hash ")
        # A second time there is nothing to do, and nothing to write down.
        assert run("purgeaudit") == "purgeaudit: 0 deleted"
        assert AuditEntry.objects.filter(action="audit_log_purged").count() == 1
        assert AuditEntry.objects.get(action="audit_log_purged").metadata["seq"] == 1203

    def test_the_chain_goes_on_after_everything_is_gone(self):
        entries(3, OLD)
        last = head()
        assert run("purgeaudit") == "purgeaudit: 3 deleted"
        AuditEntry.objects.all().delete()  # the note about it, not sealed yet
        assert head() == last
        entries(2, NOW)
        assert list(AuditEntry.objects.order_by("seq").values_list("seq", flat=True)) == [4, 5]
        assert list(broken_links()) == []

    def test_many_purges_leave_one_checkpoint(self):
        for days in (420, 410, 400):
            entries(3, NOW - timedelta(days=days))
            assert run("purgeaudit").startswith("purgeaudit: ")
        assert AuditCheckpoint.objects.count() == 1
        assert list(broken_links()) == []

    def test_an_old_entry_behind_a_new_one_stays(self):
        """It was sealed late: the chain is cut in one place only."""
        entries(2, OLD)
        entries(1, NOW)
        entries(1, OLD)
        assert last_before(NOW - timedelta(days=1)) == 2
        assert run("purgeaudit") == "purgeaudit: 2 deleted"
        assert list(broken_links()) == []

    def test_what_is_not_sealed_is_not_purged(self):
        record("x", SYSTEM)
        AuditEntry.objects.update(at=OLD)
        assert run("purgeaudit") == "purgeaudit: 0 deleted"
        assert AuditEntry.objects.count() == 1

    @pytest.mark.parametrize("change", ["change", "remove", "insert"])
    def test_a_purge_does_not_hide_what_was_done_to_the_log(self, change):
        entries(10, OLD)
        entries(1, NOW)
        if change == "change":
            AuditEntry.objects.filter(seq=5).update(action="y")
        elif change == "remove":
            AuditEntry.objects.filter(seq=5).delete()
        else:
            AuditEntry.objects.filter(seq=5).update(seq=None)
            AuditEntry.objects.create(event_type=SYSTEM, action="y", at=OLD, seq=5)
        with pytest.raises(CommandError, match=r"broken at [56]"):
            run("purgeaudit")
        assert not AuditCheckpoint.objects.exists()
        assert AuditEntry.objects.filter(seq=1).exists()

    @pytest.mark.parametrize(
        "forge",
        [
            lambda: AuditCheckpoint.objects.all().delete(),
            lambda: AuditCheckpoint.objects.update(seq=4),
            lambda: AuditCheckpoint.objects.update(hash="0" * 64),
            lambda: AuditCheckpoint.objects.update(purged_at=NOW - timedelta(days=1)),
            lambda: AuditCheckpoint.objects.create(seq=9, hash="0" * 64, purged_at=NOW, seal="0" * 64),
            lambda: AuditEntry.objects.filter(seq=4).delete(),
            lambda: AuditEntry.objects.filter(seq=5).delete(),
            lambda: AuditEntry.objects.filter(seq=5).update(action="y"),
            lambda: AuditEntry.objects.create(event_type=SYSTEM, action="y", seq=2),
            lambda: AuditEntry.objects.create(event_type=SYSTEM, action="y", seq=0),
            lambda: AuditEntry.objects.create(event_type=SYSTEM, action="y", seq=-1),
            lambda: AuditEntry.objects.create(event_type=SYSTEM, action="y", seq=8),
        ],
    )
    def test_whatever_is_done_after_a_purge_shows(self, forge):
        entries(3, OLD)
        entries(4, NOW)
        run("purgeaudit")
        AuditEntry.objects.filter(seq__isnull=True).delete()
        assert run("verifyaudit").startswith("verifyaudit: 4 entries hold")
        forge()
        with pytest.raises(CommandError, match="verifyaudit: "):
            run("verifyaudit")

    def test_an_older_checkpoint_put_back_shows(self):
        entries(3, OLD)
        entries(3, OLD + timedelta(days=10))
        entries(1, NOW)
        purge_some(3)
        older = AuditCheckpoint.objects.get()
        purge_some(6)
        AuditCheckpoint.objects.all().delete()
        older.save(force_insert=True)
        with pytest.raises(CommandError, match="broken at 7"):
            run("verifyaudit")

    def test_a_purge_that_goes_past_a_reader_does_not_look_like_a_gap(self, monkeypatch):
        entries(30, OLD)
        entries(5, NOW)
        monkeypatch.setattr(sealing, "BATCH", 10)
        read = sealing._sealed_from
        purged = []

        def purge_meanwhile(seq, count=10):
            if seq == 11 and not purged:
                purged.append(purge_some(25))
            return read(seq, count)

        monkeypatch.setattr(sealing, "_sealed_from", purge_meanwhile)
        assert list(broken_links()) == []
        assert purged == [25]


@pytest.mark.django_db
def test_what_is_sealed_while_somebody_looks_what_is_old_is_not_old(monkeypatch):
    entries(3, OLD)
    real = sealing.head

    def head_and_somebody_seals():
        monkeypatch.setattr(sealing, "head", real)
        record("x", SYSTEM)
        seal()
        return real()

    monkeypatch.setattr(sealing, "head", head_and_somebody_seals)
    assert sealing.last_before(NOW - timedelta(days=365)) == 3


@pytest.mark.django_db(transaction=True)
def test_beside_itself_beside_the_sealer_and_beside_a_reader_nothing_breaks():
    entries(2500, OLD)
    broken, failures = [], []

    def in_thread(work):
        def guarded():
            try:
                work()
            except Exception as error:
                failures.append(error)
            finally:
                connection.close()

        return threading.Thread(target=guarded)

    def write_and_seal():
        for _ in range(20):
            record("x", SYSTEM)
            seal()

    threads = [in_thread(lambda: run("purgeaudit")) for _ in range(2)]
    threads += [in_thread(lambda: [broken.extend(broken_links()) for _ in range(5)])]
    threads += [in_thread(write_and_seal)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert broken == []
    seal()
    assert AuditEntry.objects.filter(at__lt=NOW - timedelta(days=365)).count() == 0
    assert run("verifyaudit").startswith("verifyaudit: ")
    notes = AuditEntry.objects.filter(action="audit_log_purged")
    assert sum(note.metadata["deleted"] for note in notes) == 2500
