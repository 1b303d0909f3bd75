"""`claudebatch export`: the results of a run in another form, from its journal."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from claudebatch.cli import options
from claudebatch.config import environment
from claudebatch.config.paths import Paths
from claudebatch.core.plurals import counted
from claudebatch.outputs.export_run import ExportedResults, ExportRequest, export_run
from claudebatch.outputs.forms import form_of
from claudebatch.outputs.result_table import TableLayout
from claudebatch.storage.journal.replacement import JOURNAL
from claudebatch.storage.ledger.run_index import RunRegister
from claudebatch.storage.run_folder import beside
from claudebatch.ui.machine.json_events import json_line
from claudebatch.ui.terminal import Terminal


def export(
    run: Annotated[
        str,
        typer.Argument(metavar="RUN", help="Its results file, its id, or its first characters."),
    ],
    output: Annotated[
        str,
        typer.Option("--output", "-o", metavar="FILE", help="File to write; - for stdout."),
    ],
    output_format: options.OutputFormat = None,
    columns: options.Columns = None,
    no_escape: options.NoEscape = False,
    ordered: Annotated[
        bool,
        typer.Option("--ordered", help="JSON lines in input order; other formats have it anyway."),
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace FILE if it is there already.")
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", help="What was written, as one JSON object.")
    ] = False,
) -> None:
    """Write the results of RUN as CSV, Parquet, SQLite and more.

    From the run's journal: nothing is asked or paid, and its results file may be gone.
    The suffix of FILE chooses the format.

    Examples:

        claudebatch export prompts.results.jsonl -o answers.csv

        claudebatch export answers.csv -o answers.parquet --columns id,answer,cost_usd

        claudebatch export prompts.results.jsonl -o - --output-format text
    """
    target = None if output == "-" else Path(output)
    request = ExportRequest(
        form_of(target, output_format),
        TableLayout(options.names(columns), escape=not no_escape),
        target=target,
        ordered=ordered,
        replace=replace,
    )
    _tell(export_run(_folder(run), request), request, output, json=json)


def _folder(name: str) -> Path:
    """The folder of the run that *name* means."""
    # The results file first: it needs no ledger, which may be lost as well.
    for folder in (beside(Path(name)), Path(name)):
        if (folder / JOURNAL).is_file():
            return folder
    return Path(RunRegister(Paths.from_environment(environment()).ledger).find(name).folder)


def _tell(done: ExportedResults, request: ExportRequest, output: str, *, json: bool) -> None:
    target = request.target
    # Beside results on standard output, which are data.
    stream = sys.stdout if target is not None else sys.stderr
    if json:
        stream.write(json_line({"output": output, "format": request.form.name} | _fields(done)))
    elif target is not None or done.going_on or done.unshown:
        place = str(target) if target is not None else "standard output"
        Terminal(stream, environment(), must_write=target is not None).say_all(_lines(place, done))


def _lines(place: str, done: ExportedResults) -> list[str]:
    lines = [f"{place}: {counted(done.results, 'result')}"]
    if done.going_on:
        lines.append("its run is going on: there will be more")
    if done.unshown:
        lines.append(
            f"{counted(done.unshown, 'more answer')} will be there when the run's command is run "
            f"again"
        )
    return lines


def _fields(done: ExportedResults) -> dict[str, object]:
    return {"results": done.results, "going_on": done.going_on, "unshown": done.unshown}
