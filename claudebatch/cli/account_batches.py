"""`claudebatch batches`: the message batches of this machine and of the account: list
them, look at one, cancel or delete it.
"""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from os import chdir
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from claudebatch.cli.help_text import HelpCommand, HelpGroup
from claudebatch.cli.options import AllColumns
from claudebatch.cli.run_loop import run_loop
from claudebatch.config import environment
from claudebatch.config.paths import Paths
from claudebatch.core.errors import ClaudebatchError, LockedError
from claudebatch.core.reports import RunLine
from claudebatch.core.reports.batch_report import BatchLine
from claudebatch.storage.journal.batches import has_collected
from claudebatch.storage.journal.replacement import JOURNAL
from claudebatch.storage.ledger.known_batches import batch_lines
from claudebatch.storage.ledger.run_index import RunRegister
from claudebatch.storage.run_folder import RunFolder
from claudebatch.ui.machine.json_events import json_line
from claudebatch.ui.tables.batch_tables import (
    batch_fields,
    batches_json,
    render_batch,
    render_batches,
)
from claudebatch.ui.terminal import Terminal

if TYPE_CHECKING:
    from claudebatch.cli.wiring.batch_account import BatchAccount

_now = time.monotonic  # noqa: TID251  # a command is where time comes in

app = typer.Typer(
    cls=HelpGroup,
    help="""List, show, collect, cancel or delete message batches.

Examples:

    claudebatch batches list

    claudebatch batches cancel prompts.results.jsonl
""",
    no_args_is_help=True,
)
"""The sub-commands of `batches`; the main app mounts it."""

_Json = Annotated[bool, typer.Option("--json", help="One JSON object.")]
_Which = Annotated[
    str, typer.Argument(metavar="BATCH", help="Its id, or the run or results file it belongs to.")
]


@app.command("list", cls=HelpCommand)
def list_batches(
    account: Annotated[
        bool,
        typer.Option(
            "--account", help="Ask the API: how they stand, and batches that are not ours."
        ),
    ] = False,
    json: _Json = False,
    verbose: AllColumns = False,
) -> None:
    """List message batches, newest first.

    Those of this machine, from the ledger; nothing is asked unless --account is given.

    Examples:

        claudebatch batches list

        claudebatch batches list --account --json
    """
    known = batch_lines(_ledger())
    found = run_loop(lambda: _account().listed(known)) if account else known
    if json:
        sys.stdout.write(json_line(batches_json(found)))
        return
    stdout = _stdout()
    stdout.say_all(render_batches(found, width=0 if verbose else stdout.columns))


@app.command(cls=HelpCommand)
def show(batch: _Which, json: _Json = False) -> None:
    """Show batches as the API has them now.

    Counts by outcome stay 0 until a batch has ended: the API tells no more.

    Examples:

        claudebatch batches show msgbatch_01HkcT

        claudebatch batches show prompts.results.jsonl --json
    """
    wanted = _wanted(batch)
    found = run_loop(lambda: _account().seen(wanted))
    if json:
        sys.stdout.write(json_line(batches_json(found)))
        return
    lines: list[str] = []
    for line in found:
        lines += [*([""] if lines else []), *render_batch(line)]
    _stdout().say_all(lines)


@app.command(cls=HelpCommand)
def collect(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN", help="The results file or id of a run, or the id of one of its batches."
        ),
    ],
) -> None:
    """Collect the answers of a run's batches, and send nothing new.

    The run's own command again, with --collect and from the folder that it was given
    in. All batches of the run are waited for.

    Examples:

        claudebatch batches collect prompts.results.jsonl
    """
    found = RunRegister(_ledger()).find(_run_of(run))
    command, folder = _command_of(found)
    from claudebatch.cli.main import app as main  # noqa: PLC0415  # it mounts this app

    # As if it were typed again: what the run says next is built from it.
    chdir(folder)
    sys.argv[1:] = [*command[1:], "--collect"]
    # The parser hands the code of the inner command back, and would end with 0.
    raise typer.Exit(main(sys.argv[1:], prog_name=main.info.name, standalone_mode=False) or 0)


@app.command(cls=HelpCommand)
def attach(
    batch: Annotated[str, typer.Argument(metavar="ID", help="The batch's id.")],
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="The rows that the batch was made of.")
    ],
    output: Annotated[
        str | None, typer.Option("--output", "-o", help="The results file of the run.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="For rows that are sent again.")
    ] = None,
) -> None:
    """Make a batch of another tool or machine a run of this one.

    The API does not give the requests of a batch back: FILE says what they were. Its
    ids have to be the batch's custom_ids; lines of a batch of claudebatch are found by
    their content. Nothing is sent: rows without an answer wait for the run's command.

    Examples:

        claudebatch batches attach msgbatch_01HkcT prompts.jsonl -o answers.jsonl
    """
    from claudebatch.cli.main import app as main  # noqa: PLC0415  # it mounts this app

    more = [*(["-o", output] if output else []), *(["-m", model] if model else [])]
    sys.argv[1:] = ["run", file, *more, f"--attach={batch}"]
    raise typer.Exit(main(sys.argv[1:], prog_name=main.info.name, standalone_mode=False) or 0)


def _run_of(name: str) -> str:
    return next((line.run for line in batch_lines(_ledger()) if line.id == name), name)


def _command_of(run: RunLine) -> tuple[list[str], str]:
    """The command of *run*, and the folder it was given in."""
    # Locked for a moment: a run that goes on must not be asked to collect twice.
    taken = RunFolder.take(Path(run.folder)) if run.folder else None
    if taken == "alive":
        raise LockedError(
            "E776", f"{run.run} is still going on: it collects by itself", fix="wait for it"
        )
    command, folder = None, None
    if taken is not None:
        try:
            command, folder = taken.meta("command"), taken.meta("cwd")
        finally:
            taken.close()
    if not command or not folder or not Path(folder).is_dir():
        raise ClaudebatchError(
            "E777",
            f"{run.run} does not tell the command that sent its batches",
            fix="run its command again with --collect",
        )
    # Not --fresh, which would start over, nor --detach, which would not wait.
    gone = ("--detach", "--fresh", "--collect", "--retry-batches")
    return [argument for argument in command if argument not in gone], folder


@app.command(cls=HelpCommand)
def cancel(
    batch: _Which,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Also a batch that is not ours.")
    ] = False,
    json: _Json = False,
) -> None:
    """Cancel batches; it is not waited for.

    What was begun may still be answered and billed. The run's own command collects the
    answers that are there, and sends the other rows again.

    Examples:

        claudebatch batches cancel prompts.results.jsonl
    """
    # Of one that is not ours nothing is known here: the API decides.
    wanted = [line for line in _wanted(batch) if line.state in (None, "open")]
    if not wanted:
        raise ClaudebatchError(
            "E771", f'no batch of "{batch}" is with the API', fix="see `claudebatch batches list`"
        )
    foreign = [line.id for line in wanted if not line.ours]
    if foreign and not yes:
        # Another program of the workspace may wait for it.
        raise ClaudebatchError(
            "E772",
            f"{foreign[0]} was made by no run of this machine",
            fix="add --yes if you know whose it is",
        )
    found = run_loop(lambda: _account().canceled(wanted))
    if json:
        sys.stdout.write(json_line(batches_json(found)))
        return
    _stdout().say_all(_canceled(found))


@app.command(cls=HelpCommand)
def delete(
    batch: Annotated[str, typer.Argument(metavar="ID", help="The batch's id.")],
    json: _Json = False,
) -> None:
    """Delete a batch of ours, with its results, from the API.

    Only one whose results are on this disk; nothing can bring them back.

    Examples:

        claudebatch batches delete msgbatch_01HkcT
    """
    (line,) = _by_id(batch)
    why = _why_kept(line)
    if why:
        raise ClaudebatchError(
            "E773",
            f"{batch} {why}",
            fix="leave it: the API removes its results 29 days after it was made",
        )
    run_loop(lambda: _account().delete(line))
    if json:
        sys.stdout.write(json_line({"deleted": batch_fields(line)}))
    else:
        _stdout().say(f"{batch} is deleted; its results are in {line.output}")


def _why_kept(line: BatchLine) -> str:
    """Why deleting it could lose answers; empty where it could not."""
    if not line.ours:
        return "was made by no run of this machine"
    if line.state != "collected":
        return "is not collected: the same command of its run collects it"
    # The results file may be anywhere, and it is no proof: the journal is, and not the
    # ledger. Of a folder that came out of an old copy it knows more than is there.
    kept = bool(line.folder) and has_collected(Path(line.folder) / JOURNAL, line.id)
    return "" if kept else "has no journal with its answers here: its run was purged or moved"


def _canceled(found: list[BatchLine]) -> Iterator[str]:
    for line in found:
        ended = line.status == "ended"
        yield f"{line.id}: {'has ended already' if ended else 'is being canceled'}"
    if any(line.ours for line in found):
        yield "What was begun may still be answered and billed. The run's own command collects"
        yield "it, and sends the other rows again."


def _wanted(name: str) -> list[BatchLine]:
    """The batches that *name* means: one by its id, or all of a run."""
    if name.startswith("msgbatch_") or any(line.id == name for line in batch_lines(_ledger())):
        return _by_id(name)
    # Whatever is no id of a batch is the name of a run: people type the results file.
    run = RunRegister(_ledger()).find(name)
    found = [line for line in batch_lines(_ledger()) if line.run == run.run]
    if not found:
        raise ClaudebatchError(
            "E770",
            f"{run.run} has sent no batch",
            fix=f"see `claudebatch runs show {shlex.quote(run.run)}`",
        )
    return found


def _by_id(id: str) -> list[BatchLine]:
    known = [line for line in batch_lines(_ledger()) if line.id == id]
    # Of one that is not ours, the API may know.
    return known or [BatchLine(id=id, requests=0)]


def _account() -> BatchAccount:
    # The machinery of requests: `--help` need not wait for it.
    from claudebatch.cli.wiring.batch_account import BatchAccount  # noqa: PLC0415

    return BatchAccount.open(now=_now, wall=_wall)


def _wall() -> datetime:
    return datetime.now(UTC)  # noqa: TID251  # a command is where time comes in


def _ledger() -> Path:
    return Paths.from_environment(environment()).ledger


def _stdout() -> Terminal:
    return Terminal(sys.stdout, environment(), must_write=True)
