"""The rows of a scan that a session takes: those of some ids, some by chance, or the
first ones.
"""

from __future__ import annotations

import sqlite3
from hashlib import sha256
from typing import NamedTuple

from claudebatch.storage.journal.row_records import RowChoice


class Drawn(NamedTuple):
    """What a choice was made from."""

    rows: int = 0
    requests: int = 0
    """Different requests among these rows."""
    unknown_ids: tuple[str, ...] = ()


def draw(connection: sqlite3.Connection, choice: RowChoice) -> Drawn:
    """Leave the chosen rows in the table `temp.scan`, numbered from 0 on, in the order
    that they had. `temp.drawn` keeps the position that each had.
    """
    unknown = _keep_ids(connection, choice.ids) if choice.ids else ()
    rows = requests = 0
    if choice.sample is not None:
        rows, requests = connection.execute(
            "SELECT count(*), count(DISTINCT key) FROM temp.scan"
        ).fetchone()
        _keep_sample(connection, choice.sample, choice.seed)
    if choice.limit is not None:
        _keep(connection, "SELECT position FROM temp.scan ORDER BY position LIMIT ?", choice.limit)
    _number(connection)
    return Drawn(rows, requests, unknown)


def _keep_ids(connection: sqlite3.Connection, ids: tuple[str, ...]) -> tuple[str, ...]:
    connection.execute("CREATE TEMP TABLE wanted (id TEXT PRIMARY KEY) WITHOUT ROWID")
    connection.executemany(
        "INSERT OR IGNORE INTO temp.wanted VALUES (?)", ((name,) for name in ids)
    )
    unknown = connection.execute(
        "SELECT id FROM temp.wanted WHERE id NOT IN (SELECT id FROM temp.scan) ORDER BY id"
    ).fetchall()
    connection.execute("DELETE FROM temp.scan WHERE id NOT IN (SELECT id FROM temp.wanted)")
    connection.execute("DROP TABLE temp.wanted")
    return tuple(name for (name,) in unknown)


def _keep_sample(connection: sqlite3.Connection, most: int, seed: int) -> None:
    """Keep the *most* rows with the lowest lots.

    A row's lot depends on its id and the seed alone. So the rows are the same ones
    again, a larger sample holds the smaller one, and rows that are added to the file
    change the sample only where they are drawn.
    """
    start = sha256(f"{seed}\0".encode())

    def lot(id: str) -> bytes:
        digest = start.copy()
        digest.update(id.encode())
        return digest.digest()

    connection.create_function("lot", 1, lot, deterministic=True)
    _keep(connection, "SELECT position FROM temp.scan ORDER BY lot(id) LIMIT ?", most)


def _keep(connection: sqlite3.Connection, positions: str, most: int) -> None:
    connection.execute(f"DELETE FROM temp.scan WHERE position NOT IN ({positions})", (most,))


def _number(connection: sqlite3.Connection) -> None:
    connection.execute("DROP TABLE IF EXISTS temp.drawn")
    connection.execute(
        "CREATE TEMP TABLE drawn AS SELECT position AS before,"
        " row_number() OVER (ORDER BY position) - 1 AS now FROM temp.scan"
    )
    connection.execute("CREATE UNIQUE INDEX temp.drawn_before ON drawn(before)")
    # Upwards, and never above the former number: no two rows meet.
    connection.execute(
        "UPDATE temp.scan SET position = (SELECT now FROM temp.drawn WHERE before = position)"
    )
