"""Result lines in, a file of any form out."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import BinaryIO

from claudebatch.outputs.batch_lines import write_anthropic_batch, write_openai_batch
from claudebatch.outputs.compression import compressed
from claudebatch.outputs.forms import JSON_LINES, OutputForm
from claudebatch.outputs.line_values import ResultLines, put_rows
from claudebatch.outputs.parquet_table import write_parquet
from claudebatch.outputs.result_table import Table, TableLayout
from claudebatch.outputs.sqlite_table import write_sqlite
from claudebatch.outputs.text_tables import (
    write_chosen_lines,
    write_markdown,
    write_separated,
    write_text,
)


def write_results(
    lines: ResultLines, form: OutputForm, layout: TableLayout, file: BinaryIO, *, scratch: Path
) -> int:
    """Write the results of *lines* to *file* in this *form*; returns how many.

    Memory does not grow with their number. *scratch* names a file that may be made and
    is removed again.
    """
    with compressed(file, form.compression) as plain:
        if form.format == "anthropic-batch":
            return write_anthropic_batch(lines, plain)
        if form.format == "openai-batch":
            return write_openai_batch(lines, plain)
        if form.format == JSON_LINES and layout.columns is None:
            return put_rows(plain, lines(True))
        return _write_table(Table(lines, layout), form, layout, plain, scratch=scratch)


def _write_table(
    table: Table, form: OutputForm, layout: TableLayout, file: BinaryIO, *, scratch: Path
) -> int:
    writers: dict[str, Callable[[Table, BinaryIO], int]] = {
        JSON_LINES: write_chosen_lines,
        "csv": partial(write_separated, separator=","),
        "tsv": partial(write_separated, separator="\t"),
        "markdown": write_markdown,
        "text": partial(write_text, chosen=layout.columns is not None),
        "parquet": write_parquet,
        "sqlite": partial(write_sqlite, scratch=scratch),
    }
    return writers[form.format](table, file)
