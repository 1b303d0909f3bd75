"""Results as a SQLite database of one table, `results`, ready for datasette."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import BinaryIO

from claudebatch.outputs.kinds import Kind
from claudebatch.outputs.line_values import text_of
from claudebatch.outputs.result_table import Table
from claudebatch.outputs.table_columns import TableColumn
from claudebatch.storage.private_files import scratch_file

# A NUMERIC column makes a number of "0.000098", so that sums and sorting work.
_TYPES: dict[Kind, str] = {
    "text": "TEXT",
    "integer": "INTEGER",
    "real": "REAL",
    "boolean": "BOOLEAN",
    "dollars": "NUMERIC",
}
_READ_BYTES = 1 << 20


def write_sqlite(table: Table, file: BinaryIO, *, scratch: Path) -> int:
    """The table in a database, which is made at *scratch* and removed there; returns
    the number of rows.
    """
    try:
        count = _make(table, scratch_file(scratch))
        with scratch.open("rb") as made:
            shutil.copyfileobj(made, file, _READ_BYTES)
    finally:
        scratch.unlink(missing_ok=True)
    return count


def _make(table: Table, path: Path) -> int:
    # What a killed process left there.
    path.write_bytes(b"")
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        # Nobody reads it before it is whole: a crash costs only the scratch file.
        database.execute("PRAGMA journal_mode=OFF")
        database.execute("PRAGMA synchronous=OFF")
        columns = ", ".join(
            f"{_quoted(column.name)} {_TYPES[column.kind]}" for column in table.columns
        )
        database.execute("BEGIN")
        database.execute(f"CREATE TABLE results ({columns})")
        marks = ", ".join("?" * len(table.columns))
        into = database.executemany(f"INSERT INTO results VALUES ({marks})", _values(table))
        database.execute("COMMIT")
        return max(into.rowcount, 0)


def _values(table: Table) -> Iterator[list[object]]:
    for row in table.rows():
        yield [_value(raw, column) for raw, column in zip(row, table.columns, strict=True)]


def _value(raw: bytes | None, column: TableColumn) -> object:
    if raw is None:
        return None
    match column.kind:
        case "integer":
            return int(raw)
        case "real":
            return float(raw)
        case "boolean":
            return int(raw == b"true")
        case _:
            return text_of(raw)


def _quoted(name: str) -> str:
    # No statement holds a NUL; a field of the input may be called anything.
    return '"' + name.replace("\0", "\ufffd").replace('"', '""') + '"'
