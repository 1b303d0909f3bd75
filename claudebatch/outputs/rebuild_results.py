"""The results file again, out of the run's journal alone: no input, no configuration,
no request.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from claudebatch.core.errors import ClaudebatchError, LockedError
from claudebatch.outputs.run_table import RunTable
from claudebatch.storage.journal.queries import drop_superseded, result_lines, unshown_answers
from claudebatch.storage.results_file import OutputRepair, check_place, mend
from claudebatch.storage.run_folder import RunFolder

_CONTINUE = "run the command of this run again: it goes on where it stopped"


@dataclass(frozen=True, slots=True)
class RebuiltOutput:
    """The results file after its repair."""

    output: Path
    results: int
    """Lines in the file now."""
    repair: OutputRepair
    unshown: int
    """Answers in the journal whose line the run's next session makes: a crash came in
    between.
    """


def rebuild_output(folder: Path, output: Path) -> RebuiltOutput:
    """Make the results file *output* hold exactly what the journal in *folder* holds.

    A file that differs is set aside, never lost. Raises `LockedError` while the run
    goes on.
    """
    check_place(output)
    run = RunFolder.take(folder)
    if run is None:
        raise ClaudebatchError(
            "E633",
            f"{folder} contains no run",
            fix="name a results file, or see `claudebatch runs list`",
        )
    if run == "alive":
        raise LockedError(
            "E634",
            f"{output}: its run is still going on",
            fix="wait for it or stop it, then try again",
        )
    try:
        return rebuild_taken(run, output)
    finally:
        run.close()


def rebuild_taken(run: RunFolder, output: Path) -> RebuiltOutput:
    """As `rebuild_output`, of a *run* that is open already."""
    # The old file is only renamed by the run itself: here it would be overwritten.
    if run.meta("set_aside"):
        raise ClaudebatchError(
            "E635", f"{output} still contains the results of an earlier run", fix=_CONTINUE
        )
    table = RunTable.noted(run, output)
    if table is not None:
        return _rebuilt_table(table, run, output)
    # Results of `--retry-failed` replace failures of before: both would be in the file.
    if run.meta("stale"):
        drop_superseded(run.journal)
    ordered = bool(run.meta("ordered"))
    repair = mend(
        output, result_lines(run.journal, ordered=ordered), rewrite=bool(run.meta("stale"))
    )
    if repair.set_aside is not None:
        mend(output, result_lines(run.journal, ordered=ordered), rewrite=True)
    # After the file is complete: a crash before it does the same again.
    run.note(stale=False)
    results = sum(1 for _ in result_lines(run.journal, ordered=ordered))
    return RebuiltOutput(output, results, repair, len(unshown_answers(run.journal)))


def _rebuilt_table(table: RunTable, run: RunFolder, output: Path) -> RebuiltOutput:
    written = table.rebuild()
    repair = OutputRepair(
        added=written.results if written.changed else 0, set_aside=written.set_aside
    )
    return RebuiltOutput(output, written.results, repair, len(unshown_answers(run.journal)))
