"""Results of any form on standard output."""

from __future__ import annotations

import tempfile
from pathlib import Path

from claudebatch.outputs.forms import OutputForm
from claudebatch.outputs.line_values import ResultLines
from claudebatch.outputs.result_table import TableLayout
from claudebatch.outputs.sinks import standard_output
from claudebatch.outputs.write import write_results


def write_to_standard_output(lines: ResultLines, form: OutputForm, layout: TableLayout) -> int:
    """Write the results of *lines*; returns how many. Raises `OSError` when their
    reader has gone.
    """
    # A database is made on disk, wherever it goes.
    with (
        tempfile.TemporaryDirectory(prefix="claudebatch-") as place,
        standard_output(form) as file,
    ):
        return write_results(lines, form, layout, file, scratch=Path(place) / "results.db")
