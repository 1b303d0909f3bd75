"""`claudebatch runs rebuild`: the results file again, out of the run's journal."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from claudebatch.config import environment
from claudebatch.config.paths import Paths
from claudebatch.core.errors import ClaudebatchError
from claudebatch.core.plurals import counted
from claudebatch.outputs.rebuild_results import RebuiltOutput, rebuild_output
from claudebatch.storage.ledger.run_index import RunRegister
from claudebatch.storage.run_folder import SUFFIX, beside
from claudebatch.ui.machine.json_events import json_line
from claudebatch.ui.terminal import Terminal


def rebuild(
    run: Annotated[
        str,
        typer.Argument(metavar="RUN", help="Its id, its first characters, or its results file."),
    ],
    json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Write a run's results file again, from its journal.

    Whether it was deleted, torn or edited: nothing is asked or paid again. A file that
    was edited is kept beside it, as .edited-1.

    Examples:

        claudebatch runs rebuild prompts.results.jsonl
    """
    rebuilt = rebuild_output(*_places(run))
    if json:
        sys.stdout.write(json_line(_fields(rebuilt)))
    else:
        Terminal(sys.stdout, environment(), must_write=True).say_all(_lines(rebuilt))


def _places(name: str) -> tuple[Path, Path]:
    """The run's folder and its results file."""
    folder = beside(Path(name))
    # The results file first: it needs no ledger, which may be lost as well.
    if folder.is_dir():
        return folder, Path(name)
    found = RunRegister(Paths.from_environment(environment()).ledger).find(name)
    # Results on standard output have their folder elsewhere, and no file to write.
    if not found.folder.endswith(SUFFIX):
        raise ClaudebatchError(
            "E019",
            f"{found.run} wrote its results to {found.output}, not to a file",
            fix="run its command again: finished answers are printed again at no cost",
        )
    return Path(found.folder), Path(found.folder.removesuffix(SUFFIX))


def _lines(rebuilt: RebuiltOutput) -> list[str]:
    repair = rebuilt.repair
    results = counted(rebuilt.results, "result")
    done = f"all {results} are there" if rebuilt.results else "no results yet"
    if repair.set_aside is not None:
        done = f"wrote {results}; your version is saved as {repair.set_aside}"
    elif repair.torn:
        done = f"repaired a torn line, wrote {counted(repair.added, 'result')}"
    elif repair.added:
        done = f"wrote {counted(repair.added, 'result')}"
    lines = [f"{rebuilt.output}: {done}"]
    if rebuilt.unshown:
        lines.append(
            f"{counted(rebuilt.unshown, 'more answer')} will be added when the run's command is "
            f"run again"
        )
    return lines


def _fields(rebuilt: RebuiltOutput) -> dict[str, object]:
    repair = rebuilt.repair
    return {
        "output": str(rebuilt.output),
        "results": rebuilt.results,
        "added": repair.added,
        "torn": repair.torn,
        "set_aside": str(repair.set_aside) if repair.set_aside is not None else None,
        "unshown": rebuilt.unshown,
    }
