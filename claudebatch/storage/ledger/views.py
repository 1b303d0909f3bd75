"""The documented views, for sqlite3 or datasette: dollars instead of pico-dollars,
moments as text.

docs/ledger.md lists their columns. Dollars are floats there, good for looking at; exact
sums are those of the tables.
"""

from __future__ import annotations

from claudebatch.core.endings import ANSWER_ENDINGS
from claudebatch.storage.columns import COUNTS, listed
from claudebatch.storage.ledger.tables import SUMS

# `total` and not `sum`: it never fails for large sums, and dollars are floats here
# anyway.
_USD = "/ 1000000000000.0"
_STATE = (
    "CASE a.state WHEN 1 THEN 'answered' WHEN 2 THEN 'failed' WHEN 3 THEN 'unknown'"
    " WHEN 4 THEN 'partial' WHEN 5 THEN 'settled' ELSE 'sent' END"
)
_WHENS = " ".join(f"WHEN {int(end)} THEN {end.label!r}" for end in ANSWER_ENDINGS)
_ENDING = f"CASE a.ending {_WHENS} END"
_COUNTED = listed(COUNTS, "a.")
_SUMS = f"""
  sum(s.attempts) AS attempts, sum(s.answers) AS answers,
  {", ".join(f"sum(s.{column.name}) AS {column.name}" for column in COUNTS)},
  total(s.spent) {_USD} AS dollars, total(s.unknown) {_USD} AS unknown_dollars,
  sum(s.unknown_attempts) AS unknown_attempts, sum(s.cached) AS cached_rows,
  sum(s.shared) AS shared_rows, total(s.saved_cache) {_USD} AS saved_by_cache_dollars,
  {", ".join(f"sum(s.{end.label}) AS {end.label}_answers" for end in ANSWER_ENDINGS)}"""
# Holds are lines as well: otherwise a run would be in no view before its first answer.
_AND_HELD = (
    f"(SELECT run, day, {', '.join(SUMS)}, 0 AS held FROM spend UNION ALL"
    f" SELECT run, day, {'0, ' * len(SUMS)}amount FROM holds WHERE amount <> 0) s"
)
_HELD = f"total(s.held) {_USD} AS held_dollars"

_TEXT = f"""
CREATE VIEW v_attempts AS SELECT
  a.run, r.tag, a.attempt, a.id AS row_id, a.day,
  strftime('%Y-%m-%dT%H:%M:%fZ', a.sent_ms / 1000.0, 'unixepoch') AS sent_at,
  a.model, a.rule AS route, a.tier, {_STATE} AS state, {_COUNTED}, a.geo, a.speed,
  CASE WHEN a.cost_known THEN a.cost {_USD} END AS dollars, a.worst {_USD} AS worst_dollars,
  a.price_version, a.latency_ms / 1000.0 AS seconds, a.status, a.error, a.request_id,
  {_ENDING} AS ending
FROM attempts a LEFT JOIN runs r ON r.run = a.run;
CREATE VIEW v_unknown AS SELECT
  run, tag, attempt, row_id, sent_at, model, error, status, request_id, worst_dollars
FROM v_attempts WHERE state = 'unknown';
CREATE VIEW v_spend_by_run AS SELECT
  s.run, r.tag, r.output, r.started, r.ended, r.rows, r.succeeded, r.failed, r.exit_code,
  {_SUMS}, {_HELD}
FROM {_AND_HELD} LEFT JOIN runs r ON r.run = s.run GROUP BY s.run;
CREATE VIEW v_spend_by_day AS SELECT s.day,{_SUMS}, {_HELD} FROM {_AND_HELD} GROUP BY s.day;
CREATE VIEW v_spend_by_model AS SELECT s.model,{_SUMS} FROM spend s GROUP BY s.model;
CREATE VIEW v_spend_by_route AS SELECT s.rule AS route, s.model,{_SUMS}
FROM spend s GROUP BY s.rule, s.model;
CREATE VIEW v_spend_by_tag AS SELECT coalesce(r.tag, '') AS tag,{_SUMS}
FROM spend s LEFT JOIN runs r ON r.run = s.run GROUP BY coalesce(r.tag, '');
CREATE VIEW v_holds AS SELECT h.run, r.output, h.day, h.amount {_USD} AS dollars
FROM holds h LEFT JOIN runs r ON r.run = h.run
"""

VIEWS = {statement.split()[2]: statement.strip() for statement in _TEXT.split(";")}
"""Name → what makes it, as SQLite keeps it: where a file has another text, its views
are made anew.
"""
