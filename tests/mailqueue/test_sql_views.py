"""The views for those who ask the database themselves."""

import re
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from a3mailer_site.ids import to_text
from mailcore.delivery import claims
from mailqueue import interventions, sql_views
from mailqueue.models import QueueEntry
from queued import accept, attempt

pytestmark = pytest.mark.django_db


def rows(query):
    with connection.cursor() as cursor:
        cursor.execute(query)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def test_the_log_has_each_recipient_with_what_came_of_the_last_attempt():
    message = accept("bob@far.test", "amy@far.test", sender="me@example.com")
    attempt("deferred", "450 4.2.0 Not yet")
    found = rows("SELECT * FROM mail_log WHERE recipient = 'bob@far.test'")
    assert len(found) == 1
    row = found[0]
    assert (row["queue_id"], row["direction"], row["status"]) == (to_text(message), "submitted", "deferred")
    assert (row["sender"], row["subject"], row["attempts"]) == ("me@example.com", "hello", 1)
    assert (row["host"], row["code"], row["enhanced"], row["reply"]) == ("mx.far.test", 450, "4.2.0", "Not yet")
    attempt("sent", "250 2.0.0 Ok", now=timezone.now() + timedelta(days=1))
    (row,) = rows("SELECT * FROM mail_log WHERE recipient = 'amy@far.test'")
    assert (row["status"], row["attempts"], row["reply"]) == ("sent", 2, "Ok")
    assert rows("SELECT * FROM queue") == []


def test_what_was_never_tried_is_in_the_log_too():
    accept("bob@far.test")
    (row,) = rows("SELECT * FROM mail_log")
    assert (row["status"], row["attempts"], row["reply"]) == ("queued", None, None)


def test_the_queue_says_how_it_stands_as_the_api_does():
    message = accept("bob@far.test", sender="me@example.com")
    (row,) = rows("SELECT * FROM queue")
    assert (row["queue_id"], row["recipient"], row["state"], row["waits_because"]) == (
        to_text(message), "bob@far.test", "queued", "",
    )  # fmt: skip
    assert (row["destination"], row["lane"], row["attempts"]) == ("far.test", "outgoing", 0)
    now = timezone.now() + timedelta(seconds=1)
    claims.claim("one", now, 10)
    assert [row["state"] for row in rows("SELECT * FROM queue")] == ["active"]
    claims.shut("one", list(QueueEntry.objects.values_list("pk", flat=True)), ["far.test"], "421 Away", now)
    (row,) = rows("SELECT * FROM queue")
    assert (row["state"], row["waits_because"]) == ("deferred", "away or paused")
    interventions.hold(QueueEntry.objects.all(), now, "me")
    (row,) = rows("SELECT * FROM queue")
    assert (row["state"], row["hold_reason"]) == ("held", "by:me")


def test_nobody_writes_through_them():
    accept("bob@far.test")
    with pytest.raises(Exception, match=r"view|cannot"), connection.cursor() as cursor:
        cursor.execute("DELETE FROM queue")


def test_every_column_is_in_the_manual_and_nothing_else():
    text = (Path(settings.BASE_DIR) / "docs" / "sql.md").read_text(encoding="utf-8")
    for name in ("mail_log", "queue"):
        section = text.partition(f"## `{name}`")[2].partition("\n## ")[0]
        told = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT * FROM {name} LIMIT 0")
            assert told == [column[0] for column in cursor.description]


@pytest.mark.django_db(transaction=True)
def test_they_are_gone_while_tables_change_and_there_again_afterwards():
    sql_views.drop(plan=[("something", False)])
    with connection.cursor() as cursor:
        there = {table.name for table in connection.introspection.get_table_list(cursor)}
    assert not there & {"mail_log", "queue"}
    call_command("migrate", verbosity=0)
    assert rows("SELECT * FROM queue") == []
    call_command("migrate", verbosity=0)  # nothing changes: they stay
    assert rows("SELECT * FROM mail_log") == []


@pytest.mark.parametrize("query", ["SELECT * FROM mail_log WHERE recipient = 'x@y.test'"])
def test_asking_by_recipient_reads_no_whole_table(query):
    if connection.vendor != "sqlite":
        pytest.skip("the plan is told in other words elsewhere")
    steps = [row["detail"] for row in rows(f"EXPLAIN QUERY PLAN {query}")]
    assert not [step for step in steps if step.startswith("SCAN")], steps
