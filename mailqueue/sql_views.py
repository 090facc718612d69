"""Two views for those who ask the database themselves, ``mail_log`` and ``queue``: see ``docs/sql.md``.

The tables below may change with every version, the views do not. They are made anew after each ``migrate`` and are gone
while it runs: SQLite renames no table, and PostgreSQL changes no column, that a view stands on.
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import Any, Final

from django.db import connections, models, transaction
from django.db.migrations.executor import MigrationExecutor

from a3mailer_site.ids import ALPHABET
from mailqueue.models import Attempt, MessageTrace, Parked, QueuedMessage, QueueEntry

_NOW: Final = {"sqlite": "strftime('%Y-%m-%d %H:%M:%f', 'now')", "postgresql": "CURRENT_TIMESTAMP"}


def _table(model: type[models.Model]) -> str:
    return f'"{model._meta.db_table}"'


def _choices(column: str, choices: dict[Any, str]) -> str:
    cases = " ".join(f"WHEN {value!r} THEN {word!r}" for value, word in choices.items())
    return f"CASE {column} {cases} END"


def _queue_id(column: str) -> str:
    """Write an id as ``ids.to_text`` does."""
    return " || ".join(
        f"substr('{ALPHABET}', (({column} >> {shift}) & 31){{int}} + 1, 1)" for shift in range(60, -5, -5)
    )


_DIRECTIONS: Final = {"in": "received", "sub": "submitted", "int": "internal"}
# Names of tables are the models', and nothing else is put into the texts.
_LAST: Final = f"(SELECT max(a.id) FROM {_table(Attempt)} a WHERE a.message = t.message AND a.trace_id = t.id)"  # noqa: S608
_BECAUSE: Final = {Parked.NO.value: "", Parked.BUSY.value: "busy", Parked.PUT_OFF.value: "away or paused"}
_LEASED: Final = "e.lease_owner <> '' AND e.lease_until > {now}"

_VIEWS: Final = {
    "mail_log": f"""
        SELECT {_queue_id("t.message")} AS queue_id, t.at AS at, {_choices("t.direction", _DIRECTIONS)} AS direction,
            t.status AS status, t.sender AS sender, t.recipient AS recipient, t.message_id AS message_id,
            t.subject AS subject, t.size AS size, l.number AS attempts, l.at AS last_attempt_at, l.host AS host,
            l.address AS host_address, l.tls AS tls, l.code AS code, l.enhanced AS enhanced, l.reply AS reply
        FROM {_table(MessageTrace)} t LEFT JOIN {_table(Attempt)} l ON l.id = {_LAST}
    """,  # noqa: S608
    "queue": f"""
        SELECT {_queue_id("e.message_id")} AS queue_id, m.sender AS sender, e.recipient AS recipient,
            e.destination AS destination, e.return_path AS return_path,
            CASE WHEN e.state <> 'queued' THEN e.state WHEN {_LEASED} THEN 'active'
                WHEN e.attempts > 0 OR e.parked = {Parked.PUT_OFF.value} THEN 'deferred' ELSE 'queued' END AS state,
            {_choices("e.parked", _BECAUSE)} AS waits_because,
            e.hold_reason AS hold_reason, m.lane AS lane, e.attempts AS attempts, e.next_attempt_at AS next_attempt_at,
            e.last_reply AS last_reply, m.received_at AS received_at, m.release_at AS release_at,
            m.expires_at AS expires_at, m.size AS size
        FROM {_table(QueueEntry)} e JOIN {_table(QueuedMessage)} m ON m.id = e.message_id
    """,  # noqa: S608
}


def drop(using: str = "default", plan: Sequence[Any] = (), **_: Any) -> None:
    """Take the views away before tables change; ``plan`` says whether any do (signal ``pre_migrate``)."""
    if not plan:
        return
    with connections[using].cursor() as cursor:
        for name in _VIEWS:
            cursor.execute(f'DROP VIEW IF EXISTS "{name}"')


def create(using: str = "default", **_: Any) -> None:
    """Make the views, unless they are there already, or the database is not (signal ``post_migrate``)."""
    connection = connections[using]
    texts = {name: view(name, connection.vendor) for name in _VIEWS}
    marks = {name: sha256(text.encode()).hexdigest() for name, text in texts.items()}
    with connection.cursor() as cursor:
        wanted = [name for name in _VIEWS if _mark(cursor, connection.vendor, name) != marks[name]]
    if not wanted:
        return  # as after each ``flush``: what is below takes long
    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes("mailqueue")):
        return  # somebody has migrated to an earlier state
    with transaction.atomic(using=using), connection.cursor() as cursor:
        for name in wanted:
            cursor.execute(f'DROP VIEW IF EXISTS "{name}"')
            if connection.vendor == "postgresql":
                cursor.execute(f'CREATE VIEW "{name}" AS {texts[name]}')
                cursor.execute(f'COMMENT ON VIEW "{name}" IS %s', [marks[name]])
            else:
                cursor.execute(f'CREATE VIEW "{name}" AS {texts[name]} /* {marks[name]} */')


def view(name: str, vendor: str) -> str:
    """Return the query of a view."""
    text = _VIEWS[name].replace("{now}", _NOW[vendor])
    return text.replace("{int}", "::int" if vendor == "postgresql" else "")


def _mark(cursor: Any, vendor: str, name: str) -> str:
    """Return what tells the version of a view that is there; empty without one."""
    if vendor == "postgresql":
        cursor.execute("SELECT obj_description(to_regclass(%s))", [name])
        row = cursor.fetchone()
        return str(row[0] or "") if row else ""
    cursor.execute("SELECT sql FROM sqlite_master WHERE type = 'view' AND name = %s", [name])
    row = cursor.fetchone()
    return str(row[0]).rpartition("/* ")[2].removesuffix(" */") if row else ""
