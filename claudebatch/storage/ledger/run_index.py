"""The runs in the ledger: all of them, one by its name, one in full."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from claudebatch.core.errors import ClaudebatchError, ExitCode
from claudebatch.core.reports import RunDetails, RunLine, RunState, SpendLine, UnknownAttempt
from claudebatch.storage.ledger.schema import Waits, not_reported, read_ledger, unreadable
from claudebatch.storage.ledger.spend_report import SpendReader
from claudebatch.storage.run_folder import SUFFIX, owner

_RUNS = (
    "SELECT *, (SELECT count(*) FROM batches b WHERE b.run = runs.run AND b.collected = 0)"
    " AS open_batches FROM runs ORDER BY started DESC, rowid DESC"
)
_UNKNOWN = (
    "SELECT attempt, id, sent_ms, model, worst, error, status, request_id FROM attempts WHERE "
    "run = ? AND state = 3"
    " ORDER BY attempt"
)
# Any other exit code leaves rows without an answer.
_FINISHED = (ExitCode.OK, ExitCode.ROWS_FAILED)


class RunRegister:
    """The runs of the ledger at *path*, read only."""

    def __init__(self, path: Path, *, waits: Waits = not_reported) -> None:
        """*waits* is called when another program keeps the file locked."""
        self._path = path
        self._waits = waits

    def runs(self) -> list[RunLine]:
        """All runs, the newest first. Nothing where there is no ledger yet."""
        # Two questions in place of one join: spend is summed in Python, in whole
        # numbers of any size.
        spend = {line.label: line for line in SpendReader(self._path, waits=self._waits).by("run")}
        with self._reading() as connection:
            found = _dicts(connection, _RUNS) if connection is not None else []
        return [_run_line(row, spend.get(row["run"], SpendLine(row["run"]))) for row in found]

    def find(self, name: str) -> RunLine:
        """The run that *name* means: its id, the beginning of only one id, or its
        results file (the newest of those).

        Raises `ClaudebatchError`.
        """
        runs = self.runs()
        folder = str(Path(name).absolute()) + SUFFIX
        # The newest first: `runs show out.jsonl` means the last run into that file.
        exact = [run for run in runs if name == run.run or run.folder == folder][:1]
        found = exact or [run for run in runs if name and run.run.startswith(name)]
        if len(found) == 1:
            return found[0]
        if found:
            some = ", ".join(run.run for run in found[:5])
            raise ClaudebatchError(
                "E622", f'"{name}" matches {len(found)} runs', fix=f"give more of it: {some}"
            )
        raise ClaudebatchError(
            "E623", f'there is no run "{name}"', fix="see `claudebatch runs list` for their names"
        )

    def details(self, run: RunLine) -> RunDetails:
        """*run* in full."""
        models = SpendReader(self._path, waits=self._waits).by("model", run=run.run)
        with self._reading() as connection:
            unknown = (
                connection.execute(_UNKNOWN, (run.run,)).fetchall()
                if connection is not None
                else []
            )
        return RunDetails(run, tuple(models), tuple(UnknownAttempt(*row) for row in unknown))

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection | None]:
        try:
            connection = read_ledger(self._path, waits=self._waits)
            try:
                yield connection
            finally:
                if connection is not None:
                    connection.close()
        except sqlite3.Error as error:
            raise unreadable(self._path, error) from error


def _dicts(connection: sqlite3.Connection, query: str) -> list[dict[str, Any]]:
    cursor = connection.execute(query)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]


def _run_line(row: dict[str, Any], spend: SpendLine) -> RunLine:
    names = (
        "tag",
        "output",
        "folder",
        "started",
        "ended",
        "rows",
        "succeeded",
        "failed",
        "exit_code",
        "open_batches",
    )
    return RunLine(row["run"], _state(row), **{name: row[name] for name in names}, spend=spend)


def _state(row: dict[str, Any]) -> RunState:
    if row["ended"] is None:
        # The ledger cannot know that a process died: only its signature in the folder
        # tells.
        return "running" if row["folder"] and owner(Path(row["folder"])) is not None else "died"
    # Before its exit code: one that left with --detach ended with 0.
    if row["open_batches"]:
        return "in batches"
    if row["rows"] is None:  # of a version that did not note how a run ended
        return "finished"
    done = row["exit_code"] in _FINISHED and row["rows"] == row["succeeded"] + row["failed"]
    return "finished" if done else "stopped"
