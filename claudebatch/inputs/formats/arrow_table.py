"""Parquet, Arrow and Feather files, read by pyarrow a few rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from claudebatch.core.errors import ClaudebatchError, Problem
from claudebatch.core.notice import Notice
from claudebatch.inputs.formats.arrow_values import Reading, reading
from claudebatch.inputs.formats.column_names import check_columns
from claudebatch.inputs.formats.typed_rows import RowCopy, TypedRows

# Rows at hand at once: enough that Python, not the call, takes the time.
_MOST_ROWS = 2048
_BYTES_AT_HAND = 8 << 20
_BUFFER = 1 << 20
# pandas keeps its row numbers in such a column; they are nobody's data.
_INDEX = "__index_level_"
_FIX = "fetch it again, or look at it with the program that wrote it"
_MOMENT_OUTSIDE = "a moment outside of the years 1 to 9999"


def copy_parquet(path: Path, name: str, into: BinaryIO) -> None:
    """Write the rows of the Parquet file at *path*, called *name*, *into* a copy.
    Raises `ClaudebatchError`.
    """
    from pyarrow import parquet  # noqa: PLC0415  # an extra, and slow to load

    def opened() -> _Batches:
        # Without these two a whole row group would be read at once.
        file = parquet.ParquetFile(path, buffer_size=_BUFFER, pre_buffer=False)
        return _Batches(file.schema_arrow, lambda names: _of_parquet(file, names))

    _copy(opened, name, "Parquet", into)


def copy_arrow(path: Path, name: str, into: BinaryIO) -> None:
    """The same for Arrow's own format: a file (also called Feather) or a stream."""
    import pyarrow  # noqa: PLC0415  # an extra, and slow to load
    from pyarrow import ipc  # noqa: PLC0415

    def opened() -> _Batches:
        source = pyarrow.memory_map(str(path))
        try:
            file = ipc.open_file(source)
        except pyarrow.ArrowInvalid:
            source.seek(0)
            stream = ipc.open_stream(source)
            return _Batches(stream.schema, lambda names: _chosen(stream, names))
        numbers = range(file.num_record_batches)
        return _Batches(file.schema, lambda names: _chosen(map(file.get_batch, numbers), names))

    _copy(opened, name, "Arrow", into)


class _Batches:
    """A file that is open: its columns, and its rows a batch at a time."""

    def __init__(self, schema: Any, read: Callable[[list[str]], Iterator[Any]]) -> None:
        self.schema = schema
        self.read = read


def _of_parquet(file: Any, names: list[str]) -> Iterator[Any]:
    for group in range(file.num_row_groups):
        facts = file.metadata.row_group(group)
        rows = _rows_at_once(facts.total_byte_size, facts.num_rows)
        yield from file.iter_batches(rows, [group], names, use_threads=False)


def _chosen(batches: Any, names: list[str]) -> Iterator[Any]:
    for batch in batches:
        # Places of a damaged file point to anywhere in the memory.
        batch.validate(full=True)
        rows, chosen = _rows_at_once(batch.nbytes, batch.num_rows), batch.select(names)
        for begin in range(0, batch.num_rows, rows):
            yield chosen.slice(begin, rows)


def _rows_at_once(size: int, rows: int) -> int:
    return max(1, min(_MOST_ROWS, _BYTES_AT_HAND * rows // max(1, size)))


def _copy(opened: Callable[[], _Batches], name: str, kind: str, into: BinaryIO) -> None:
    batches = _guarded(opened, name, kind)
    types = _guarded(lambda: [(field.name, field.type) for field in batches.schema], name, kind)
    types = [(column, type_) for column, type_ in types if not column.startswith(_INDEX)]
    check_columns([column for column, _ in types], name)
    found = {column: reading(type_) for column, type_ in types}
    readings = {column: one for column, one in found.items() if one is not None}
    unread = {column: type_ for column, type_ in types if found[column] is None}
    rows = TypedRows(kind, tuple(readings), notices=tuple(_left_out(name, unread)))
    copy = RowCopy(into, rows)
    stream = batches.read(list(readings))
    while (batch := _guarded(lambda: next(stream, None), name, kind)) is not None:
        _copy_batch(batch, readings, copy)


def _guarded(step: Callable[[], Any], name: str, kind: str) -> Any:
    import pyarrow  # noqa: PLC0415  # an extra

    try:
        return step()
    # What is broken in a file comes as either, by where the reader stumbles.
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = str(error).strip().partition("\n")[0]
        if "encrypt" in reason.lower() or "decrypt" in reason.lower():
            raise ClaudebatchError(
                "E349", f"{name} is encrypted ({kind})", fix="write it without encryption"
            ) from error
        raise ClaudebatchError(
            "E348", f"{name} is damaged, or no {kind} after all: {reason}", fix=_FIX
        ) from error


def _left_out(name: str, unread: Mapping[str, Any]) -> Iterator[Notice]:
    for column, type_ in unread.items():
        yield Notice(
            "W019",
            f"{name}: the column {column} is left out: it holds {type_}, which is no text",
        )


def _copy_batch(batch: Any, readings: dict[str, Reading], copy: RowCopy) -> None:
    names = list(readings)
    try:
        columns = [readings[column].values(batch.column(column)) for column in names]
    except (ValueError, ArithmeticError):
        # One bad value: the rows around it are read one by one.
        for number in range(batch.num_rows):
            _copy_row(batch.slice(number, 1), readings, copy)
        return
    for row in zip(*columns, strict=True):
        copy.add(dict(zip(names, row, strict=True)))


def _copy_row(row: Any, readings: dict[str, Reading], copy: RowCopy) -> None:
    values = {}
    for column, how in readings.items():
        try:
            (values[column],) = how.values(row.column(column))
        except UnicodeDecodeError:
            copy.bad(_bad_value(column, "bytes that are not UTF-8"))
            return
        except (ValueError, OverflowError):
            copy.bad(_bad_value(column, _MOMENT_OUTSIDE))
            return
        except ArithmeticError:
            copy.bad(_bad_value(column, "a number that is damaged"))
            return
    copy.add(values)


def _bad_value(column: str, holds: str) -> Problem:
    return Problem(
        "E350", f"the column {column} holds {holds}", "mend the value where the file is written"
    )
