"""The machine-wide spend ledger: what every run has spent, by run, day and model.

A small second file beside the journals: every attempt adds its worst case before it is sent and its exact cost
after. It can be rebuilt from a run's journal at any time, and is, whenever that run is opened again; until then a
dead run's holds stay in it, so it may count too much and never too little. A rollback journal, not WAL: several
runs write it at once, which SQLite before 3.51.3 does not survive in WAL mode.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Literal

from claudebatch.errors import StorageError
from claudebatch.reports import SpendLine
from claudebatch.stores.files import private_dir, private_file
from claudebatch.stores.journal.records import Intent, Outcome
from claudebatch.stores.journal.schema import State

_BUSY_S = 30.0
_TABLES = """
CREATE TABLE IF NOT EXISTS runs (run TEXT PRIMARY KEY, output TEXT NOT NULL, started TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS spend (
  run TEXT NOT NULL, day TEXT NOT NULL, model TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
  answers INTEGER NOT NULL DEFAULT 0, input_tokens INTEGER NOT NULL DEFAULT 0,
  cache_write_tokens INTEGER NOT NULL DEFAULT 0, cache_read_tokens INTEGER NOT NULL DEFAULT 0,
  output_tokens INTEGER NOT NULL DEFAULT 0, spent INTEGER NOT NULL DEFAULT 0, held INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (run, day, model)) WITHOUT ROWID;
"""
_COLUMNS = (
    "attempts", "answers", "input_tokens", "cache_write_tokens", "cache_read_tokens", "output_tokens", "spent", "held",
)  # fmt: skip
_ADD = (
    f"INSERT INTO spend (run, day, model, {', '.join(_COLUMNS)}) VALUES (?,?,?,?,?,?,?,?,?,?,?)"  # constants
    f" ON CONFLICT DO UPDATE SET {', '.join(f'{c} = {c} + excluded.{c}' for c in _COLUMNS)}"
)
_REBUILD = """
SELECT date(sent_ms / 1000, 'unixepoch') AS day, model, count(*), sum(state = :answered),
  coalesce(sum(input_tokens), 0), coalesce(sum(cache_write_tokens), 0), coalesce(sum(cache_read_tokens), 0),
  coalesce(sum(output_tokens), 0), sum(cost), sum(CASE WHEN state IN (:sent, :unknown) THEN worst ELSE 0 END)
FROM attempts GROUP BY day, model
"""


class SpendLedger:
    """One run's pen in the machine-wide ledger."""

    def __init__(self, connection: sqlite3.Connection, run_id: str) -> None:
        self._connection = connection
        self._run_id = run_id

    @classmethod
    def open(cls, path: Path, *, run_id: str, output: str, started: datetime) -> SpendLedger:
        """The ledger at *path*, with this run entered; raises `StorageError`."""
        private_dir(path.parent)
        private_file(path)
        try:
            connection = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
            connection.executescript(f"PRAGMA journal_mode=PERSIST; PRAGMA synchronous=FULL; {_TABLES}")
            connection.execute(
                "INSERT OR IGNORE INTO runs VALUES (?,?,?)", (run_id, output, started.isoformat(timespec="seconds"))
            )
        except sqlite3.Error as error:
            raise StorageError(
                f"{path}: the spend ledger cannot be opened: {error}", fix="move the file away; resumed runs rebuild it"
            ) from error
        return cls(connection, run_id)

    def rebuild(self, journal: sqlite3.Connection) -> None:
        """Replace what the ledger says of this run by what its journal says."""
        states = {"answered": State.ANSWERED, "sent": State.SENT, "unknown": State.UNKNOWN}
        found = journal.execute(_REBUILD, states).fetchall()
        self._change([(self._run_id, *row) for row in found], clear=True)

    def apply(self, intents: Sequence[Intent], outcomes: Sequence[Outcome]) -> None:
        """Add the holds of *intents* and turn those of *outcomes* into what they cost, in one durable step."""
        added: defaultdict[tuple[str, str], list[int]] = defaultdict(lambda: [0] * len(_COLUMNS))
        for intent in intents:
            line = added[_day(intent.sent_ms), intent.model]
            line[0] += 1
            line[7] += intent.worst
        for outcome in outcomes:
            _settle(added[_day(outcome.sent_ms), outcome.model], outcome)
        self._change([(self._run_id, *key, *line) for key, line in added.items()], clear=False)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _change(self, lines: Iterable[tuple[object, ...]], *, clear: bool) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            if clear:
                self._connection.execute("DELETE FROM spend WHERE run = ?", (self._run_id,))
            self._connection.executemany(_ADD, lines)
            self._connection.execute("COMMIT")
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise


class SpendReader:
    """The ledger, read only."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def by(self, what: Literal["run", "model", "day"], *, since: date | None = None) -> list[SpendLine]:
        """Spend by *what*, oldest first; days are UTC. Nothing where there is no ledger yet."""
        if not self._path.exists():
            return []
        sums = ", ".join(f"sum({column})" for column in _COLUMNS)
        label, note = ("s.run", "min(r.started) || ' ' || min(r.output)") if what == "run" else (f"s.{what}", "''")
        query = (
            f"SELECT {label}, {sums}, {note} FROM spend s LEFT JOIN runs r ON r.run = s.run"  # constants
            f" WHERE s.day >= ? GROUP BY {label} ORDER BY min(coalesce(r.started, s.day)), {label}"
        )
        try:
            connection = sqlite3.connect(f"{self._path.absolute().as_uri()}?mode=ro", uri=True, timeout=_BUSY_S)
            try:
                found = connection.execute(query, (since.isoformat() if since else "",)).fetchall()
            finally:
                connection.close()
        except sqlite3.Error as error:
            raise StorageError(f"{self._path}: the spend ledger cannot be read: {error}", fix="see docs") from error
        return [SpendLine(*row) for row in found]


def _settle(line: list[int], outcome: Outcome) -> None:
    if outcome.state == State.UNKNOWN:
        return  # the hold stays
    line[7] -= outcome.worst
    if outcome.simulated:
        return
    line[1] += outcome.state == State.ANSWERED
    line[2] += outcome.input_tokens
    line[3] += outcome.cache_write_tokens
    line[4] += outcome.cache_read_tokens
    line[5] += outcome.output_tokens
    line[6] += outcome.cost


def _day(sent_ms: int) -> str:
    return datetime.fromtimestamp(sent_ms // 1000, UTC).date().isoformat()
