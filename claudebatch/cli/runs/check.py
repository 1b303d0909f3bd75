"""`claudebatch runs check`: finds damage in runs, and mends it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from claudebatch.cli.wiring.failures import CollectedFailures
from claudebatch.config import environment
from claudebatch.config.paths import Paths
from claudebatch.core.errors import ExitCode, LockedError, StorageError
from claudebatch.core.plurals import counted
from claudebatch.engine.check_run import CheckedRun, RunPlaces, check_run, repair_run
from claudebatch.storage.health import damage
from claudebatch.storage.journal.repair import RepairReport
from claudebatch.storage.ledger.run_index import RunRegister
from claudebatch.storage.run_folder import SUFFIX, beside
from claudebatch.ui.error_text import LEDGER_LOCKED
from claudebatch.ui.machine.json_events import json_line
from claudebatch.ui.terminal import Terminal

# Damaged rows that are named by their numbers: a thousand would hide everything else.
_NAMED = 10


def check(
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RUN",
            help="Ids, their first characters, results files or folders; all runs if none.",
        ),
    ] = None,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair", help="Repair what is damaged; answers without a copy are asked again."
        ),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Check that every answer and amount on disk is intact.

    Exit code 6 if not.

    What is damaged is only brought back from copies whose checksum fits: the results
    file, the response cache, the spend ledger.

    Examples:

        claudebatch runs check

        claudebatch runs check prompts.results.jsonl --repair
    """
    failures = CollectedFailures()
    checked, gone = _check_all(runs or [], failures, repair=repair)
    with failures.collect("the spend ledger"):
        _check_ledger(_paths().ledger)
    if json:
        sys.stdout.write(json_line({"runs": [_fields(found) for found in checked]}))
    else:
        nothing = [] if failures.met else ["There is no run to check."]
        lines = _report(checked, gone) or nothing
        Terminal(sys.stdout, environment(), must_write=True).say_all(lines)
    failures.tell()
    _end(checked, repaired=repair)


def _check_all(
    names: list[str], failures: CollectedFailures, *, repair: bool
) -> tuple[list[CheckedRun], int]:
    """The results of checking the runs of *names*, or all, and the number of runs
    without a folder.
    """
    checked, gone = [], 0
    for folder, output in _places(names):
        # Moved, or removed by hand: that is no damage.
        if not names and not folder.is_dir():
            gone += 1
            continue
        # A run that cannot be opened must not keep the others from being checked.
        with failures.collect(str(folder)):
            try:
                checked.append((repair_run if repair else check_run)(folder, output, _copies))
            except LockedError:
                # Of all runs, those that go on are left alone.
                if names:
                    raise
    return checked, gone


def _report(checked: Sequence[CheckedRun], gone: int) -> list[str]:
    lines = [line for found in checked for line in _lines(found)]
    if gone:
        lines.append(f"{counted(gone, 'run')} without a folder: moved or removed, nothing to check")
    return lines


def _places(names: list[str]) -> Iterator[tuple[Path, Path | None]]:
    """The folder and the results file of each of *names*, of every run there is if
    there are none.
    """
    register = RunRegister(_paths().ledger, waits=_waits)
    # Rehearsals have a ledger of their own: damage in them is damage of the disk all
    # the same.
    rehearsed = RunRegister(_copies(True).ledger, waits=_waits)
    found = (
        [run.folder for some in (register, rehearsed) for run in some.runs() if run.folder]
        if not names
        else []
    )
    for name in names:
        beside_it = beside(Path(name))
        here = beside_it if beside_it.is_dir() else Path(name)
        found.append(str(here) if here.is_dir() else register.find(name).folder)
    # A run may be named twice, by its id and by its file.
    for folder in dict.fromkeys(found):
        results = folder.removesuffix(SUFFIX)
        yield Path(folder), Path(results) if results != folder else None


def _check_ledger(path: Path) -> None:
    found = damage(path) if path.exists() else None
    if found is not None:
        raise StorageError(
            "E013",
            f"{path}: the spend ledger is damaged: {found}",
            fix="move the file away: runs add themselves again when they are resumed or settled",
        )


def _end(checked: Sequence[CheckedRun], *, repaired: bool) -> None:
    bad = [found for found in checked if not found.sound]
    # After everything is printed: the exit code is for scripts, the lines are for the
    # user.
    if bad and not repaired:
        raise StorageError(
            "E014",
            f"{counted(len(bad), 'run is', 'runs are')} damaged",
            fix="`claudebatch runs check --repair` repairs what can be repaired",
        )
    if any(
        found.restored is not None and (found.restored.lost or found.restored.unsure)
        for found in bad
    ):
        raise typer.Exit(ExitCode.LOCAL_IO)


def _lines(found: CheckedRun) -> list[str]:
    looked = found.audit
    name = str(found.output) if found.output is not None else found.run
    if found.sound:
        counts = f"{counted(looked.attempts, 'request')} and {counted(looked.results, 'result')}"
        return [f"{name}: {counts} are intact"]
    lines = [f"{name}: {what}" for what in _damage(found)]
    if found.restored is not None:
        lines.append(f"{name}: {_mended(found.restored)}")
    return lines


def _damage(found: CheckedRun) -> Iterator[str]:
    looked = found.audit
    if looked.structure is not None:
        yield f"its journal is damaged: {looked.structure}"
    for numbers, noun in (
        (looked.bad_answers, ("answer is", "answers are")),
        (looked.bad_records, ("request's record is", "requests' records are")),
        (looked.bad_results, ("result is", "results are")),
    ):
        if numbers:
            some = ", ".join(map(str, numbers[:_NAMED])) + (
                ", ..." if len(numbers) > _NAMED else ""
            )
            yield f"{counted(len(numbers), *noun)} damaged: {some}"
    if found.results is not None:
        yield f"the results file {found.results}"
    if not found.ledger_agrees:
        yield "the spend ledger and its journal do not agree"


def _mended(restored: RepairReport) -> str:
    parts = [f"{restored.restored:,} restored" if restored.restored else "repaired"]
    if restored.lost:
        parts.append(
            f"{counted(len(restored.lost), 'answer')} lost: the run's command asks again, and "
            f"pays again unless the cache has it"
        )
    if restored.unsure:
        parts.append(f"{counted(len(restored.unsure), 'request')} counted at the worst case")
    return "; ".join(parts)


def _fields(found: CheckedRun) -> dict[str, object]:
    looked, restored = found.audit, found.restored
    return {
        "run": found.run,
        "folder": str(found.folder),
        "sound": found.sound,
        "requests": looked.attempts,
        "results": looked.results,
        "journal_error": looked.structure,
        "damaged_answers": looked.bad_answers,
        "damaged_records": looked.bad_records,
        "damaged_results": looked.bad_results,
        "results_file": found.results,
        "ledger_agrees": found.ledger_agrees,
        "restored": restored.restored if restored else None,
        "lost_rows": restored.lost if restored else None,
        "unsure_requests": restored.unsure if restored else None,
    }


def _copies(rehearsal: bool) -> RunPlaces:
    # A rehearsal's copies lie in its own ledger and cache: real ones would never fit.
    paths = Paths.from_environment(environment(), simulated=rehearsal)
    return RunPlaces(paths.ledger, paths.cache_dir, _waits)


def _waits() -> None:
    Terminal(sys.stderr, environment()).say(LEDGER_LOCKED)


def _paths() -> Paths:
    return Paths.from_environment(environment())
