"""An older form of the ledger becomes the present one: in one transaction, after a copy
was put aside.

Views hold nothing: they are no part of the version, and are made anew wherever their
text is another one.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from claudebatch.core.errors import StorageError
from claudebatch.storage.ledger.tables import TABLES, VERSION, add_columns, complete
from claudebatch.storage.ledger.views import VIEWS
from claudebatch.storage.private_files import scratch_file, sync_dir

# The form before versions: sums by run, day and model, and one figure for what was held
# or unknown. What it held goes on counting as held: the run's journal says what became
# of it, when that run is opened again or settled.
_FROM_UNVERSIONED = (
    "ALTER TABLE runs RENAME TO old_runs",
    "ALTER TABLE spend RENAME TO old_spend",
    *(statement for statement in TABLES.split(";") if statement.strip()),
    # It did not note how runs ended, either: those that hold nothing have ended.
    "INSERT INTO runs (run, output, folder, started, ended) SELECT run, output,"
    " CASE WHEN output LIKE '/%' THEN output || '.claudebatch' ELSE '' END, started,"
    " CASE WHEN run NOT IN (SELECT run FROM old_spend WHERE held > 0) THEN started END FROM "
    "old_runs",
    "INSERT INTO spend (run, day, model, rule, attempts, answers, input_tokens, "
    "cache_write_5m_tokens,"
    " cache_read_tokens, output_tokens, spent) SELECT run, day, model, '', attempts, answers, "
    "input_tokens,"
    " cache_write_tokens, cache_read_tokens, output_tokens, spent FROM old_spend",
    "INSERT INTO holds SELECT run, day, sum(held) FROM old_spend GROUP BY run, day HAVING "
    "sum(held) > 0",
    "DROP TABLE old_runs",
    "DROP TABLE old_spend",
)


def bring_up_to_date(connection: sqlite3.Connection, path: Path) -> None:
    """Make the ledger of *connection*, at *path*, one of the present version; raises
    `StorageError` at a newer one.
    """
    version = _version(connection)
    if version == VERSION and complete(connection) and _views(connection) == VIEWS:
        return
    if version > VERSION:
        raise StorageError(
            "E619",
            f"{path}: this spend ledger is from a newer claudebatch",
            fix="update claudebatch",
        )
    connection.execute("BEGIN IMMEDIATE")
    try:
        _upgrade(connection, path)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _upgrade(connection: sqlite3.Connection, path: Path) -> None:
    # Again, under the lock: another process may have done it while this one waited.
    version = _version(connection)
    if version < VERSION:
        _upgrade_tables(connection, path, version)
    if version <= VERSION:
        add_columns(connection)
        _renew_views(connection)


def _upgrade_tables(connection: sqlite3.Connection, path: Path, version: int) -> None:
    (tables,) = connection.execute(
        "SELECT count(*) FROM sqlite_schema WHERE type = 'table'"
    ).fetchone()
    # A new file has nothing to lose; its copy would only be litter.
    if tables:
        _put_copy_aside(path, version)
        _run(connection, _FROM_UNVERSIONED)
    else:
        _run(connection, TABLES.split(";"))
    connection.execute(f"PRAGMA user_version={VERSION}")


def _renew_views(connection: sqlite3.Connection) -> None:
    there = _views(connection)
    if there != VIEWS:
        _run(connection, [*(f"DROP VIEW {name}" for name in there), *VIEWS.values()])


def _views(connection: sqlite3.Connection) -> dict[str, str]:
    """Our views in the file; others are the user's own and stay."""
    found = connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'view'")
    return {name: text for name, text in found if name in VIEWS}


def _run(connection: sqlite3.Connection, statements: tuple[str, ...] | list[str]) -> None:
    # Not `executescript`: it would commit the transaction first, and a crash would
    # leave half of the new form.
    for statement in statements:
        connection.execute(statement)


def _put_copy_aside(path: Path, version: int) -> None:
    """Copy the file as it is now; the caller holds the lock for writing."""
    place = path.with_name(f"{path.name}.v{version}.bak")
    fresh = scratch_file(place.with_name(place.name + ".new"))
    source, copy = sqlite3.connect(path), sqlite3.connect(fresh)
    try:
        # SQLite's own copy: it takes along what a crashed commit left in the rollback
        # journal.
        source.backup(copy)
    finally:
        source.close()
        copy.close()
    fresh.replace(place)
    sync_dir(place.parent)


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])
