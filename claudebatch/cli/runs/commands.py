"""`claudebatch runs`: the runs of this machine: list them, look at one, settle, rebuild
or purge them.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from enum import StrEnum
from typing import Annotated

import typer

from claudebatch.cli import dates, options
from claudebatch.cli.help_text import HelpCommand, HelpGroup
from claudebatch.cli.runs.check import check
from claudebatch.cli.runs.rebuild import rebuild
from claudebatch.cli.wiring.failures import CollectedFailures
from claudebatch.config import environment
from claudebatch.config.paths import Paths
from claudebatch.core.errors import ClaudebatchError, LockedError
from claudebatch.core.plurals import counted
from claudebatch.core.reports import RunLine
from claudebatch.storage.ledger import open_ledger, settle_dead
from claudebatch.storage.ledger.purge import purge as purge_run
from claudebatch.storage.ledger.run_index import RunRegister
from claudebatch.ui.error_text import LEDGER_LOCKED
from claudebatch.ui.machine.json_events import json_line
from claudebatch.ui.tables.runs_tables import (
    money_of,
    render_run,
    render_runs,
    run_fields,
    run_json,
    runs_json,
)
from claudebatch.ui.terminal import Terminal

app = typer.Typer(
    cls=HelpGroup,
    help="""List, show, check, rebuild, settle or purge runs.

Examples:

    claudebatch runs list

    claudebatch runs show prompts.results.jsonl
""",
    no_args_is_help=True,
)
"""The sub-commands of `runs`; the main app mounts it."""

_Json = Annotated[bool, typer.Option("--json", help="One JSON object, dollars as exact strings.")]
_Runs = Annotated[
    list[str] | None,
    typer.Argument(metavar="RUN", help="Ids, their first characters, or results files."),
]
_OlderThan = Annotated[
    int | None,
    typer.Option(
        "--older-than",
        parser=dates.days,
        metavar="AGE",
        help="Runs that ended longer ago than this: 30d, or 2w.",
        show_default=False,
    ),
]


app.command(cls=HelpCommand)(rebuild)
app.command(cls=HelpCommand)(check)


class VerdictOption(StrEnum):
    """The user's decision about requests without an outcome."""

    billed = "billed"
    free = "free"


@app.command("list", cls=HelpCommand)
def list_runs(json: _Json = False, verbose: options.AllColumns = False) -> None:
    """List all runs, newest first: their state and what they spent.

    Examples:

        claudebatch runs list

        claudebatch runs list --json
    """
    runs = _register().runs()
    if json:
        sys.stdout.write(json_line(runs_json(runs)))
        return
    stdout = _stdout()
    stdout.say_all(render_runs(runs, width=0 if verbose else stdout.columns))


@app.command(cls=HelpCommand)
def show(
    run: Annotated[
        str,
        typer.Argument(metavar="RUN", help="Its id, its first characters, or its results file."),
    ],
    json: _Json = False,
    verbose: options.AllColumns = False,
) -> None:
    """Show one run: rows, cost by model, and what may be billed.

    Examples:

        claudebatch runs show prompts.results.jsonl

        claudebatch runs show 20261122T1204 --json
    """
    register = _register()
    details = register.details(register.find(run))
    if json:
        sys.stdout.write(json_line(run_json(details)))
        return
    stdout = _stdout()
    if verbose:
        stdout.say_all(render_run(details))
    else:
        stdout.tell(render_run(details, width=stdout.columns))


@app.command(cls=HelpCommand)
def settle(
    runs: _Runs = None,
    all: Annotated[bool, typer.Option("--all", help="Every run that is not running.")] = False,
    verdict: Annotated[
        VerdictOption | None,
        typer.Option(
            "--as",
            help="What the Console says about requests that were maybe billed.",
            show_default=False,
        ),
    ] = None,
    json: _Json = False,
) -> None:
    """Settle the reserved money of runs that were killed.

    What was never sent is free again; what was sent and never answered is maybe billed,
    and counts against every cap, until you say with --as whether it was billed (then at
    its worst case) or free.

    Examples:

        claudebatch runs settle --all

        claudebatch runs settle prompts.results.jsonl --as free
    """
    register = _register()
    wanted = _wanted(register, runs, all)
    settled, failures = [], CollectedFailures()
    with _writing() as ledger:
        for run in wanted:
            with failures.collect(run.folder or run.run):
                # One run at a time, each in a transaction of its own: a failure at one
                # leaves the others settled.
                if settle_dead(ledger, run.run, verdict=verdict.value if verdict else None):
                    settled.append(run.run)
                # With --all, runs that go on are simply not meant.
                elif not all:
                    raise _alive(run)
    # Read again: the ledger has other sums now.
    after = [run for run in register.runs() if run.run in settled]
    if json:
        sys.stdout.write(json_line(runs_json(after)))
    else:
        nothing = [] if failures.met else ["There is nothing to settle."]
        # Of all runs, those are worth a line whose money is another than before.
        told = _changed(after, wanted) if all and verdict is None else after
        _stdout().say_all(_settled(told, wanted, verdict) or nothing)
    failures.tell()


def _changed(after: list[RunLine], before: list[RunLine]) -> list[RunLine]:
    money = {run.run: money_of(run.spend) for run in before}
    return [run for run in after if money_of(run.spend) != money.get(run.run)]


def _settled(
    after: list[RunLine], before: list[RunLine], verdict: VerdictOption | None
) -> list[str]:
    open_before = {run.run for run in before if run.spend.unknown or run.spend.held}
    return [
        f"{run.run}: {_undecided(run, verdict, open_before)}{money_of(run.spend)}" for run in after
    ]


@app.command(cls=HelpCommand)
def purge(
    runs: _Runs = None,
    older_than: _OlderThan = None,
    forget: Annotated[
        bool,
        typer.Option(
            "--forget", help="Also forget what they spent: reports and caps no longer count it."
        ),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    json: _Json = False,
) -> None:
    """Remove the folders of runs, with their answers.

    Results files stay. A run that was purged cannot be resumed. What it spent still
    counts, unless --forget is given.

    Examples:

        claudebatch runs purge --older-than 30d

        claudebatch runs purge prompts.results.jsonl --yes
    """
    wanted = _to_purge(_register(), runs, older_than)
    # Answers that were paid for are deleted: nothing can bring them back.
    if wanted and not yes and not _confirmed(wanted, forget=forget):
        raise typer.Exit(0)
    purged, failures = [], CollectedFailures()
    with _writing() as ledger:
        for run in wanted:
            with failures.collect(run.folder or run.run):
                # The ledger's entry goes last, so an interrupted purge can be repeated.
                if purge_run(ledger, run.run, run.folder, places=_paths().runs, forget=forget):
                    purged.append(run)
                elif runs:
                    raise _alive(run)
    if json:
        sys.stdout.write(json_line({"purged": [run_fields(run) for run in purged]}))
    else:
        _stdout().say(f"{counted(len(purged), 'run')} purged")
    failures.tell()


def _wanted(register: RunRegister, names: list[str] | None, all: bool) -> list[RunLine]:
    # Neither is no order, both contradict: a typo must not settle every run.
    if bool(names) == all:
        raise ClaudebatchError(
            "E015",
            "no run is named",
            fix="name one, or give --all; `claudebatch runs list` shows them",
        )
    return [register.find(name) for name in names] if names else register.runs()


def _undecided(run: RunLine, verdict: VerdictOption | None, open_before: set[str]) -> str:
    """Says that a verdict found nothing to decide: what was decided before stays."""
    return (
        "nothing is maybe billed, nothing was changed; "
        if verdict and run.run not in open_before
        else ""
    )


def _to_purge(register: RunRegister, names: list[str] | None, age: int | None) -> list[RunLine]:
    if bool(names) == (age is not None):
        raise ClaudebatchError("E016", "no run is named", fix="name one, or give --older-than 30d")
    if names:
        return [register.find(name) for name in names]
    # At most a hundred years: a larger number would overflow the calendar.
    before = (dates.today() - timedelta(days=min(age or 0, 36_500))).isoformat()
    return [
        run for run in register.runs() if run.folder and (run.ended or run.started)[:10] < before
    ]


def _confirmed(runs: list[RunLine], *, forget: bool) -> bool:
    what = (
        f"{counted(len(runs), 'run')} would lose {'its' if len(runs) == 1 else 'their'} stored"
        f" answers and could not be resumed"
    )
    if forget:
        what += "; caps and reports would no longer count the money spent"
    # A script would wait for an answer for ever, or answer with whatever its input
    # holds.
    if not sys.stdin.isatty():
        raise ClaudebatchError(
            "E017", f"{what}, and there is no terminal to ask on", fix="add --yes"
        )
    stderr = Terminal(sys.stderr, environment())
    stderr.say_all(render_runs(runs, width=stderr.columns))
    return typer.confirm(f"{what}. Go on?", err=True)


def _alive(run: RunLine) -> LockedError:
    return LockedError(
        "E018", f"{run.run} is still going on", fix="wait for it or stop it, then try again"
    )


def _register() -> RunRegister:
    return RunRegister(_paths().ledger, waits=_waits)


def _waits() -> None:
    Terminal(sys.stderr, environment()).say(LEDGER_LOCKED)


@contextmanager
def _writing() -> Iterator[sqlite3.Connection]:
    connection = open_ledger(_paths().ledger, waits=_waits)
    try:
        yield connection
    finally:
        connection.close()


def _paths() -> Paths:
    return Paths.from_environment(environment())


def _stdout() -> Terminal:
    return Terminal(sys.stdout, environment(), must_write=True)
