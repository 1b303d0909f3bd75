"""The command line: its commands, and what becomes of errors."""

from __future__ import annotations

import functools
import io
import os
import sqlite3
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import IO, Annotated, NamedTuple, Protocol, runtime_checkable

import typer
from typer.main import get_command

from claudebatch import __version__
from claudebatch.cli import account_batches, cache, shared_command
from claudebatch.cli.doctor.doctor_command import doctor
from claudebatch.cli.error_events import tell_program
from claudebatch.cli.estimate import estimate
from claudebatch.cli.export import export
from claudebatch.cli.help_text import HelpCommand, HelpGroup
from claudebatch.cli.list_shapes import shapes
from claudebatch.cli.models import models
from claudebatch.cli.process_guard import check_words, guarded
from claudebatch.cli.render import render
from claudebatch.cli.run import run
from claudebatch.cli.runs import commands as runs
from claudebatch.cli.simulate import simulate
from claudebatch.cli.spend import spend
from claudebatch.cli.tried_words import instead
from claudebatch.clients.redaction import Redactor
from claudebatch.config import environment, unset_empty
from claudebatch.config.credentials import secrets
from claudebatch.config.paths import Paths
from claudebatch.config.variables import check_variables
from claudebatch.core.errors import ClaudebatchError, ExitCode, StopRun, StorageError
from claudebatch.core.os_faults import os_fault, place_of
from claudebatch.core.process_signals import signal_handler
from claudebatch.core.typos import meant
from claudebatch.storage.private_files import new_file, private_dir
from claudebatch.ui.error_text import (
    complaint_in,
    headed,
    render_bad_rows,
    render_error,
    render_usage,
)
from claudebatch.ui.sanitise import visible
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

_USAGE_IDS = {
    "NoSuchOption": "E002",
    "MissingParameter": "E003",
    "BadParameter": "E004",
    "BadOptionUsage": "E005",
}
"""Complaints of the option parser; any other is E001."""

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
    with guarded(environment(), _crash):
        try:
            return _written(_run())
        except KeyboardInterrupt:
            # The interpreter would write what is left, and hang where nobody reads.
            _silence(sys.stdout)
            return _interrupted()


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
        return _failed(error)
    if signal_handler().raised and code == ExitCode.INTERRUPTED:
        # The option parser makes a 130 of every interruption, without a word.
        return _interrupted()
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


def _failed(error: BaseException) -> int:
    # What a signal raised may have become another error on its way: SQLite makes its
    # own of whatever ends a callback.
    if signal_handler().raised or isinstance(error, (KeyboardInterrupt, typer.Abort)):
        return _interrupted()
    if isinstance(error, (ClaudebatchError, StopRun)):
        return _report(error)
    if isinstance(error, BrokenPipeError):
        return ExitCode.LOCAL_IO
    if isinstance(error, (OSError, sqlite3.Error, MemoryError)):
        return _report(_system(error))
    return _refuse(error) if isinstance(error, Complaint) else _crash(error)


def _interrupted() -> int:
    signals = signal_handler()
    _stderr().say(signals.words)
    return signals.exit_code


def _written(code: int) -> int:
    """*code* once all output is written; 6 if it cannot be. The interpreter would find
    that out later, and exit with 120.
    """
    try:
        sys.stdout.flush()
    except OSError as error:
        if not isinstance(error, BrokenPipeError):
            _report(_system(error))
        code = max(code, ExitCode.LOCAL_IO)
        _silence(sys.stdout)
    try:
        sys.stderr.flush()
    except OSError:
        # A terminal that was closed: words that nobody reads change no result.
        _silence(sys.stderr)
    return code


def _silence(stream: IO[str]) -> None:
    # The interpreter flushes once more at its end, and would fail again.
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _system(error: Exception) -> StorageError:
    fault = os_fault(error)
    return StorageError("E011", f"{place_of(error)}{fault.reason}", fix=fault.fix)


@runtime_checkable
class Complaint(Protocol):
    """A usage error of the option parser; which class that is differs between its
    versions.
    """

    exit_code: int

    def show(self, file: IO[str]) -> None:
        """Write usage and error to *file*."""
        ...


class _Usage(NamedTuple):
    """A kind of complaint of the parser's."""

    id: str


def _refuse(error: Complaint) -> int:
    usage = io.StringIO()
    _only_what_was_meant(error)
    error.show(usage)
    kind = _Usage(_usage_id(error))
    _stderr().tell(render_usage(usage.getvalue(), kind.id, instead))
    complaint, fix = complaint_in(usage.getvalue(), instead)
    tell_program(ClaudebatchError(kind.id, " ".join(complaint.split()), fix=fix), sys.argv[1:])
    return error.exit_code


def _only_what_was_meant(error: Complaint) -> None:
    """Leave one option of those that the parser would propose: it proposes `--quiet`
    for `--buget`, too.
    """
    likely, given = getattr(error, "possibilities", None), getattr(error, "option_name", None)
    if likely and isinstance(given, str):
        names = {option.lstrip("-"): option for option in likely}
        best = meant(given.lstrip("-"), names)
        error.possibilities = [names[best]] if best else []  # type: ignore[attr-defined]


def _usage_id(error: Complaint) -> str:
    # By name: the parser's classes stand in other modules from version to version.
    return getattr(error, "id", "") or _USAGE_IDS.get(type(error).__name__, "E001")


def _report(error: ClaudebatchError | StopRun) -> int:
    terminal = _stderr()
    # Lines of the input that cannot be sent come before the sentence that counts them.
    bad = getattr(error, "bad", None)
    if bad is not None:
        terminal.tell(render_bad_rows(bad, beyond=bad.more))
    for each in (error, *getattr(error, "others", ())):
        lines = render_error(each)
        # The fix is advice: only what is wrong stands out.
        fix = next((n for n, line in enumerate(lines) if line.startswith("  hint: ")), len(lines))
        terminal.tell(lines[:fix], style="error")
        terminal.tell(lines[fix:], style="hint")
    return error.exit_code


def _crash(error: BaseException) -> int:
    # A disk that is full may be why there is a crash at all.
    place = "not written"
    try:
        folder = private_dir(Paths.from_environment(environment()).ledger.parent)
        place = str(new_file(folder, "crash-", ".txt", _redacted(error)))
    except (OSError, ClaudebatchError):
        pass
    _stderr().tell(
        (
            headed("E009", f"internal error: {type(error).__name__}"),
            f"  what happened, without your data: {place}",
            "  hint: run the same command again; it continues where it stopped",
        ),
        style="error",
    )
    # On demand: a traceback may quote what the user sends.
    if environment().get("CLAUDEBATCH_DEBUG"):
        words = Redactor(secrets(environment())).hide("".join(traceback.format_exception(error)))
        _stderr().say_all(visible(words, keep_newlines=True).splitlines())
    return ExitCode.INTERNAL


def _redacted(error: BaseException) -> str:
    told: set[int] = set()
    parts: list[str] = []
    cause: BaseException | None = error
    # An error that is raised again in the end may be among its own causes.
    while cause is not None and id(cause) not in told:
        told.add(id(cause))
        # Frames only: the message of an exception may hold a prompt or a key.
        frames = traceback.extract_tb(cause.__traceback__)
        where = [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]
        parts += [f"claudebatch {__version__}", type(cause).__name__, *where]
        cause = cause.__cause__ or cause.__context__
    return "\n".join(parts) + "\n"


def _stderr() -> Terminal:
    return Terminal(sys.stderr, environment())
