"""A server that is brought up to date counts what is in its queue already."""

from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.utils import timezone

from mailqueue.counts import check, counts
from mailqueue.models import QueuedMessage
from queued import in_the_queue

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def before():
    """The tables as they were; afterwards they are as they are now, and empty."""
    call_command("migrate", "mailqueue", "0001_initial", verbosity=0)
    yield MigrationLoader(connection).project_state([("mailqueue", "0001_initial")]).apps
    call_command("migrate", verbosity=0)
    call_command("flush", interactive=False, verbosity=0)


def test_what_is_in_the_queue_is_counted(before):
    now = timezone.now()
    queue = [
        ("a@example.com", [("queued", 0)]),
        ("a@example.com", [("queued", 3)]),
        ("a@example.com", [("held", 0)]),
        ("a@example.com", [("queued", 1), ("failed", 1), ("queued", 0)]),
        ("", [("queued", 0)]),
        ("", [("queued", 2)]),
    ]
    for number, (sender, entries) in enumerate(queue, 1):
        before.get_model("mailqueue", "Body").objects.create(id=number, size=1, data=b"x")
        before.get_model("mailqueue", "QueuedMessage").objects.create(
            id=number, body_id=number, sender=sender, size=1, expires_at=now + timedelta(days=1)
        )
        for place, (state, attempts) in enumerate(entries):
            before.get_model("mailqueue", "QueueEntry").objects.create(
                id=number * 10 + place,
                message_id=number,
                trace_id=1,
                recipient="x@far.test",
                destination="far.test",
                state=state,
                attempts=attempts,
            )
    call_command("migrate", verbosity=0)
    assert QueuedMessage.objects.count() == len(queue)
    found = counts()
    assert found == in_the_queue()
    lanes = {name: found[name] for name in ("incoming", "outgoing", "retry", "bounce", "bounced")}
    assert lanes == {"incoming": 0, "outgoing": 2, "retry": 2, "bounce": 2, "bounced": 1}
    assert check(dry_run=True) == (len(queue), 0, {})
