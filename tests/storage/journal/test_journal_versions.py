"""A journal of the form before this one is carried on with; the spend ledger can be
rebuilt from it.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from claudebatch.storage.journal import open_journal
from claudebatch.storage.journal.queries import result_lines, totals
from claudebatch.storage.ledger import LedgerWriter, RunEntry, SpendReader
from tests.support.journals import NOON_MS

# As version 1 made it.
_VERSION_1 = f"""
CREATE TABLE rows (
  row INTEGER PRIMARY KEY, position INTEGER NOT NULL, id TEXT NOT NULL,
  own INTEGER NOT NULL, digest BLOB NOT NULL,
  lane TEXT NOT NULL, source INTEGER NOT NULL,
  line INTEGER NOT NULL, offset INTEGER NOT NULL, length INTEGER NOT NULL,
  model TEXT NOT NULL, rule TEXT NOT NULL, key BLOB NOT NULL, live INTEGER NOT NULL DEFAULT 1);
CREATE TABLE attempts (
  attempt INTEGER PRIMARY KEY, row INTEGER NOT NULL, model TEXT NOT NULL, worst INTEGER NOT NULL,
  sent_ms INTEGER NOT NULL, state INTEGER NOT NULL DEFAULT 0, cost INTEGER NOT NULL DEFAULT 0,
  cost_known INTEGER NOT NULL DEFAULT 1, input_tokens INTEGER, cache_write_tokens INTEGER,
  cache_read_tokens INTEGER,
  output_tokens INTEGER, latency_ms INTEGER, request_id TEXT, error TEXT, body BLOB,
  simulated INTEGER NOT NULL DEFAULT 0);
CREATE TABLE results (
  n INTEGER PRIMARY KEY, row INTEGER NOT NULL, ok INTEGER NOT NULL, head BLOB NOT NULL,
  attempt INTEGER, body BLOB);
CREATE INDEX results_row ON results(row, ok);
CREATE TABLE meta (key TEXT PRIMARY KEY, value);
INSERT INTO rows VALUES (1, 0, 'a', 1, x'00', 'l', 0, 1, 0, 9, 'claude-haiku-5-5', 'small', x'', 1);
INSERT INTO attempts VALUES
  (1, 1, 'claude-haiku-5-5', 100, {NOON_MS},
   2, 0, 1, 0, 0, 0, 0, 5, NULL, 'overloaded_error', NULL, 0),
  (2, 1, 'claude-haiku-5-5', 100, {NOON_MS}, 1, 7, 1, 1, 2, 3, 4, 50, 'req_1', NULL, x'7b7d', 0),
  (3, 1, 'claude-haiku-5-5', 100, {NOON_MS},
   3, 0, 1, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0);
INSERT INTO results (row, ok, head, attempt) VALUES (1, 1, CAST('{{"id":"a"' AS BLOB), 2);
PRAGMA user_version = 1;
"""


def test_a_journal_of_version_1_keeps_its_results_and_its_money(tmp_path: Path):
    path = tmp_path / "journal.sqlite"
    old = sqlite3.connect(path)
    old.executescript(_VERSION_1)
    old.close()
    journal = open_journal(path)
    sums = totals(journal)
    assert (sums.attempts, sums.spent, sums.unknown, sums.unknown_attempts) == (3, 7, 100, 1)
    assert list(result_lines(journal, ordered=False)) == [b'{"id":"a","message":{}}\n']
    ledger = tmp_path / "spend.sqlite"
    writer = LedgerWriter.open(ledger, RunEntry("r", "out.jsonl", "2026-11-22"))
    writer.rebuild(journal)
    writer.close()
    journal.close()
    open_journal(path).close()
    (line,) = SpendReader(ledger).by("route")
    assert (line.label, line.attempts, line.spent, line.unknown) == ("small", 3, 7, 100)
    assert (
        line.input_tokens,
        line.usage.cache_creation_input_tokens,
        line.usage.cache_read_input_tokens,
        line.output_tokens,
    ) == (1, 2, 3, 4)
    assert [day.label for day in SpendReader(ledger).by("day")] == ["2026-11-22"]
