"""The last words of a command: what becomes of its errors and of its output, and the
exit code.
"""

from __future__ import annotations

import io
import os
import sqlite3
import sys
import traceback
from pathlib import Path
from typing import IO, NamedTuple, Protocol, runtime_checkable

import typer

from claudebatch import __version__
from claudebatch.cli.error_events import tell_program
from claudebatch.cli.tried_words import instead
from claudebatch.clients.redaction import Redactor
from claudebatch.config import environment
from claudebatch.config.credentials import secrets
from claudebatch.config.paths import Paths
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

_USAGE_IDS = {
    "NoSuchOption": "E002",
    "MissingParameter": "E003",
    "BadParameter": "E004",
    "BadOptionUsage": "E005",
}
"""Complaints of the option parser; any other is E001."""


def failed(error: BaseException) -> int:
    """Say what *error* was to the user; returns the exit code."""
    # What a signal raised may have become another error on its way: SQLite makes its
    # own of whatever ends a callback.
    if signal_handler().raised or isinstance(error, (KeyboardInterrupt, typer.Abort)):
        return interrupted()
    if isinstance(error, (ClaudebatchError, StopRun)):
        return _report(error)
    if isinstance(error, BrokenPipeError):
        return ExitCode.LOCAL_IO
    if isinstance(error, (OSError, sqlite3.Error, MemoryError)):
        return _report(_system(error))
    return _refuse(error) if isinstance(error, Complaint) else crash(error)


def interrupted() -> int:
    """Say which signal ended the command; returns its exit code."""
    signals = signal_handler()
    _stderr().say(signals.words)
    return signals.exit_code


def written(code: int) -> int:
    """*code* once all output is written; 6 if it cannot be. The interpreter would find
    that out later, and exit with 120.
    """
    try:
        sys.stdout.flush()
    except OSError as error:
        if not isinstance(error, BrokenPipeError):
            _report(_system(error))
        code = max(code, ExitCode.LOCAL_IO)
        silence(sys.stdout)
    try:
        sys.stderr.flush()
    except OSError:
        # A terminal that was closed: words that nobody reads change no result.
        silence(sys.stderr)
    return code


def silence(stream: IO[str]) -> None:
    """Let what is left of *stream* go nowhere."""
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


def crash(error: BaseException) -> int:
    """Note where the program failed, without the user's data; returns the exit code."""
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
