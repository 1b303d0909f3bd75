"""The machine-wide spend ledger: what every run has spent, by run, day and model.

A small second file beside the journals: every attempt adds its worst case before it is sent and its exact cost
after. It can be rebuilt from a run's journal at any time, and is, whenever that run is opened again; until then a
dead run's holds stay in it, so it may count too much and never too little. A rollback journal, not WAL: several
runs write it at once, which SQLite before 3.51.3 does not survive in WAL mode.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Literal

from claudebatch.domain import Pico
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
SELECT date(sent_ms / 1000, 'unixepoch') AS day, model, count(*), sum(real AND state = :answered),
  coalesce(sum(real * input_tokens), 0), coalesce(sum(real * cache_write_tokens), 0),
  coalesce(sum(real * cache_read_tokens), 0), coalesce(sum(real * output_tokens), 0), sum(real * cost),
  sum(CASE WHEN state IN (:sent, :unknown) THEN worst ELSE 0 END)
FROM (SELECT *, NOT simulated AS real FROM attempts) GROUP BY day, model
"""


# A hold is written this many times as large as it must be: the next holds then need no write of their own. While a
# run goes on the ledger shows that much more as held; when it ends, or is opened again, nothing of it is left.
_AHEAD = 4


class SpendLedger:
    """One run's pen in the machine-wide ledger.

    Holds are written ahead, in larger sums than are needed at once, and settlements are gathered until the next
    write: what is written as held is never less than what is in flight.
    """

    def __init__(self, connection: sqlite3.Connection, run_id: str) -> None:
        self._connection = connection
        self._run_id = run_id
        # Mutable, touched by the journal's thread only. By (day, model): what is written as held, what is held for
        # attempts in flight or unknown, what has become free since the last write, and what the next write adds.
        self._written: defaultdict[tuple[str, str], Pico] = defaultdict(int)
        self._needed: defaultdict[tuple[str, str], Pico] = defaultdict(int)
        self._freed: defaultdict[tuple[str, str], Pico] = defaultdict(int)
        self._unwritten: defaultdict[tuple[str, str], list[int]] = defaultdict(lambda: [0] * (len(_COLUMNS) - 1))

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
        """Hear of *outcomes*, and make sure that the holds of *intents* are durable before they are sent."""
        for intent in intents:
            key = _day(intent.sent_ms), intent.model
            self._unwritten[key][0] += 1
            self._needed[key] += intent.worst
        for outcome in outcomes:
            key = _day(outcome.sent_ms), outcome.model
            freed = _settle(self._unwritten[key], outcome)
            self._needed[key] -= freed
            self._freed[key] += freed
        # A hold that is free again stands for its cost until that is written.
        short = [key for key, needed in self._needed.items() if needed + self._freed[key] > self._written[key]]
        if short:
            self._write({key: self._needed[key] * _AHEAD for key in short})

    def close(self) -> None:
        """Write what is left, hold only what is unknown, and close the file."""
        self._write(dict(self._needed))
        self._connection.close()

    def _write(self, held: Mapping[tuple[str, str], Pico]) -> None:
        keys = {*held, *self._unwritten}
        lines = []
        for key in keys:
            target = held.get(key, self._written[key])
            lines.append((self._run_id, *key, *self._unwritten[key], target - self._written[key]))
        self._change(lines, clear=False)
        # Only now: after a write that failed, the ledger must not take for written what is not.
        self._written.update({key: held[key] for key in held})
        self._unwritten.clear()
        self._freed.clear()

    def _change(self, lines: Iterable[tuple[object, ...]], *, clear: bool) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            if clear:
                self._connection.execute("DELETE FROM spend WHERE run = ?", (self._run_id,))
            self._connection.executemany(_ADD, lines)
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:  # SQLite itself rolls back when the disk is full
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


def _settle(line: list[int], outcome: Outcome) -> Pico:
    """Add what *outcome* cost to *line*; returns how much of its hold is free again."""
    if outcome.state == State.UNKNOWN:
        return 0
    if outcome.simulated:
        return outcome.worst
    line[1] += outcome.state == State.ANSWERED
    line[2] += outcome.input_tokens
    line[3] += outcome.cache_write_tokens
    line[4] += outcome.cache_read_tokens
    line[5] += outcome.output_tokens
    line[6] += outcome.cost
    return outcome.worst


def _day(sent_ms: int) -> str:
    return datetime.fromtimestamp(sent_ms // 1000, UTC).date().isoformat()
