"""Opening a run: its folder, its lock, its input, its output; everything up to the
first request.
"""

from __future__ import annotations

import errno
import hashlib
import shlex
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from claudebatch import __version__
from claudebatch.config.paths import Paths
from claudebatch.core.domain import Call
from claudebatch.core.errors import ClaudebatchError
from claudebatch.core.events import Emit, Notice
from claudebatch.core.jsonl import check_file
from claudebatch.setup.run_options import RunOptions
from claudebatch.setup.run_setup import RunSetup
from claudebatch.setup.stack import Keys
from claudebatch.setup.validate_input import Intake, fingerprint
from claudebatch.storage.journal import IndexReport, RowRecord, index_rows
from claudebatch.storage.journal.queries import drop_simulated, holds_real_answers, live_rows
from claudebatch.storage.private_files import (
    STATE_DIR,
    new_file,
    private_dir,
    private_file,
    sync_dir,
)
from claudebatch.storage.results_file import check_place
from claudebatch.storage.run_folder import RunFolder, beside

_READ_BYTES = 1 << 20


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

    def begin(self) -> None:
        """Take the place of the run before, if this one starts over; until now nothing
        of it was touched.
        """
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
    each: Callable[[RowRecord, Call], None] | None = None,
) -> Iterator[OpenRun]:
    """The run that *options* name, made or resumed; unlocked again at the end.

    *each* sees every checked row; *key_scope* is what cached answers belong to.

    Raises `LockedError`, `InvalidInput` and other `ClaudebatchError`s, with nothing
    sent.
    """
    output = options.output_path
    _check_inputs(options, output)  # before a folder is made or --fresh moves anything
    spooled = _spooled(options, paths, stdin)
    place = beside(output) if output is not None else paths.runs / _name(options, spooled)
    try:
        folder = _open_folder(options, place, output, started, emit)
    except BaseException:
        _drop(spooled)
        raise
    try:
        _fix_tag(folder, run_setup.settings.tag)
        files = _files(options, folder, spooled)
        report, lanes, bad_rows = _index(options, run_setup, folder, files, emit, key_scope, each)
        for warning in run_setup.warnings(set(folder.meta("models")), started.date()):
            emit(Notice(warning))
        yield OpenRun(
            folder.meta("run_id"),
            folder,
            files,
            output,
            lanes,
            report is not None and bool(report.changed or report.removed),
            report.removed if report is not None else 0,
            bad_rows,
        )
    finally:
        folder.close()
        _drop(spooled)


def _open_folder(
    options: RunOptions, place: Path, output: Path | None, started: datetime, emit: Emit
) -> RunFolder:
    folder = RunFolder.open(place, started=started, fresh=options.fresh)
    try:
        begun = folder.meta("simulated") is not None
        answered = folder.has_attempts()
        rehearsed = _was_rehearsal(options, folder)
        replaced = False
        # A run that met a simulator on its way holds both.
        mixed = not folder.meta("simulated") and holds_real_answers(folder.journal)
        if answered and options.simulate and (mixed or not rehearsed):
            raise ClaudebatchError(
                f"{output or place} holds real answers; a simulated run would mix with them",
                fix="write the rehearsal elsewhere with -o",
            )
        if answered and rehearsed and not options.simulate:
            emit(Notice("the simulated results of the rehearsal are replaced"))
            if mixed:
                drop_simulated(folder.journal)
                folder.note(simulator=None, stale=True)
            else:
                folder.start_over()
                begun = False
                replaced = True
        if begun:
            folder.note(simulated=options.simulate)
        else:
            _begin(options, folder, output, started, replaced=replaced)
    except BaseException:
        folder.close()
        raise
    return folder


def _was_rehearsal(options: RunOptions, folder: RunFolder) -> bool:
    """Whether what the folder holds was made up: by --simulate, or by a simulator that
    is not asked any more.
    """
    simulator = folder.meta("simulator")
    return bool(folder.meta("simulated")) or (
        simulator is not None and simulator != options.base_url
    )


def _begin(
    options: RunOptions,
    folder: RunFolder,
    output: Path | None,
    started: datetime,
    *,
    replaced: bool,
) -> None:
    """Note who the run is; *replaced*: what the results file holds was a rehearsal, and
    is written over.
    """
    there = output is not None and output.exists() and output.stat().st_size > 0
    if there and not (options.fresh or replaced):
        raise ClaudebatchError(
            f"{output} exists and is not the result of a run that can be resumed",
            fix="write elsewhere with -o, or start over with --fresh (the old file is kept as "
            ".previous)",
        )
    tail = uuid.uuid4().hex[:6]  # noqa: TID251  # a name that must differ from every other, whatever the seed
    run_id = f"{started:%Y%m%dT%H%M%S}-{tail}"
    folder.note(
        run_id=run_id,
        simulated=options.simulate,
        started=started.isoformat(timespec="seconds"),
        set_aside=there and not replaced,
        stale=replaced,
    )


def _fix_tag(folder: RunFolder, tag: str) -> None:
    """A run keeps the tag of its first session: what it spent has counted against the
    caps of that one.
    """
    known = folder.meta("tag") or ""
    if folder.has_attempts() and known != tag:
        raise ClaudebatchError(
            f'this run began with the tag "{known}"' if known else "this run began without a tag",
            fix=f"add --tag {shlex.quote(known)}"
            if known
            else "leave out --tag, or start over with --fresh",
        )
    folder.note(tag=tag)


def _previous(output: Path) -> Path:
    place, number = output.with_name(output.name + ".previous"), 1
    while place.exists():
        number += 1
        place = output.with_name(f"{output.name}.previous-{number}")
    return place


def _index(
    options: RunOptions,
    run_setup: RunSetup,
    folder: RunFolder,
    files: Sequence[Path],
    emit: Emit,
    key_scope: str,
    each: Callable[[RowRecord, Call], None] | None,
) -> tuple[IndexReport | None, tuple[str, ...], int]:
    cached = run_setup.settings.cache.enabled and not options.no_cache
    made_by = (__version__, key_scope, cached, options.model, options.limit, options.text)
    print_now = fingerprint(files, run_setup.settings.intake_text, *map(str, (*made_by, *files)))
    # The index has no checksums; rows that fell out of it would be missed by nobody.
    if folder.meta("input") == print_now and folder.meta("rows") == live_rows(folder.journal):
        options.require_rows(bool(folder.meta("lanes")))
        run_setup.require_prices(set(folder.meta("models")))
        return None, tuple(folder.meta("lanes")), folder.meta("bad_rows")
    intake = Intake(run_setup, files, limit=options.limit, key=Keys(key_scope) if cached else None)
    with _rolled_back_on_refusal(folder):
        report = index_rows(folder.journal, intake.records(each), limit=options.limit)
        intake.refuse(report.twins)
        options.require_rows(bool(intake.models))
        run_setup.require_prices(intake.models)
        lanes = tuple(sorted({run_setup.catalog.pool_of(model) for model in intake.models}))
        folder.note(
            input=print_now,
            rows=live_rows(folder.journal),
            models=sorted(intake.models),
            lanes=lanes,
            bad_rows=intake.bad_count,
        )
        if report.changed or report.removed:
            folder.note(
                stale=True
            )  # even if this run goes no further, the results file is out of date now
    _tell(report, intake.bad_count, emit)
    return report, lanes, intake.bad_count


@contextmanager
def _rolled_back_on_refusal(folder: RunFolder) -> Iterator[None]:
    folder.journal.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        folder.journal.execute("ROLLBACK")
        raise
    folder.journal.execute("COMMIT")


def _tell(report: IndexReport, bad_rows: int, emit: Emit) -> None:
    if bad_rows:
        emit(Notice(f"{bad_rows:,} bad lines are left out"))
    if report.changed:
        emit(Notice(f"{report.changed:,} rows changed since they were answered; they run again"))
    if report.removed:
        emit(
            Notice(
                f"{report.removed:,} answered rows are no longer in the input; their results are "
                f"left out"
            )
        )


def _spooled(options: RunOptions, paths: Paths, stdin: BinaryIO) -> Path | None:
    if "-" not in options.inputs or stdin.isatty():
        return None
    private_dir(paths.runs, named_by=STATE_DIR)
    # Under a name of its own: processes of two containers may share this folder and
    # have one number.
    spool = new_file(paths.runs, "stdin-", ".jsonl", "")
    with spool.open("wb") as file:
        shutil.copyfileobj(stdin, file, _READ_BYTES)
    return spool


def _name(options: RunOptions, spooled: Path | None) -> str:
    # A run without a results file is known by what it reads.
    if spooled is not None:
        return fingerprint([spooled])[:16]
    paths = "\0".join(str(Path(name).absolute()) for name in options.inputs)
    return hashlib.sha256(paths.encode()).hexdigest()[:16]


def _files(options: RunOptions, folder: RunFolder, spooled: Path | None) -> tuple[Path, ...]:
    if spooled is not None:
        _move(spooled, folder.spool)
    elif "-" in options.inputs and not folder.spool.exists():
        raise ClaudebatchError(
            "standard input is a terminal and there is nothing to resume",
            fix="pipe the prompts in, or name a file",
        )
    return tuple(folder.spool if name == "-" else Path(name) for name in options.inputs)


def _drop(spooled: Path | None) -> None:
    if spooled is not None:
        spooled.unlink(missing_ok=True)


def _move(spooled: Path, place: Path) -> None:
    try:
        spooled.replace(place)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        # The results lie on another disk than our state.
        fresh = private_file(place.with_name(place.name + ".new"))
        shutil.copyfile(spooled, fresh)
        fresh.replace(place)


def _check_inputs(options: RunOptions, output: Path | None) -> None:
    if output is not None:
        check_place(output)
    for path in (Path(name) for name in options.inputs if name != "-"):
        check_file(path, text=options.text)
        if output is not None and output.exists() and output.samefile(path):
            raise ClaudebatchError(
                f"{path} is both input and output", fix="write elsewhere with -o"
            )
