"""The folder of a run: made, resumed or started over, before anything is read."""

from __future__ import annotations

import shlex
import sqlite3
import uuid
from contextlib import closing, suppress
from datetime import datetime
from pathlib import Path

from claudebatch.core.errors import ClaudebatchError, StorageError
from claudebatch.core.events import Emit
from claudebatch.core.notice import Notice
from claudebatch.setup.run_options import RunOptions
from claudebatch.storage.journal.batches import BatchRow, open_batches, waiting
from claudebatch.storage.journal.queries import drop_simulated, holds_real_answers
from claudebatch.storage.run_folder import RunFolder


def open_folder(
    options: RunOptions, place: Path, output: Path | None, started: datetime, emit: Emit
) -> RunFolder:
    """The run folder at *place*, locked. Raises `LockedError` and `ClaudebatchError`.

    Real answers are never mixed with those of a rehearsal.
    """
    folder = RunFolder.open(place, started=started, fresh=options.fresh)
    try:
        if options.fresh:
            _require_no_open_batches(options, folder)
        begun = folder.meta("simulated") is not None
        answered = folder.has_attempts()
        rehearsed = _was_rehearsal(options, folder)
        replaced = False
        # A run that met a simulator on its way holds both.
        mixed = not folder.meta("simulated") and holds_real_answers(folder.journal)
        if answered and options.simulate and (mixed or not rehearsed):
            raise ClaudebatchError(
                "E607",
                f"{output or place} contains real answers; a rehearsal would mix with them",
                fix="write the rehearsal to another file with -o",
            )
        if answered and rehearsed and not options.simulate:
            emit(Notice("N040", "the simulated results of the rehearsal are being replaced"))
            # A batch that the simulator made is to be given back, not forgotten.
            if mixed or (folder.meta("simulator") and open_batches(folder.journal)):
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


def _require_no_open_batches(options: RunOptions, folder: RunFolder) -> None:
    """Raise `ClaudebatchError` where the run that would be replaced waits for answers
    that are paid for.
    """
    batches: list[BatchRow] = []
    # A damaged run must not stand in the way: it could not collect them either.
    with suppress(StorageError, sqlite3.Error):
        old = folder.predecessor()
        if old is None:
            return
        with closing(old.journal):
            if not _was_rehearsal(options, old):
                batches = open_batches(old.journal)
    if batches:
        raise ClaudebatchError(
            "E790",
            f"{waiting(batches)}: --fresh would throw their answers away and pay for them again",
            fix="run the same command without --fresh to collect them, or cancel them first "
            "(`claudebatch batches`), or write to another file with -o",
        )


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
            "E608",
            f"{output} exists, but not from a run that can be resumed",
            fix="write to another file with -o, or start over with --fresh (the old file is "
            "kept as "
            ".previous)",
        )
    # Whatever the seed of the run's chance.
    tail = uuid.uuid4().hex[:6]  # noqa: TID251  # a name that must differ
    run_id = f"{started:%Y%m%dT%H%M%S}-{tail}"
    folder.note(
        run_id=run_id,
        simulated=options.simulate,
        started=started.isoformat(timespec="seconds"),
        set_aside=there and not replaced,
        stale=replaced,
    )


def fix_tag(folder: RunFolder, tag: str) -> None:
    """A run keeps the tag of its first session: what it spent has counted against the
    caps of that one.
    """
    known = folder.meta("tag") or ""
    if folder.has_attempts() and known != tag:
        raise ClaudebatchError(
            "E609",
            f'this run began with the tag "{known}"' if known else "this run began without a tag",
            fix=f"add --tag {shlex.quote(known)}"
            if known
            else "leave out --tag, or start over with --fresh",
        )
    folder.note(tag=tag)
