"""Results of any run in any form, at no cost: out of its journal, also while it goes on
and when its results file is gone.
"""

from __future__ import annotations

import shlex
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from sqlite3 import Connection

from claudebatch.core.errors import ClaudebatchError, LockedError
from claudebatch.outputs.check_form import check_form
from claudebatch.outputs.forms import JSON_LINES, OutputForm
from claudebatch.outputs.result_table import TableLayout
from claudebatch.outputs.run_table import SCRATCH
from claudebatch.outputs.table_columns import check_names
from claudebatch.outputs.to_standard_output import write_to_standard_output
from claudebatch.outputs.write import write_results
from claudebatch.storage.journal.newest_results import newest_lines, row_fields, snapshot
from claudebatch.storage.journal.queries import unshown_answers
from claudebatch.storage.journal.replacement import JOURNAL
from claudebatch.storage.results_file import check_place, write_anew
from claudebatch.storage.run_folder import RunFolder, beside, owner


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """What is to be written."""

    form: OutputForm
    layout: TableLayout = TableLayout()
    target: Path | None = None
    """None: standard output."""
    ordered: bool = False
    """JSON lines in the order of the input; every other form has it."""
    replace: bool = False
    """Whether a file that is there is replaced."""


@dataclass(frozen=True, slots=True)
class ExportedResults:
    """What was written."""

    results: int
    going_on: bool
    """Whether the run is at work: there will be more."""
    unshown: int
    """Answers in the journal whose result the run's next session makes: a crash came in
    between.
    """


def export_run(folder: Path, request: ExportRequest) -> ExportedResults:
    """Write the newest result of each row of the run in *folder*. Raises
    `ClaudebatchError`; nothing is written then.
    """
    check_form(request.form, request.layout, to_stdout=request.target is None)
    if request.target is not None:
        _check_target(request.target, replace=request.replace)
    with _journal(folder) as (journal, going_on):
        check_names(request.layout.columns or (), row_fields(journal))
        results = _write(journal, request)
        unshown = 0 if going_on else len(unshown_answers(journal))
    return ExportedResults(results, going_on, unshown)


def _write(journal: Connection, request: ExportRequest) -> int:
    # As tables are in the order of the input wherever they are written.
    ordered = request.ordered or request.form.format != JSON_LINES

    def lines(messages: bool) -> Iterator[bytes]:
        return newest_lines(journal, ordered=ordered, messages=messages)

    if request.target is None:
        return write_to_standard_output(lines, request.form, request.layout)
    scratch = request.target.with_name(request.target.name + SCRATCH)
    write = partial(write_results, lines, request.form, request.layout, scratch=scratch)
    return write_anew(request.target, write)


@contextmanager
def _journal(folder: Path) -> Iterator[tuple[Connection, bool]]:
    """The journal in *folder*, and whether its run is at work."""
    run = RunFolder.take(folder)
    if run is None:
        raise ClaudebatchError(
            "E659",
            f"{folder} contains no run",
            fix="name a results file, or see `claudebatch runs list`",
        )
    if run != "alive":
        with closing(run):
            yield run.journal, False
        return
    holder = owner(folder)
    if holder is not None and holder.host != socket.gethostname():
        # SQLite's log is shared through memory, which two hosts have not in common.
        raise LockedError(
            "E660",
            f"{folder}: its run is going on, on {holder.host}",
            fix="export it there, or when it has ended",
        )
    with snapshot(folder / JOURNAL) as journal:
        yield journal, True


def _check_target(target: Path, *, replace: bool) -> None:
    check_place(target)
    if (beside(target) / JOURNAL).is_file():
        raise ClaudebatchError(
            "E661",
            f"{target} is the results file of a run",
            fix=f"write to another file with -o, or make it anew: claudebatch runs rebuild "
            f"{shlex.quote(str(target))}",
        )
    if target.exists() and not replace:
        raise ClaudebatchError(
            "E662",
            f"{target} is there already",
            fix="write to another file with -o, or add --replace",
        )
