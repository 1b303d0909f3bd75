"""The rows that are still to be sent, by the beginnings of their requests."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

# A temporary table lies on disk: a million rows that have little in common take no
# memory.
_TABLES = (
    "DROP TABLE IF EXISTS temp.row_groups",
    "CREATE TEMP TABLE row_groups (chain BLOB PRIMARY KEY, rows INTEGER, first INTEGER,"
    " last INTEGER, beginning BLOB, sort BLOB) WITHOUT ROWID",
)
# Sorted as the table is: rows that come in its order are appended.
_GROUP = (
    "INSERT INTO temp.row_groups SELECT r.chain, {count}, min(r.position), max(r.position), NULL,"
    " NULL FROM rows r WHERE length(r.chain) > 0 AND {which} GROUP BY r.chain ORDER BY r.chain"
)
_DIFFERENT = "count(DISTINCT CASE WHEN length(r.key) > 0 THEN r.key ELSE r.row END)"


class ChainGroup(NamedTuple):
    """Rows with the same beginnings."""

    chain: bytes
    rows: int
    first: int
    """The place in the input of the first of them."""
    last: int


def group_rows(
    connection: sqlite3.Connection, which: str, values: Mapping[str, Any], *, alike_once: bool
) -> None:
    """Put the rows for which the condition *which*, a constant of this package, holds
    with its *values*, into `temp.row_groups`. *alike_once*: of equal requests one
    counts.
    """
    for statement in _TABLES:
        connection.execute(statement)
    count = _DIFFERENT if alike_once else "count(*)"
    connection.execute(_GROUP.format(count=count, which=which), values)


def row_groups(connection: sqlite3.Connection) -> Iterator[ChainGroup]:
    """The groups, in the order of their chains."""
    query = "SELECT chain, rows, first, last FROM temp.row_groups ORDER BY chain"
    return map(ChainGroup._make, connection.execute(query))


def name_groups(connection: sqlite3.Connection, kept: Callable[[bytes], bytes]) -> None:
    """Note for each chain the digests of the beginnings that are kept, as *kept* tells
    them, in `sort`, and the last of them in `beginning`; NULL where there is none.
    """
    connection.create_function("kept", 1, kept, deterministic=True)
    connection.execute(
        "UPDATE temp.row_groups SET sort = nullif(kept(chain), x''),"
        " beginning = nullif(substr(kept(chain), -8), x'')"
    )


# Rows of one beginning that are less than two rows apart are together already.
_LEVELS = 4
_LEVEL_BYTES = 8
_APART = (
    "EXISTS (SELECT 1 FROM temp.row_groups WHERE sort IS NOT NULL GROUP BY {shared}"
    " HAVING max(last) - min(first) + 1 >= 2 * sum(rows) AND sum(rows) > 1)"
)
_SCATTERED = (
    f"SELECT {_APART.format(shared='beginning')}"
    f" OR {_APART.format(shared=f'substr(sort, 1, {_LEVEL_BYTES})')}"
)
_FIRSTS = ", ".join(
    f"min(first) OVER (PARTITION BY substr(sort, 1, {_LEVEL_BYTES * level})) AS first_{level}"
    for level in range(1, _LEVELS + 1)
)
_RANKS = (
    "DROP TABLE IF EXISTS temp.group_ranks",
    "DROP TABLE IF EXISTS temp.row_order",
    f"CREATE TEMP TABLE group_ranks AS SELECT chain, {_FIRSTS} FROM temp.row_groups"
    " WHERE sort IS NOT NULL",
    "CREATE UNIQUE INDEX temp.group_ranks_chain ON group_ranks(chain)",
    "CREATE TEMP TABLE row_order (turn INTEGER PRIMARY KEY, row INTEGER NOT NULL UNIQUE)",
)
# A row that shares nothing stands where it stands in the input, among the beginnings by
# the first rows of these.
_BY_RANK = ", ".join(f"coalesce(k.first_{level}, r.position)" for level in range(1, _LEVELS + 1))
_ORDER = (
    "INSERT INTO temp.row_order (row) SELECT r.row FROM rows r"
    " LEFT JOIN temp.group_ranks k ON k.chain = r.chain WHERE {which}"
    f" ORDER BY {_BY_RANK}, r.position"
)


def order_rows(connection: sqlite3.Connection, which: str, values: Mapping[str, Any]) -> bool:
    """Put rows of one beginning next to each other in `temp.row_order`, beginnings in
    the order of their first rows; *which* and *values* as in `group_rows`. False where
    `temp.row_groups` shows that they are together as they are: then there is no such
    table.
    """
    (scattered,) = connection.execute(_SCATTERED).fetchone()
    if not scattered:
        return False
    for statement in _RANKS:
        connection.execute(statement)
    connection.execute(_ORDER.format(which=which), values)
    connection.execute("DROP TABLE temp.group_ranks")
    return True
