"""The rows of the input in the journal: looked through once, and again when the input
or a setting has changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from claudebatch import __version__
from claudebatch.core.domain import Call
from claudebatch.core.errors import ClaudebatchError
from claudebatch.core.events import Emit, Notice
from claudebatch.setup.request_settings import (
    RequestSettings,
    differences,
    keys_made_by,
    request_settings,
)
from claudebatch.setup.run_options import RunOptions
from claudebatch.setup.run_setup import RunSetup
from claudebatch.setup.stack import Keys
from claudebatch.setup.validate_input import Intake, fingerprint
from claudebatch.storage.journal import IndexReport, RowRecord, index_rows
from claudebatch.storage.journal.queries import finished_rows, live_rows
from claudebatch.storage.run_folder import RunFolder


@dataclass(frozen=True, slots=True)
class IndexedInput:
    """The result of a look at the input, now or in an earlier session."""

    lanes: tuple[str, ...]
    bad_rows: int
    changed: int = 0
    """Rows whose lines were edited since they were answered."""
    removed: int = 0
    """Answered rows whose lines are gone."""


def index_input(
    options: RunOptions,
    run_setup: RunSetup,
    folder: RunFolder,
    files: Sequence[Path],
    *,
    emit: Emit,
    key_scope: str,
    each: Callable[[RowRecord, Call], None] | None,
) -> IndexedInput:
    """The rows of *files* in the journal of *folder*. Raises `InvalidInput` and other
    `ClaudebatchError`s; the journal is then as before.
    """
    made_by = (__version__, key_scope, options.model, options.limit, options.text)
    settings = request_settings(options, run_setup)
    current = fingerprint(files, run_setup.settings.intake_text, *map(str, (*made_by, *files)))
    # The index has no checksums; rows that fell out of it would be missing without a
    # word.
    known = folder.meta("input") == current and folder.meta("rows") == live_rows(folder.journal)
    otherwise = folder.meta("asked_otherwise") or 0
    if known and not (options.redo_changed and otherwise):
        options.require_rows(bool(folder.meta("lanes")))
        run_setup.require_prices(set(folder.meta("models")))
        _require_news(folder, options, otherwise, settings)
        _report_otherwise(folder, otherwise, settings, emit)
        return IndexedInput(tuple(folder.meta("lanes")), folder.meta("bad_rows"))
    intake = Intake(
        run_setup,
        files,
        limit=options.limit,
        # Also where nothing is cached: it tells requests apart.
        key=Keys(key_scope),
        names=options.input_names,
    )
    with _rolled_back_on_refusal(folder):
        report = index_rows(
            folder.journal,
            intake.records(each),
            limit=options.limit,
            same_keys=folder.meta("keys_made_by") == keys_made_by(key_scope),
            redo=options.redo_changed,
        )
        intake.refuse(report.duplicates)
        options.require_rows(bool(intake.models))
        run_setup.require_prices(intake.models)
        if not (report.changed or report.removed):
            _require_news(folder, options, report.asked_otherwise, settings)
        lanes = tuple(sorted({run_setup.catalog.pool_of(model) for model in intake.models}))
        folder.note(
            input=current,
            rows=live_rows(folder.journal),
            models=sorted(intake.models),
            lanes=lanes,
            bad_rows=intake.bad.count,
            keys_made_by=keys_made_by(key_scope),
            asked_otherwise=report.asked_otherwise,
        )
        if not report.asked_otherwise or folder.meta("request") is None:
            folder.note(request=settings)
        if report.changed or report.removed or report.asked_again:
            # Even if this run goes no further, the results file is out of date now.
            folder.note(stale=True)
    _report(report, intake.bad.count, emit)
    _report_otherwise(folder, report.asked_otherwise, settings, emit)
    changed = report.changed + report.asked_again
    return IndexedInput(lanes, intake.bad.count, changed, report.removed)


@contextmanager
def _rolled_back_on_refusal(folder: RunFolder) -> Iterator[None]:
    # One transaction: a refused input must leave the index of the last one.
    folder.journal.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        folder.journal.execute("ROLLBACK")
        raise
    folder.journal.execute("COMMIT")


def _require_news(
    folder: RunFolder, options: RunOptions, otherwise: int, settings: RequestSettings
) -> None:
    """Refuse a command that would do nothing, though it says something new: all rows
    have answers, to other requests.
    """
    if otherwise and otherwise == finished_rows(
        folder.journal, limit=options.limit, retry_failed=options.retry_failed
    ):
        rows = "the only row was" if otherwise == 1 else f"all {otherwise:,} rows were"
        raise ClaudebatchError(
            f"{rows} answered with a different {_difference(folder, settings)}; nothing was sent",
            fix="-o FILE asks again into another file; --redo changed asks again here",
        )


def _report_otherwise(
    folder: RunFolder, otherwise: int, settings: RequestSettings, emit: Emit
) -> None:
    if otherwise:
        rows = "1 row was" if otherwise == 1 else f"{otherwise:,} rows were"
        emit(
            Notice(
                f"{rows} answered with a different {_difference(folder, settings)} and kept: "
                f"-o FILE asks all into another file, --redo changed asks these again"
            )
        )


def _difference(folder: RunFolder, settings: RequestSettings) -> str:
    return differences(folder.meta("request") or {}, settings)


def _report(report: IndexReport, bad_rows: int, emit: Emit) -> None:
    if bad_rows:
        emit(Notice(f"{bad_rows:,} bad lines are left out"))
    if report.changed:
        emit(Notice(f"{report.changed:,} rows changed since they were answered; they run again"))
    if report.asked_again:
        emit(Notice(f"{report.asked_again:,} rows are asked again with the present settings"))
    if report.removed:
        emit(
            Notice(
                f"{report.removed:,} answered rows are no longer in the input; their results are "
                f"left out"
            )
        )
