"""Readers of each form that results can have, all of them other people's where there
are any: Python's `csv`, `sqlite3`, pyarrow, pandas.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import re
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Rows = list[dict[str, Any]]
NO_PYARROW = "pyarrow is an extra: pip install 'claudebatch[parquet]'"


def pyarrow() -> Any:
    """pyarrow, where it is installed; else the test is skipped."""
    return pytest.importorskip("pyarrow", reason=NO_PYARROW)


def read_separated(data: bytes, separator: str) -> Rows:
    """With Python's own reader."""
    csv.field_size_limit(1 << 30)
    text = io.StringIO(data.decode(), newline="")
    return list(csv.DictReader(text, delimiter=separator))


def read_sqlite(data: bytes, folder: Path) -> Rows:
    """The table `results`."""
    path = folder / "read.db"
    path.write_bytes(data)
    connection = sqlite3.connect(path)
    try:
        connection.row_factory = sqlite3.Row
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        return [dict(row) for row in connection.execute("SELECT * FROM results ORDER BY rowid")]
    finally:
        connection.close()


def read_parquet(data: bytes) -> Rows:
    """With pyarrow."""
    pyarrow()
    from pyarrow import parquet

    return list(parquet.read_table(io.BytesIO(data)).to_pylist())


def read_json_lines(data: bytes) -> Rows:
    """One object per line."""
    return [json.loads(line) for line in data.decode().split("\n") if line]


def read_markdown(data: bytes) -> Rows:
    """As GitHub reads a table: cells end at bars without a backslash before them."""
    head, rule, *rows = data.decode().removesuffix("\n").split("\n")
    names = _cells(head)
    assert rule == "|" + "---|" * len(names)
    return [dict(zip(names, _cells(row), strict=True)) for row in rows]


def unpacked(data: bytes, compression: str) -> bytes:
    """*data* without its compression."""
    if compression == ".zst":
        found: bytes = pyarrow().input_stream(io.BytesIO(data), compression="zstd").read()
        return found
    unpack: dict[str, Callable[[bytes], bytes]] = {
        "": bytes,
        ".gz": gzip.decompress,
        ".bz2": bz2.decompress,
        ".xz": lzma.decompress,
    }
    return unpack[compression](data)


def _cells(line: str) -> list[str]:
    # A bar inside a cell has a backslash right before it.
    inner = line.removeprefix("| ").removesuffix(" |").split(" | ")
    return [re.sub(r"\\([\\|<])", r"\1", cell) for cell in inner]
