"""A second attempt log: a SQLite file behind a round trip, shared by any number of
users.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from claudebatch.core.domain import Call, Pico, Reply
from claudebatch.core.errors import StopRun
from tests.support.round_trip import RoundTrip

_SCHEMA = """
CREATE TABLE IF NOT EXISTS attempts (
    attempt INTEGER PRIMARY KEY AUTOINCREMENT, row INTEGER, worst INTEGER,
    state TEXT DEFAULT 'sent', cost INTEGER DEFAULT 0, error TEXT);
"""


class SqliteLog:
    """One user of the log at *path*."""

    def __init__(self, path: Path, *, one_way_s: float = 0.0) -> None:
        self.trips = RoundTrip(one_way_s)
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.executescript(_SCHEMA)

    async def begin(self, call: Call, worst: Pico) -> int:
        """Write an attempt down; called off, it is not there."""
        return await self.trips.ask(
            lambda: self._insert(call, worst),
            undo=lambda attempt: self._run("DELETE FROM attempts WHERE attempt = ?", attempt),
        )

    async def answered(self, attempt: int, reply: Reply) -> None:
        """Write its answer down."""
        await self.trips.ask(
            lambda: self._run(
                "UPDATE attempts SET state = 'answered', cost = ?"
                " WHERE attempt = ? AND state = 'sent'",
                reply.cost,
                attempt,
            )
        )

    async def failed(
        self,
        attempt: int,
        error: str,
        *,
        unknown: bool,
        status: int | None = None,
        request_id: str | None = None,
        simulated: bool = False,
    ) -> None:
        """Write its failure down."""
        await self.trips.ask(
            lambda: self._run(
                "UPDATE attempts SET state = ?, error = ? WHERE attempt = ? AND state = 'sent'",
                "unknown" if unknown else "failed",
                error,
                attempt,
            )
        )

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def _insert(self, call: Call, worst: Pico) -> int:
        attempt = self._run("INSERT INTO attempts (row, worst) VALUES (?, ?)", call.row, worst)
        assert attempt is not None
        return attempt

    def _run(self, sql: str, *values: object) -> int | None:
        try:
            return self._db.execute(sql, values).lastrowid
        except sqlite3.Error as error:
            raise StopRun("E000", f"the log of attempts cannot be reached: {error}") from error
