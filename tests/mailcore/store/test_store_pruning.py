"""Bodies that nothing refers to: what goes, and what must stay."""

import threading
import time
from io import StringIO
from pathlib import Path

import pytest
from django.core.files.storage import storages
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from mailcore.store import mailboxes, pruning
from mailcore.store.changes import Copy, Expunge
from mailcore.store.commit import run
from mailcore.store.models import Message, Structure
from mailcore.store.prepared import prepare
from mailcore.store.pruning import GRACE, prune
from mailqueue.bodies import ROW_LIMIT, file_name, read_body
from mailqueue.models import Body, QueuedMessage
from tests.mailcore.store.samples import append, message

pytestmark = pytest.mark.django_db

LARGE = b"x" * ROW_LIMIT


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch):
    monkeypatch.setattr(pruning, "PAUSE", 0)


def later():
    return time.time() + GRACE + 1


def exists(body):
    return storages["bodies"].exists(file_name(body))


def test_what_something_refers_to_stays(user, inbox):
    append(user, inbox, message(), message(body=LARGE))
    run(Copy(user, inbox, [1, 2], mailboxes.find(user, "Sent"), move=True))
    content = prepare(message())
    queued = Body.objects.create(id=content.body_id, size=content.size, data=content.data)
    QueuedMessage.objects.create(body=queued, size=content.size, expires_at=timezone.now())
    assert prune(later()) == (0, 0, 0)
    assert Body.objects.count() == 3
    assert all(read_body(row.body_id) for row in Message.objects.all())


def test_what_nothing_refers_to_goes_with_its_structure_and_file(user, inbox):
    contents = [message(), message(body=LARGE), message()]
    append(user, inbox, *contents)
    _, large, kept = Message.objects.order_by("uid").values_list("body_id", flat=True)
    run(Expunge(user, inbox, [1, 2], flagged_only=False))
    assert exists(large)
    size = len(contents[0]) + len(contents[1])
    assert prune(later(), dry_run=True) == (2, size, 0)
    assert Body.objects.count() == 3
    assert exists(large)
    assert prune(later()) == (2, size, 0)
    assert list(Body.objects.values_list("id", flat=True)) == [kept]
    assert list(Structure.objects.values_list("body_id", flat=True)) == [kept]
    assert not exists(large)
    assert prune(later()) == (0, 0, 0)


def test_nothing_younger_than_an_hour_is_touched(user, inbox):
    append(user, inbox, message(body=LARGE))
    orphan = prepare(message(body=LARGE))
    run(Expunge(user, inbox, [1], flagged_only=False))
    assert prune(time.time() + GRACE - 60) == (0, 0, 0)
    assert Body.objects.count() == 1
    assert exists(orphan.body_id)


def test_files_without_a_body_go_and_strange_names_stay(user, inbox):
    append(user, inbox, message(body=LARGE))
    kept = Message.objects.get().body_id
    orphan = prepare(message(body=LARGE)).body_id
    strange = Path(storages["bodies"].path(file_name(orphan))).parent / "README"
    strange.write_text("not ours")
    assert prune(later(), dry_run=True).orphans == 1
    assert exists(orphan)
    assert prune(later()).orphans == 1
    assert not exists(orphan)
    assert exists(kept)
    assert strange.exists()


def test_a_body_that_is_wanted_again_in_between_stays(user, inbox):
    append(user, inbox, message())
    body = Message.objects.get().body_id
    run(Expunge(user, inbox, [1], flagged_only=False))
    found = pruning._unwanted([body])
    assert [each.id for each in found] == [body]
    Message.objects.create(
        mailbox_id=inbox, uid=50, body_id=body, modseq=1, internal_date=0, saved_at=0, size=found[0].size
    )
    assert pruning._delete([body]) == []
    assert Body.objects.filter(pk=body).exists()


def test_many_are_deleted_in_small_transactions(user, inbox, monkeypatch):
    monkeypatch.setattr(pruning, "PAGE", 4)
    monkeypatch.setattr(pruning, "BATCH", 2)
    append(user, inbox, *[message() for _ in range(11)])
    run(Expunge(user, inbox, range(1, 11), flagged_only=False))
    assert prune(later()).bodies == 10
    assert Body.objects.count() == 1


def test_the_command_says_in_one_line_what_it_did(user, inbox, monkeypatch):
    append(user, inbox, message())
    run(Expunge(user, inbox, [1], flagged_only=False))
    monkeypatch.setattr(pruning, "GRACE", -1)
    size = Body.objects.get().size
    for arguments, tail in (["--dry-run"], " (dry run)"), ([], ""):
        said = StringIO()
        call_command("prunebodies", *arguments, stdout=said)
        assert said.getvalue() == f"prunebodies: 1 bodies ({size} bytes) and 0 orphaned files deleted{tail}\n"


@pytest.mark.django_db(transaction=True)
def test_the_command_beside_itself_deletes_each_body_once_and_then_none(monkeypatch, user, inbox):
    monkeypatch.setattr(pruning, "GRACE", -1)
    append(user, inbox, *[message(body=LARGE) for _ in range(3)], *[message() for _ in range(21)])
    run(Expunge(user, inbox, range(1, 24), flagged_only=False))
    kept = Message.objects.get().body_id
    said, failures = [], []

    def work():
        out = StringIO()
        try:
            call_command("prunebodies", stdout=out)
        except Exception as error:
            failures.append(error)
        finally:
            connection.close()
        said.append(out.getvalue())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sum(int(text.split()[1]) for text in said) == 23
    assert Body.objects.get().pk == kept
    out = StringIO()
    call_command("prunebodies", stdout=out)
    assert out.getvalue() == "prunebodies: 0 bodies (0 bytes) and 0 orphaned files deleted\n"
