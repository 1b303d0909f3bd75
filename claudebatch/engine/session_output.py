"""The results of a session: a file that agrees with the journal when the session begins
and when it ends, or standard output.

JSON lines are appended while the run goes on; every other form is written whole, from
the journal, at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

from claudebatch.core.errors import StorageError
from claudebatch.core.notice import Notice
from claudebatch.core.os_faults import os_fault
from claudebatch.core.plurals import counted
from claudebatch.engine.open_run import OpenRun
from claudebatch.outputs.run_table import RunTable, table_lines
from claudebatch.outputs.to_standard_output import write_to_standard_output
from claudebatch.setup.run_options import RunOptions
from claudebatch.storage.journal.queries import drop_superseded, result_lines
from claudebatch.storage.results_file import FileOutput, OutputRepair, StreamOutput, mend


class Lines(Protocol):
    """The destination of result lines while the run goes on."""

    def append(self, lines: list[bytes]) -> None:
        """Write whole lines."""
        ...

    def close(self) -> None:
        """Make them durable."""
        ...


class _Held:
    """Lines that wait in the journal until all of them are written."""

    def append(self, lines: list[bytes]) -> None:
        pass

    def close(self) -> None:
        pass


class SessionOutput:
    """Where a session's results go."""

    def __init__(self, options: RunOptions, run: OpenRun) -> None:
        self._options = options
        self._run = run
        form = options.form
        self._table = (
            None
            if form.grows or run.output is None
            else RunTable(run.folder, run.output, form, options.layout)
        )
        # Mutable: who hears of an edited file, once there is a listener.
        self._emit: Callable[[Notice], None] = lambda notice: None

    def prepare(self, emit: Callable[[Notice], None], *, pending: bool) -> Lines:
        """The output, made to hold what the journal holds; *pending*: there are rows to
        be done.
        """
        self._emit = emit
        folder, path = self._run.folder, self._run.output
        if folder.meta("stale"):
            # A session with --retry-failed died before it could: both results of a row
            # would stay in the file.
            drop_superseded(folder.journal)
        if path is None:
            folder.note(stale=self._options.asks_again)
            return self._to_standard_output()
        if self._table is not None:
            if self._run.changed_output:
                folder.note(stale=True)
            self._report_set_aside(path, self._table.prepare())
            return _Held()
        return self._growing_file(path, pending=pending)

    def finish(self) -> None:
        """Put the output in its final form. Raises `StorageError`."""
        folder, path = self._run.folder, self._run.output
        superseded = drop_superseded(folder.journal) if self._options.asks_again else 0
        if path is None:
            folder.note(stale=False)
            self._end_standard_output()
        elif self._table is not None:
            self._report_set_aside(path, self._table.finish())
        elif self._options.ordered or superseded:
            # Until the file is whole again, the next session must write it anew, not
            # compare it.
            folder.note(stale=True)
            mend(path, result_lines(folder.journal, ordered=self._options.ordered), rewrite=True)
            folder.note(stale=False, ordered=self._options.ordered)
        else:
            folder.note(stale=False)

    @property
    def is_table(self) -> bool:
        """Whether it is a file that is written whole."""
        return self._table is not None

    def save(self) -> None:
        """Write what is there although the session crashed, where nothing was written
        while it went on.
        """
        if self._table is not None:
            self._table.finish()

    def _growing_file(self, path: Path, *, pending: bool) -> Lines:
        journal, folder = self._run.folder.journal, self._run.folder
        in_order = bool(folder.meta("ordered"))
        # A table that an earlier session wrote makes room for the lines.
        earlier = RunTable.noted(folder, path)
        replaced = earlier is not None and earlier.forget()
        # New lines go to the end, so the file must be in order of arrival while rows
        # are pending; a file in the input's order is written anew.
        stale = bool(folder.meta("stale")) or self._run.changed_output or (in_order and pending)
        stale = stale or replaced
        if stale and in_order and pending:
            in_order = False
        # Before the file is touched: a crash in between must find the note, or a
        # half-written file would pass for one that a user has edited.
        folder.note(stale=stale, ordered=in_order)
        repair = mend(path, result_lines(journal, ordered=in_order), rewrite=stale)
        if repair.set_aside is not None:
            # The file was moved aside: the journal is written anew, whole.
            mend(path, result_lines(journal, ordered=in_order), rewrite=True)
        _report_repair(repair, str(path), self._emit, stale=stale)
        folder.note(stale=self._options.asks_again)
        return FileOutput(path)

    def _to_standard_output(self) -> Lines:
        if self._options.ordered or not self._options.form.grows:
            return _Held()
        return _all_lines(result_lines(self._run.folder.journal, ordered=False))

    def _end_standard_output(self) -> None:
        journal, form = self._run.folder.journal, self._options.form
        if form.grows:
            if self._options.ordered:
                _all_lines(result_lines(journal, ordered=True))
            return
        try:
            write_to_standard_output(table_lines(journal), form, self._options.layout)
        except OSError as error:
            raise _unwritable(error) from error

    def _report_set_aside(self, path: Path, aside: Path | None) -> None:
        _report_repair(OutputRepair(set_aside=aside), str(path), self._emit, stale=True)


def _all_lines(lines: Iterable[bytes]) -> StreamOutput:
    output = StreamOutput()
    try:
        for line in lines:
            output.append([line])
    except OSError as error:
        raise _unwritable(error) from error
    return output


def _unwritable(error: OSError) -> StorageError:
    return StorageError(
        "E610",
        f"the results cannot be written: {os_fault(error).reason}",
        fix="run the same command again: nothing is lost",
    )


def _report_repair(
    repair: OutputRepair, path: str, emit: Callable[[Notice], None], *, stale: bool
) -> None:
    if repair.set_aside is not None:
        emit(
            Notice(
                "W046",
                f"{path} was edited: your version is saved as {repair.set_aside}, and the "
                f"results are written again",
            )
        )
    elif repair.torn:
        emit(Notice("N047", f"{path} ended in an incomplete line; it was repaired"))
    elif repair.added and not stale:
        emit(
            Notice(
                "N048",
                f"{counted(repair.added, 'result was', 'results were')} missing from {path}: "
                f"added from the run's journal",
            )
        )
