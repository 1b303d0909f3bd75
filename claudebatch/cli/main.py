"""The command line: its commands, and the way from `sys.argv` to an exit code."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Annotated

import typer
from typer.main import get_command

from claudebatch import __version__
from claudebatch.cli import account_batches, cache, shared_command
from claudebatch.cli.doctor.doctor_command import doctor
from claudebatch.cli.error_events import tell_program
from claudebatch.cli.estimate import estimate
from claudebatch.cli.export import export
from claudebatch.cli.help_text import HelpCommand, HelpGroup
from claudebatch.cli.last_words import crash, failed, interrupted, silence, written
from claudebatch.cli.list_shapes import shapes
from claudebatch.cli.models import models
from claudebatch.cli.process_guard import check_words, guarded
from claudebatch.cli.render import render
from claudebatch.cli.run import run
from claudebatch.cli.runs import commands as runs
from claudebatch.cli.simulate import simulate
from claudebatch.cli.spend import spend
from claudebatch.config import environment, unset_empty
from claudebatch.config.variables import check_variables, unknown_variables
from claudebatch.core.errors import ClaudebatchError, ExitCode
from claudebatch.core.process_signals import signal_handler
from claudebatch.ui.error_text import render_notice
from claudebatch.ui.terminal import Terminal

_EPILOG = """Exit codes:

    0    every row has an answer

    1    some rows failed, or lines were left out

    2    usage, settings or input error; nothing was sent

    3    the budget's cap is reached; resumable

    4    authentication, permission or billing

    5    the API is unavailable; resumable

    6    a local file cannot be read or written; resumable

    7    another run holds the output

    70   internal error

    129  stopped because its terminal closed; resumable

    130  stopped by Ctrl-C; resumable

    143  stopped by a kill (SIGTERM); resumable

Any other non-zero code is a failure.
"""

_HELP = """Run files of prompts through the Claude API: within its rate limits, nothing
paid for twice, never past your budget.

Examples:

    claudebatch run prompts.jsonl --simulate

    claudebatch estimate prompts.jsonl

    claudebatch run prompts.jsonl --budget 5

    claudebatch spend --by model

    claudebatch help run
"""

app = typer.Typer(
    name="claudebatch",
    cls=HelpGroup,
    help=_HELP,
    epilog=_EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(epilog=_EPILOG, cls=HelpCommand)(run)
app.command(cls=HelpCommand)(estimate)
app.command(cls=HelpCommand)(render)
app.command(cls=HelpCommand)(export)
app.command(cls=HelpCommand)(models)
app.command(cls=HelpCommand)(shapes)
app.command(cls=HelpCommand)(spend)
app.add_typer(runs.app, name="runs")
app.add_typer(account_batches.app, name="batches")
app.add_typer(cache.app, name="cache")
app.add_typer(shared_command.app, name="shared")
app.command(cls=HelpCommand)(simulate)
app.command(cls=HelpCommand)(doctor)


@app.command("help", cls=HelpCommand)
def show_help(
    command: Annotated[
        list[str] | None, typer.Argument(metavar="COMMAND", help="A command, such as runs list.")
    ] = None,
) -> None:
    """Show the help of a command.

    Examples:

        claudebatch help run

        claudebatch help runs list
    """
    _parse([*(command or ()), "--help"])


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"claudebatch {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    _: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version and exit.", callback=_version, is_eager=True
        ),
    ] = False,
) -> None: ...


@functools.cache
def _parser() -> Callable[..., object]:
    # Once a process: the parsers of all commands take 25 ms.
    return get_command(app)


def _parse(words: list[str] | None = None) -> object:
    """Do what *words* say, by default those of the command line."""
    return _parser()(words, prog_name=app.info.name, standalone_mode=False)


def run_command_line() -> int:
    """Run the command that `sys.argv` names; returns the exit code and never raises."""
    with guarded(environment(), crash):
        try:
            return written(_run())
        except KeyboardInterrupt:
            # The interpreter would write what is left, and hang where nobody reads.
            silence(sys.stdout)
            return interrupted()


def _run() -> int:
    try:
        _check_surroundings()
        code = _parse()
    except SystemExit as leaving:
        # Where the reader of a pipe has left, the option parser makes a 1 of it.
        code = (
            ExitCode.LOCAL_IO if isinstance(leaving.__context__, BrokenPipeError) else leaving.code
        )
    # The last resort: no traceback, no prompt, no key on the screen.
    except BaseException as error:  # noqa: BLE001
        return failed(error)
    if signal_handler().raised and code == ExitCode.INTERRUPTED:
        # The option parser makes a 130 of every interruption, without a word.
        return interrupted()
    return code if isinstance(code, int) else ExitCode.OK


def _check_surroundings() -> None:
    """Raise `ClaudebatchError` for words or variables that no command takes."""
    try:
        check_words(sys.argv[1:], environment())
        unset_empty()
        check_variables(environment())
    except ClaudebatchError as error:
        tell_program(error, sys.argv[1:])
        raise
    if sys.argv[1:2] != ["run"] or "--dry-run" in sys.argv:
        # A run tells it among its other notices, as an event where events are asked
        # for.
        notices = map(render_notice, unknown_variables(environment()))
        Terminal(sys.stderr, environment()).tell(notices)
