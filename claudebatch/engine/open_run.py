"""Opening a run: its folder, its lock, its input, its output; everything up to the
first request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import BinaryIO

from claudebatch.config.paths import Paths
from claudebatch.core.events import Emit
from claudebatch.engine.index_input import NOBODY, IndexedInput, Looks, index_input
from claudebatch.engine.run_inputs import (
    check_inputs,
    drop_spool,
    folder_name,
    input_files,
    spool_stdin,
)
from claudebatch.engine.run_place import fix_tag, open_folder
from claudebatch.outputs.table_columns import check_names
from claudebatch.setup.run_options import RunOptions
from claudebatch.setup.run_setup import RunSetup
from claudebatch.storage.journal.newest_results import row_fields
from claudebatch.storage.private_files import sync_dir
from claudebatch.storage.run_folder import RunFolder, beside


@dataclass(frozen=True, slots=True)
class OpenRun:
    """A run that is locked, checked and indexed: ready to go on."""

    run_id: str
    folder: RunFolder
    files: tuple[Path, ...]
    output: Path | None
    """None: standard output."""
    lanes: tuple[str, ...]
    changed_output: bool
    """Rows changed or left, so the results file is out of date."""
    removed: int
    """Rows that an earlier session answered and the input no longer holds, seen now for
    the first time.
    """
    bad_rows: int
    """Lines left out under `--on-bad-row skip`."""
    limit: int | None = None
    """So many of the first rows of the index are those of this session; None: all."""
    job: str = ""
    """Equal for two sessions that ask the same of the same input, however many of its
    rows they take.
    """

    def begin(self) -> None:
        """Take the place of the run before, if this one starts over; until now nothing
        of it was touched.
        """
        # The last point at which the run could still be refused has passed.
        self.folder.take_over()
        if self.folder.meta("set_aside"):
            if self.output is not None and self.output.exists():
                self.output.rename(_previous(self.output))
                sync_dir(self.output.parent)
            self.folder.note(set_aside=False)


@contextmanager
def open_run(
    options: RunOptions,
    run_setup: RunSetup,
    paths: Paths,
    *,
    stdin: BinaryIO,
    started: datetime,
    emit: Emit,
    key_scope: str,
    looks: Looks = NOBODY,
    removes: Callable[[int], None] = lambda rows: None,
) -> Iterator[OpenRun]:
    """The run that *options* name, made or resumed; unlocked again at the end.

    *looks* see the checked rows; *key_scope* is what cached answers belong to.
    *removes* is called with the number of answered rows that would go from the results
    because their lines are gone, and may raise: then all is as before.

    Raises `LockedError`, `InvalidInput` and other `ClaudebatchError`s, with nothing
    sent.
    """
    with _locked(options, paths, stdin=stdin, started=started, emit=emit) as (folder, spooled):
        fix_tag(folder, run_setup.settings.tag)
        files = input_files(options, folder, spooled, emit)
        indexed = index_input(
            options,
            run_setup,
            folder,
            files,
            emit=emit,
            key_scope=key_scope,
            looks=looks,
            removes=removes,
        )
        # A name that no row has would only be seen when all is paid for.
        check_names(options.columns or (), row_fields(folder.journal))
        _warn(options, run_setup, folder, indexed, emit=emit, on=started.date())
        yield OpenRun(
            run_id=folder.meta("run_id"),
            folder=folder,
            files=files,
            output=options.output_path,
            lanes=indexed.lanes,
            changed_output=bool(indexed.changed or indexed.removed),
            removed=indexed.removed,
            bad_rows=indexed.bad_rows,
            limit=indexed.limit,
            job=indexed.job,
        )


@contextmanager
def _locked(
    options: RunOptions, paths: Paths, *, stdin: BinaryIO, started: datetime, emit: Emit
) -> Iterator[tuple[RunFolder, Path | None]]:
    """The folder of the run, and the file that standard input was copied to; gone again
    at the end.
    """
    output = options.output_path
    # Before a folder is made or --fresh moves anything.
    check_inputs(options, output)
    spooled = spool_stdin(options, paths, stdin)
    try:
        place = beside(output) if output is not None else paths.runs / folder_name(options, spooled)
        folder = open_folder(options, place, output, started, emit)
        try:
            yield folder, spooled
        finally:
            folder.close()
    finally:
        drop_spool(spooled)


def _warn(
    options: RunOptions,
    run_setup: RunSetup,
    folder: RunFolder,
    indexed: IndexedInput,
    *,
    emit: Emit,
    on: date,
) -> None:
    # Usually a filter that found nothing, or the wrong file; the run ends well.
    if not (indexed.lanes and indexed.limit != 0) and not indexed.bad_rows:
        emit(options.no_rows)
    for warning in run_setup.warnings(set(folder.meta("models")), on):
        emit(warning)


def _previous(output: Path) -> Path:
    place, number = output.with_name(output.name + ".previous"), 1
    while place.exists():
        number += 1
        place = output.with_name(f"{output.name}.previous-{number}")
    return place
