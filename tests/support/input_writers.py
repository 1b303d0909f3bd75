"""The same rows in every format that can be read, written by the programs that people
write them with.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

Rows: TypeAlias = Sequence[Mapping[str, Any]]
GROUP = 7
"""Rows of one group or batch: files of a few rows have several."""


def _lines(rows: Rows) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def _table(rows: Rows, delimiter: str) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _arrow_table(rows: Rows) -> Any:
    import pyarrow

    return pyarrow.Table.from_pylist([dict(row) for row in rows])


def parquet(rows: Rows, **how: Any) -> bytes:
    """A Parquet file of small row groups."""
    from pyarrow import parquet as written

    into = io.BytesIO()
    written.write_table(_arrow_table(rows), into, row_group_size=GROUP, **how)
    return into.getvalue()


def feather(rows: Rows) -> bytes:
    """A Feather file of small batches."""
    from pyarrow import feather as written

    into = io.BytesIO()
    written.write_feather(_arrow_table(rows), into, chunksize=GROUP)
    return into.getvalue()


def arrow_stream(rows: Rows) -> bytes:
    """Arrow's format without an end."""
    from pyarrow import ipc

    table = _arrow_table(rows)
    into = io.BytesIO()
    with ipc.new_stream(into, table.schema) as stream:
        stream.write_table(table, max_chunksize=GROUP)
    return into.getvalue()


def workbook(rows: Rows) -> bytes:
    """An Excel workbook of one sheet."""
    import openpyxl

    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "Rows"
    sheet.append(list(rows[0]))
    for row in rows:
        sheet.append(list(row.values()))
    into = io.BytesIO()
    book.save(into)
    return into.getvalue()


FILES: dict[str, Callable[[Rows], bytes]] = {
    "in.jsonl": _lines,
    "in.json": lambda rows: json.dumps(rows, indent=1).encode(),
    "in.csv": lambda rows: _table(rows, ","),
    "semicolons.csv": lambda rows: _table(rows, ";"),
    "in.tsv": lambda rows: _table(rows, "\t"),
    "in.parquet": parquet,
    "in.feather": feather,
    "in.arrows": arrow_stream,
    "in.xlsx": workbook,
    "in.csv.gz": lambda rows: gzip.compress(_table(rows, ",")),
    "in.parquet.bz2": lambda rows: bz2.compress(parquet(rows)),
    "in.xlsx.xz": lambda rows: lzma.compress(workbook(rows)),
}
"""By the name of the file: what writes it."""
FOLDER = "texts"
"""A folder of texts, a row each."""


def write_input(folder: Path, name: str, rows: Rows) -> tuple[str, ...]:
    """Write *rows* as *name* of the table above, or as the folder of texts; returns the
    arguments that name them on the command line.
    """
    place = folder / name
    if name in FILES:
        place.write_bytes(FILES[name](rows))
        return (name,)
    place.mkdir(exist_ok=True)
    for row in rows:
        (place / row["id"]).write_text(row["prompt"], encoding="utf-8")
    return (name, "--each-file")
