"""Results as a Parquet file, written by pyarrow: the one room that knows it."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any, BinaryIO

from claudebatch.outputs.line_values import text_of
from claudebatch.outputs.result_table import Table
from claudebatch.outputs.sinks import KeptOpen
from claudebatch.outputs.table_columns import TableColumn

# Rows of one group are held in memory; readers skip whole groups.
_GROUP_ROWS = 20_000
_GROUP_BYTES = 8 << 20
# Whole pico-dollars.
_DECIMALS = 12


def write_parquet(table: Table, file: BinaryIO) -> int:
    """The table with a type for each column, dollars as exact decimals; returns the
    number of rows.
    """
    # An extra, and slow to load.
    import pyarrow  # noqa: PLC0415
    from pyarrow import parquet  # noqa: PLC0415

    types = {
        "text": pyarrow.string(),
        "integer": pyarrow.int64(),
        "real": pyarrow.float64(),
        "boolean": pyarrow.bool_(),
        "dollars": pyarrow.decimal128(38, _DECIMALS),
    }
    schema = pyarrow.schema([(column.name, types[column.kind]) for column in table.columns])
    count = 0
    # It asks for its place in the file, which a pipe cannot tell.
    sink = pyarrow.PythonFile(KeptOpen(file), mode="w")
    with parquet.ParquetWriter(sink, schema, compression="zstd") as writer:
        for rows in _groups(table):
            count += len(rows)
            columns = [
                pyarrow.array([_value(row[at], column) for row in rows], types[column.kind])
                for at, column in enumerate(table.columns)
            ]
            writer.write_table(pyarrow.Table.from_arrays(columns, schema=schema))
    return count


def _groups(table: Table) -> Iterator[list[list[bytes | None]]]:
    rows: list[list[bytes | None]] = []
    size = 0
    for row in table.rows():
        rows.append(row)
        size += sum(len(raw) for raw in row if raw is not None)
        if len(rows) == _GROUP_ROWS or size >= _GROUP_BYTES:
            yield rows
            rows, size = [], 0
    if rows:
        yield rows


def _value(raw: bytes | None, column: TableColumn) -> Any:
    if raw is None:
        return None
    match column.kind:
        case "integer":
            return int(raw)
        case "real":
            return float(raw)
        case "boolean":
            return raw == b"true"
        case "dollars":
            return Decimal(text_of(raw) or "0")
        case _:
            return text_of(raw)
