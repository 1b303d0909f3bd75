"""The tables of the ledger, version 1. docs/ledger.md tells what every column means."""

from __future__ import annotations

VERSION = 1

# A sum that no longer fits into 64 bits (9.2 million dollars on one line) would
# silently become a float: refused.
_WHOLE = "INTEGER NOT NULL DEFAULT 0 CHECK (typeof({0}) = 'integer')"

TABLES = f"""
CREATE TABLE runs (
  run TEXT PRIMARY KEY, output TEXT NOT NULL, folder TEXT NOT NULL DEFAULT '', input TEXT NOT NULL DEFAULT '',
  tag TEXT NOT NULL DEFAULT '', started TEXT NOT NULL, ended TEXT, rows INTEGER, succeeded INTEGER, failed INTEGER,
  exit_code INTEGER, price_version TEXT NOT NULL DEFAULT '', dearest TEXT NOT NULL DEFAULT '',
  dearest_input INTEGER NOT NULL DEFAULT 0, dearest_write_5m INTEGER NOT NULL DEFAULT 0,
  dearest_write_1h INTEGER NOT NULL DEFAULT 0, dearest_read INTEGER NOT NULL DEFAULT 0,
  dearest_output INTEGER NOT NULL DEFAULT 0, dearest_search INTEGER NOT NULL DEFAULT 0);
CREATE TABLE attempts (
  run TEXT NOT NULL, attempt INTEGER NOT NULL, row INTEGER NOT NULL, id TEXT NOT NULL, day TEXT NOT NULL,
  sent_ms INTEGER NOT NULL, model TEXT NOT NULL, rule TEXT NOT NULL, tier TEXT, input_tokens INTEGER NOT NULL,
  cache_write_5m_tokens INTEGER NOT NULL, cache_write_1h_tokens INTEGER NOT NULL, cache_read_tokens INTEGER NOT NULL,
  output_tokens INTEGER NOT NULL, web_searches INTEGER NOT NULL, geo TEXT, speed TEXT, price_version TEXT NOT NULL,
  cost INTEGER NOT NULL, cost_known INTEGER NOT NULL, worst INTEGER NOT NULL, state INTEGER NOT NULL, request_id TEXT,
  error TEXT, status INTEGER, latency_ms INTEGER NOT NULL, input_estimate INTEGER NOT NULL,
  output_estimate INTEGER NOT NULL, output_bound INTEGER NOT NULL,
  PRIMARY KEY (run, attempt)) WITHOUT ROWID;
CREATE TABLE spend (
  run TEXT NOT NULL, day TEXT NOT NULL, model TEXT NOT NULL, rule TEXT NOT NULL,
  attempts {_WHOLE.format("attempts")}, answers {_WHOLE.format("answers")},
  unknown_attempts {_WHOLE.format("unknown_attempts")}, unpriced {_WHOLE.format("unpriced")},
  input_tokens {_WHOLE.format("input_tokens")}, cache_write_5m_tokens {_WHOLE.format("cache_write_5m_tokens")},
  cache_write_1h_tokens {_WHOLE.format("cache_write_1h_tokens")},
  cache_read_tokens {_WHOLE.format("cache_read_tokens")}, output_tokens {_WHOLE.format("output_tokens")},
  web_searches {_WHOLE.format("web_searches")}, spent {_WHOLE.format("spent")}, unknown {_WHOLE.format("unknown")},
  cached {_WHOLE.format("cached")}, shared {_WHOLE.format("shared")}, saved_cache {_WHOLE.format("saved_cache")},
  PRIMARY KEY (run, day, model, rule)) WITHOUT ROWID;
CREATE INDEX spend_day ON spend (day);
CREATE TABLE holds (
  run TEXT NOT NULL, day TEXT NOT NULL, amount {_WHOLE.format("amount")}, PRIMARY KEY (run, day)) WITHOUT ROWID;
CREATE INDEX holds_day ON holds (day);
"""

SUMS = (
    "attempts",
    "answers",
    "unknown_attempts",
    "unpriced",
    "input_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "cache_read_tokens",
    "output_tokens",
    "web_searches",
    "spent",
    "unknown",
    "cached",
    "shared",
    "saved_cache",
)
"""The sums of the table `spend`, in its order."""

ATTEMPT = (
    "attempt",
    "row",
    "id",
    "day",
    "sent_ms",
    "model",
    "rule",
    "tier",
    "input_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "cache_read_tokens",
    "output_tokens",
    "web_searches",
    "geo",
    "speed",
    "price_version",
    "cost",
    "cost_known",
    "worst",
    "state",
    "request_id",
    "error",
    "status",
    "latency_ms",
    "input_estimate",
    "output_estimate",
    "output_bound",
)
"""The columns of the table `attempts` after `run`, in its order."""

ADD_SUMS = (
    f"INSERT INTO spend (run, day, model, rule, {', '.join(SUMS)}) VALUES "
    f"(?,?,?,?{',?' * len(SUMS)})"
    f" ON CONFLICT DO UPDATE SET {', '.join(f'{name} = {name} + excluded.{name}' for name in SUMS)}"
)
ADD_ATTEMPT = f"INSERT INTO attempts (run, {', '.join(ATTEMPT)}) VALUES (?{',?' * len(ATTEMPT)})"
ADD_HOLD = "INSERT INTO holds (run, day, amount) VALUES (?,?,?) ON CONFLICT DO UPDATE SET amount = amount + excluded.amount"
SET_HOLD = "INSERT OR REPLACE INTO holds (run, day, amount) VALUES (?,?,?)"
# Never below nothing: what was spent beyond the hold counts all the same.
TAKE_FROM_HOLD = "UPDATE holds SET amount = max(0, amount - ?) WHERE run = ? AND day = ?"
DROP_HOLDS = "DELETE FROM holds WHERE run = ?"
