"""Chosen entries of the response cache, deleted in small transactions: an interruption
leaves each entry whole or gone.
"""

from __future__ import annotations

import sqlite3

from claudebatch.core.reports import CacheGroup
from claudebatch.layers.response_cache.about_tables import trim
from claudebatch.layers.response_cache.entries import CacheReader, EntryFilter
from claudebatch.layers.response_cache.nearest import PRUNED

# A run at work waits for the lock meanwhile.
_AT_ONCE = 500


def to_prune(cache: CacheReader, wanted: EntryFilter, *, now: float) -> tuple[CacheGroup, ...]:
    """The entries that `prune` would delete, by model. `saved` of a group is the price
    of asking for all of them again.
    """
    where, values = wanted.sql(now)
    rows = cache.connection.execute(
        "SELECT coalesce((SELECT text FROM AboutName WHERE id = model), '(damaged)'), n, size,"
        " hits, price FROM (SELECT a.model AS model, count(*) AS n, sum(a.size) AS size,"
        f" sum(a.hits) AS hits, total(a.worth) AS price FROM About a WHERE {where}"
        " GROUP BY a.model) ORDER BY n DESC, 1",
        values,
    )
    return tuple(
        CacheGroup(label, entries, size or 0, hits, int(price))
        for label, entries, size, hits, price in rows
    )


def prune(cache: CacheReader, wanted: EntryFilter, *, now: float) -> int:
    """Delete the entries that are *wanted*; returns how many there were. Raises
    `sqlite3.Error`; what was deleted before stays deleted.
    """
    where, values = wanted.sql(now)
    query = f"SELECT a.entry FROM About a WHERE {where} AND a.entry > ? ORDER BY a.entry LIMIT ?"
    last, deleted = 0, 0
    while True:
        connection = cache.connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            # Under the lock: an answer that a run has renewed meanwhile is not chosen.
            chosen = [row[0] for row in connection.execute(query, (*values, last, _AT_ONCE))]
            files = delete(connection, chosen, cause=PRUNED)
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        # Only now: before the commit, others would find the entry and no file.
        for file in files:
            cache.cache.disk.remove(file)
        # Else a million that go would leave a million words about them.
        trim(connection)
        deleted += len(chosen)
        if len(chosen) < _AT_ONCE:
            return deleted
        last = chosen[-1]


def delete(connection: sqlite3.Connection, entries: list[int], *, cause: str) -> list[str]:
    """Delete *entries* within a transaction; returns their files, which go after it.
    *cause* is remembered.
    """
    files = []
    # One by one: the number of values in a statement is limited, and each has its file.
    for entry in entries:
        row = connection.execute(
            "SELECT key, filename FROM Cache WHERE rowid = ?", (entry,)
        ).fetchone()
        connection.execute("DELETE FROM Cache WHERE rowid = ?", (entry,))
        if row is None:
            continue
        connection.execute("UPDATE AboutGone SET why = ? WHERE key = ?", (cause, row[0]))
        if isinstance(row[1], str):
            files.append(row[1])
    return files
