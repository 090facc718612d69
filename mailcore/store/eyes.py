"""The eyes of a process on what others commit: one thread that looks at the database and rings the doorbells.

SQLite: ``PRAGMA data_version`` every 10 ms, which costs 3 µs and changes with every commit of another connection;
only then are new ``MailboxChange`` rows read. It sees management commands, and loses nothing over a restart.
PostgreSQL: one connection that listens. When it breaks, notices may have been lost, so afterwards every bell rings.
Both look at the generations, so that caches forget.
"""

import threading
from collections.abc import Callable
from typing import Any

import structlog
from django.db import Error, connection

from a3mailer_site import generations
from a3mailer_site.figures import figures
from a3mailer_site.models import Generation
from mailcore.store.batch import CHANNEL, Change
from mailcore.store.models import MailboxChange
from mailcore.store.notices import Doorbells

log = structlog.get_logger("mailcore.store.eyes")

LOOK_EVERY = 0.01  # seconds; SQLite
LISTEN_FOR = 0.25  # seconds; PostgreSQL's notices wake us, and generations are looked at this often all the same
AGAIN_AFTER = 0.5  # seconds; after the database has failed
READ_AT_ONCE = 1000

# Doorbells older than this have been heard by everybody, or by nobody any more.
KEEP_CHANGES = 60  # seconds


class Eyes:
    """The thread. ``start`` it once the database answers; ``stop`` ends it within a look."""

    def __init__(self, doorbells: Doorbells) -> None:
        self._doorbells = doorbells
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._live, name="eyes", daemon=True)

    def start(self) -> None:
        """Start looking."""
        self._thread.start()

    def stop(self, patience: float = 2.0) -> None:
        """Stop looking."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(patience)

    def _live(self) -> None:
        watch = self._listen if connection.vendor == "postgresql" else self._look
        while not self._stopping.is_set():
            try:
                watch()
            except Exception as error:
                # Whatever it was, the process must not go blind.
                figures.count("eyes.failed")
                if isinstance(error, Error):
                    log.warning("eyes.database", reason=str(error))
                else:
                    log.exception("eyes.failed")
            finally:
                self._doorbells.stop_looking()
                connection.close()
            self._stopping.wait(AGAIN_AFTER)

    def _look(self) -> None:
        connection.ensure_connection()
        with connection.wrap_database_errors:
            # Past Django's cursor: it would take longer than SQLite, and our own commits wake us too.
            ask = connection.connection.execute
            last = ask(_LAST_CHANGE).fetchone()[0]
            version = None
            self._look_at_generations()
            self._doorbells.start_looking()
            while not self._stopping.wait(LOOK_EVERY):
                now = ask("PRAGMA data_version").fetchone()[0]
                if now != version:
                    version = now
                    last = self._read_changes(ask, last)

    def _read_changes(self, ask: Callable[..., Any], last: int) -> int:
        while True:
            newest, count, changes, generations = ask(_NEWS, (last, READ_AT_ONCE)).fetchone()
            if count:
                last = newest
                self._doorbells.ring(_parse(changes))
            if count < READ_AT_ONCE:
                self._doorbells.generations(_parse_generations(generations or ""))
                return last

    def _listen(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"LISTEN {CHANNEL}")
            cursor.execute(f"LISTEN {generations.CHANNEL}")
        # No ``start_looking``: a session at another mail process may expect to see at once what was answered here.
        self._look_at_generations()
        self._doorbells.ring_all()
        while not self._stopping.is_set():
            for notice in connection.connection.notifies(timeout=LISTEN_FOR, stop_after=1):
                # That of a generation has no payload: what is new is looked up below.
                self._doorbells.ring(_parse(notice.payload))
            self._look_at_generations()

    def _look_at_generations(self) -> None:
        self._doorbells.generations(Generation.objects.values_list("name", "value"))


_LAST_CHANGE = f'SELECT COALESCE(MAX(id), 0) FROM "{MailboxChange._meta.db_table}"'  # noqa: S608 - the model's name
# One row, however much is new: each row of an answer gives the interpreter lock away and asks for it again.
_NEWS = f"""
SELECT MAX(id), COUNT(*), group_concat(mailbox_id || ':' || modseq || ':' || owner_id, ' '),
(SELECT group_concat(name || ':' || value, ' ') FROM "{Generation._meta.db_table}")
FROM (SELECT id, mailbox_id, modseq, owner_id FROM "{MailboxChange._meta.db_table}" WHERE id > ? ORDER BY id LIMIT ?)
"""  # noqa: S608


def _parse(payload: str) -> list[Change]:
    changes: list[Change] = []
    for change in payload.split():
        mailbox, modseq, owner = map(int, change.split(":"))
        changes.append(Change(mailbox, modseq, owner))
    return changes


def _parse_generations(text: str) -> list[tuple[str, int]]:
    return [(name, int(value)) for name, _, value in (pair.rpartition(":") for pair in text.split(" ") if pair)]


def forget_changes(now: float) -> int:
    """Delete doorbell rows older than a minute, at most 1,000 of them; returns how many. ``now`` in seconds."""
    old = MailboxChange.objects.filter(at__lt=int(now) - KEEP_CHANGES).order_by("id")[:READ_AT_ONCE]
    ids = list(old.values_list("id", flat=True))
    if not ids:
        return 0
    # Rows were written in the order of their ids.
    return MailboxChange.objects.filter(id__lte=ids[-1]).delete()[0]
