"""The command line: its commands, and what becomes of errors."""

from __future__ import annotations

import os
import sqlite3
import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer

from claudebatch import __version__
from claudebatch.cli import cache
from claudebatch.cli.run import run
from claudebatch.cli.simulate import simulate
from claudebatch.cli.spend import spend
from claudebatch.config import environment
from claudebatch.config.paths import Paths
from claudebatch.errors import ClaudebatchError, ExitCode, StopRun, StorageError
from claudebatch.stores.files import private_dir
from claudebatch.ui.errors import render_bad_rows, render_error
from claudebatch.ui.terminal import Terminal

_EPILOG = (
    "Exit codes: 0 every row has an answer · 1 some rows failed · 2 usage, config or input error, nothing sent · "
    "3 budget cap reached, resumable · 4 authentication, permission or billing · 5 API unavailable, resumable · "
    "6 local files failed, resumable · 7 another run holds the output · 70 internal error · "
    "129/130/143 stopped by a signal after draining. Any other non-zero code is a failure."
)

app = typer.Typer(
    name="claudebatch",
    help="Run files of prompts through the Claude API: no 429s, nothing paid for twice, never past the cap.",
    epilog=_EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
app.command(epilog=_EPILOG)(run)
app.command()(spend)
app.add_typer(cache.app, name="cache")
app.command()(simulate)


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)] = False,
) -> None:
    if version:
        typer.echo(f"claudebatch {__version__}")
        raise typer.Exit


def run_command_line() -> int:
    """Run the command that `sys.argv` names; returns the exit code and never raises."""
    os.umask(0o077)  # whatever a library creates, nobody else may read
    try:
        app()
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else ExitCode.OK
    except (ClaudebatchError, StopRun) as error:
        return _tell(error)
    except BrokenPipeError:
        # Whoever read our output has left; the interpreter must not complain while it closes it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.LOCAL_IO
    except KeyboardInterrupt:
        _stderr().say("interrupted; nothing was lost")
        return ExitCode.INTERRUPTED
    except (OSError, sqlite3.Error) as error:
        return _tell(
            StorageError(f"a file cannot be read or written: {error}", fix="mend the disk, then run the same command")
        )
    except Exception as error:  # noqa: BLE001  # the last resort: no traceback, no prompt, no key on the screen
        return _crash(error)
    return ExitCode.OK


def _tell(error: ClaudebatchError | StopRun) -> int:
    terminal = _stderr()
    bad = getattr(error, "bad", None)
    if bad:
        terminal.say_all(render_bad_rows(bad))
    terminal.say_all(render_error(error), style="error")
    return error.exit_code


def _crash(error: Exception) -> int:
    place = "not written"
    try:
        folder = private_dir(Paths.from_environment(environment()).ledger.parent)
        file = folder / f"crash-{os.getpid()}.txt"
        file.write_text(_redacted(error))
        place = str(file)
    except (OSError, ClaudebatchError):
        pass
    _stderr().say_all(
        (
            f"error: internal error: {type(error).__name__}",
            f"  what happened, without your data: {place}",
            "  hint: run the same command again; it continues where it stopped",
        ),
        style="error",
    )
    if environment().get("CLAUDEBATCH_DEBUG"):
        traceback.print_exception(error)
    return ExitCode.INTERNAL


def _redacted(error: BaseException) -> str:
    # Frames only: the message of an exception may hold a prompt or a key.
    frames = traceback.extract_tb(error.__traceback__)
    where = "\n".join(f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames)
    cause = error.__cause__ or error.__context__
    return f"claudebatch {__version__}\n{type(error).__name__}\n{where}\n" + (_redacted(cause) if cause else "")


def _stderr() -> Terminal:
    return Terminal(sys.stderr, environment())
