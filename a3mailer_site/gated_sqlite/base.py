"""Django's SQLite backend, with every write behind the fair write gate of ``gate.py``.

Transactions (``atomic()``, always ``BEGIN IMMEDIATE``) take the gate before they begin and leave it after COMMIT or
ROLLBACK; single statements that write outside a transaction take it for as long as they run. Reads outside a
transaction never wait: the database is in WAL mode. Nothing slow belongs inside ``atomic()``.
"""

import contextlib
import os
import sqlite3
from collections.abc import Iterable
from typing import Any, cast

from django.db.backends.sqlite3 import base

from a3mailer_site.gated_sqlite.gate import WriteGate

# Seconds that a writer waits for the others before it gives up with "database is locked".
GATE_WAIT = 5.0
_WRITES = ("INSERT", "UPDATE", "DELETE", "REPLACE")


class GatedCursor(base.SQLiteCursorWrapper):
    """A cursor that takes the gate for single writing statements outside a transaction."""

    gate: WriteGate | None = None

    def _gated(self, query: str) -> bool:
        return (
            self.gate is not None
            and not self.gate.held
            and not self.connection.in_transaction
            and query.lstrip()[:7].upper().startswith(_WRITES)
        )

    def execute(self, query: str, params: Any = None) -> Any:
        """Execute one statement; a writing one outside a transaction runs behind the gate."""
        if self.gate is None or not self._gated(query):
            return super().execute(query, params)
        self.gate.acquire()
        try:
            return super().execute(query, params)
        finally:
            self.gate.release()

    def executemany(self, query: str, param_list: Iterable[Any]) -> Any:
        """Execute a statement for each row; outside a transaction all of them are one transaction."""
        if self.gate is None or not self._gated(query):
            return super().executemany(query, param_list)
        self.gate.acquire()
        try:
            super().execute("BEGIN IMMEDIATE")
            try:
                result = super().executemany(query, param_list)
            except BaseException:
                self.connection.rollback()
                raise
            self.connection.commit()
            return result
        finally:
            self.gate.release()


def _make_private(path: str) -> None:
    """Make a new database file that only its owner can read; SQLite gives its log the same mode."""
    with contextlib.suppress(OSError):  # it is there already; what else is wrong SQLite says better
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


class DatabaseWrapper(base.DatabaseWrapper):
    """Connections to the one SQLite file of this server."""

    _gate: WriteGate | None = None

    def get_new_connection(self, conn_params: dict[str, Any]) -> sqlite3.Connection:
        """Open the file, and the gate beside it (databases in memory have one user and need none)."""
        if not self.is_in_memory_db():
            _make_private(str(self.settings_dict["NAME"]))
        connection = cast("sqlite3.Connection", super().get_new_connection(conn_params))
        if not self.is_in_memory_db():
            self._close_gate()
            self._gate = WriteGate(str(self.settings_dict["NAME"]), GATE_WAIT)
        return connection

    def create_cursor(self, name: str | None = None) -> GatedCursor:  # noqa: ARG002 - Django passes it
        """Give a cursor that knows the gate."""
        cursor = self.connection.cursor(factory=GatedCursor)
        cursor.gate = self._gate
        return cast("GatedCursor", cursor)

    def _start_transaction_under_autocommit(self) -> None:
        if self._gate is None:
            super()._start_transaction_under_autocommit()  # type: ignore[misc]
            return
        with self.wrap_database_errors:
            self._gate.acquire()
        try:
            super()._start_transaction_under_autocommit()  # type: ignore[misc]
        except BaseException:
            self._gate.release()
            raise

    def _commit(self) -> None:
        # A COMMIT that fails keeps the gate: Django rolls back next, and that leaves it.
        super()._commit()  # type: ignore[misc] # the stubs leave it out, like the two below
        if self._gate is not None:
            self._gate.release()

    def _rollback(self) -> None:
        try:
            super()._rollback()  # type: ignore[misc]
        finally:
            if self._gate is not None:
                self._gate.release()

    def _close(self) -> None:
        try:
            super()._close()  # type: ignore[misc]
        finally:
            self._close_gate()

    def _close_gate(self) -> None:
        gate, self._gate = self._gate, None
        if gate is not None:
            gate.close()
