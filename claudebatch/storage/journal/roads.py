"""How each row of a session is sent: at once, or with a message batch.

In temporary tables, beside the rows: the next session decides anew. Equal requests
always go the same way, or both would be paid for.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping

from claudebatch.core.domain import Via

_TABLES = (
    "CREATE TEMP TABLE default_road (live INTEGER NOT NULL, shares INTEGER NOT NULL)",
    "CREATE TEMP TABLE rule_roads (rule TEXT PRIMARY KEY, live INTEGER NOT NULL)",
    "CREATE TEMP TABLE live_rows (row INTEGER PRIMARY KEY)",
    # The keys of requests that are in a batch now, or about to be.
    "CREATE TEMP TABLE leads (key BLOB PRIMARY KEY) WITHOUT ROWID",
)
_IN_BATCHES = (
    "INSERT OR IGNORE INTO temp.leads SELECT r.key FROM attempts a JOIN rows r ON r.row = a.row"
    " WHERE a.batch > 0 AND a.state = 6 AND length(r.key) > 0"
)
_TAKE_EQUALS = (
    "INSERT OR IGNORE INTO temp.live_rows SELECT row FROM rows WHERE key IN"
    " (SELECT q.key FROM rows q WHERE length(q.key) > 0 AND {which})"
)
_OF_LIVE_RULES = (
    "coalesce((SELECT live FROM temp.rule_roads t WHERE t.rule = q.rule),"
    " (SELECT live FROM temp.default_road))"
)
_SHARES = "SELECT 1 FROM temp.default_road WHERE shares"


def set_roads(
    journal: sqlite3.Connection, via: Via, *, of_rules: Mapping[str, Via], share: bool
) -> None:
    """Every row is sent *via* that way, but for those whose model was chosen by one of
    *of_rules*. *share*: equal requests share one answer.
    """
    for statement in _TABLES:
        journal.execute(statement)
    journal.execute("INSERT INTO temp.default_road VALUES (?, ?)", (via == "live", share))
    journal.executemany(
        "INSERT INTO temp.rule_roads VALUES (?, ?)",
        ((rule, of_rules[rule] == "live") for rule in of_rules),
    )
    # Without sharing, every row is asked: no key leads others.
    if share:
        journal.execute("CREATE INDEX IF NOT EXISTS rows_key ON rows(key)")
        journal.execute(_IN_BATCHES)
        if of_rules:
            _take_equals(journal, _OF_LIVE_RULES)


def go_live(journal: sqlite3.Connection, rows: Iterable[int]) -> None:
    """*rows* are sent at once, and those that ask for the same."""
    numbers = [(row,) for row in rows]
    journal.executemany("INSERT OR IGNORE INTO temp.live_rows VALUES (?)", numbers)
    # Else an equal row would go out with a batch, and be paid for beside this one.
    if numbers and shares(journal):
        _take_equals(journal, "q.row IN (SELECT row FROM temp.live_rows)")


def lead(journal: sqlite3.Connection, keys: Iterable[bytes]) -> None:
    """Requests with *keys* are on their way: equal ones wait for their answers."""
    if shares(journal):
        journal.executemany(
            "INSERT OR IGNORE INTO temp.leads VALUES (?)", ((key,) for key in keys if key)
        )


def lead_no_more(journal: sqlite3.Connection, keys: Iterable[bytes]) -> None:
    """Requests with *keys* have come back."""
    journal.executemany("DELETE FROM temp.leads WHERE key = ?", ((key,) for key in keys))


def shares(journal: sqlite3.Connection) -> bool:
    """Whether equal requests share one answer."""
    return journal.execute(_SHARES).fetchone() is not None


def _take_equals(journal: sqlite3.Connection, which: str) -> None:
    journal.execute(_TAKE_EQUALS.format(which=which))
