"""The tables of the ledger, version 1. docs/ledger.md explains every column."""

from __future__ import annotations

import sqlite3

from claudebatch.core.domain import BILLED_KINDS
from claudebatch.core.endings import ANSWER_ENDINGS
from claudebatch.storage.columns import (
    COUNTS,
    LEDGER_COLUMNS,
    Column,
    add_missing,
    defined,
    listed,
    missing,
)

VERSION = 1

SUMS = (
    *("attempts", "answers", "unknown_attempts", "unpriced"),
    *(column.name for column in COUNTS),
    *("spent", "unknown", "cached", "shared", "saved_cache"),
    *(end.label for end in ANSWER_ENDINGS),
)
"""The sums of the table `spend`, in its order."""

# Answers by how they ended; what they do not add up to was answered before that was
# noted.
_ADDED = {
    *(column.name for column in COUNTS if column.added),
    *(end.label for end in ANSWER_ENDINGS),
}
_SPEND = tuple(Column(name, "INTEGER", default=0, added=name in _ADDED) for name in SUMS)
RATES = tuple(
    Column(kind.rate_column, "INTEGER", default=0, added=kind.added) for kind in BILLED_KINDS
)
"""The price of each kind at the dearest model of a run, in the table `runs`."""
# The tables that have a column for every kind of token, or one that came later.
_GROWING = {
    "runs": RATES,
    "attempts": LEDGER_COLUMNS,
    "spend": _SPEND,
    "batches": (Column("address", "TEXT", default=""),),
}


def _whole(column: Column) -> str:
    # A sum that no longer fits into 64 bits (9.2 million dollars on one line) would
    # silently become a float: refused.
    return f"{column.definition} CHECK (typeof({column.name}) = 'integer')"


# Message batches of all runs: their journals are the truth. Other runs leave them
# alone, and how long they took is what is known of the next one.
BATCHES = """
CREATE TABLE IF NOT EXISTS batches (
  id TEXT PRIMARY KEY, run TEXT NOT NULL, batch INTEGER NOT NULL, requests INTEGER NOT NULL,
  created_ms INTEGER, expires_ms INTEGER, ended_ms INTEGER, collected INTEGER NOT NULL DEFAULT 0,
  address TEXT NOT NULL DEFAULT '')
"""

# WITHOUT ROWID: attempts lie in the order of runs, so that one run is read or deleted
# in one piece.
TABLES = f"""
CREATE TABLE runs (
  run TEXT PRIMARY KEY, output TEXT NOT NULL, folder TEXT NOT NULL DEFAULT '',
  input TEXT NOT NULL DEFAULT '', tag TEXT NOT NULL DEFAULT '', started TEXT NOT NULL,
  ended TEXT, rows INTEGER, succeeded INTEGER, failed INTEGER, exit_code INTEGER,
  price_version TEXT NOT NULL DEFAULT '', dearest TEXT NOT NULL DEFAULT '', {defined(RATES)});
CREATE TABLE attempts (
  run TEXT NOT NULL, {defined(LEDGER_COLUMNS)},
  PRIMARY KEY (run, attempt)) WITHOUT ROWID;
CREATE TABLE spend (
  run TEXT NOT NULL, day TEXT NOT NULL, model TEXT NOT NULL, rule TEXT NOT NULL,
  {", ".join(_whole(column) for column in _SPEND)},
  PRIMARY KEY (run, day, model, rule)) WITHOUT ROWID;
CREATE INDEX spend_day ON spend (day);
CREATE TABLE holds (
  run TEXT NOT NULL, day TEXT NOT NULL, {_whole(Column("amount", "INTEGER", default=0))},
  PRIMARY KEY (run, day)) WITHOUT ROWID;
CREATE INDEX holds_day ON holds (day);
{BATCHES}
"""

_NAMED_SUMS = ", ".join(f":{name}" for name in SUMS)
ADD_SUMS = (
    f"INSERT INTO spend (run, day, model, rule, {', '.join(SUMS)})"
    f" VALUES (:run, :day, :model, :rule, {_NAMED_SUMS})"
    f" ON CONFLICT DO UPDATE SET {', '.join(f'{name} = {name} + excluded.{name}' for name in SUMS)}"
)
ADD_ATTEMPT = (
    f"INSERT INTO attempts (run, {listed(LEDGER_COLUMNS)}) VALUES (?{', ?' * len(LEDGER_COLUMNS)})"
)
ADD_HOLD = (
    "INSERT INTO holds (run, day, amount) VALUES (?,?,?)"
    " ON CONFLICT DO UPDATE SET amount = amount + excluded.amount"
)
SET_HOLD = "INSERT OR REPLACE INTO holds (run, day, amount) VALUES (?,?,?)"
# Never below 0: money spent beyond the hold counts as spent all the same, and a
# negative hold would make room for it again.
TAKE_FROM_HOLD = "UPDATE holds SET amount = max(0, amount - ?) WHERE run = ? AND day = ?"
DROP_HOLDS = "DELETE FROM holds WHERE run = ?"


def complete(ledger: sqlite3.Connection) -> bool:
    """Whether no table of *ledger* is missing, and none lacks a column."""
    there = ledger.execute("SELECT 1 FROM sqlite_schema WHERE name = 'batches'").fetchone()
    return there is not None and not any(
        any(missing(ledger, table, columns)) for table, columns in _GROWING.items()
    )


def add_columns(ledger: sqlite3.Connection) -> None:
    """Add what *ledger* lacks: columns of kinds of tokens and of endings that are newer
    than it, and the table of batches.
    """
    ledger.execute(BATCHES)
    for table, columns in _GROWING.items():
        add_missing(ledger, table, columns)
