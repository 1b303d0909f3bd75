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
from claudebatch.core.events import Emit, Notice
from claudebatch.setup.run_options import RunOptions
from claudebatch.setup.run_setup import RunSetup
from claudebatch.setup.stack import Keys
from claudebatch.setup.validate_input import Intake, fingerprint
from claudebatch.storage.journal import IndexReport, RowRecord, index_rows
from claudebatch.storage.journal.queries import live_rows
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
    cached = run_setup.settings.cache.enabled and not options.no_cache
    made_by = (__version__, key_scope, cached, options.model, options.limit, options.text)
    current = fingerprint(files, run_setup.settings.intake_text, *map(str, (*made_by, *files)))
    # The index has no checksums; rows that fell out of it would be missing without a
    # word.
    if folder.meta("input") == current and folder.meta("rows") == live_rows(folder.journal):
        options.require_rows(bool(folder.meta("lanes")))
        run_setup.require_prices(set(folder.meta("models")))
        return IndexedInput(tuple(folder.meta("lanes")), folder.meta("bad_rows"))
    intake = Intake(
        run_setup,
        files,
        limit=options.limit,
        key=Keys(key_scope) if cached else None,
        names=options.input_names,
    )
    with _rolled_back_on_refusal(folder):
        report = index_rows(folder.journal, intake.records(each), limit=options.limit)
        intake.refuse(report.duplicates)
        options.require_rows(bool(intake.models))
        run_setup.require_prices(intake.models)
        lanes = tuple(sorted({run_setup.catalog.pool_of(model) for model in intake.models}))
        folder.note(
            input=current,
            rows=live_rows(folder.journal),
            models=sorted(intake.models),
            lanes=lanes,
            bad_rows=intake.bad.count,
        )
        if report.changed or report.removed:
            # Even if this run goes no further, the results file is out of date now.
            folder.note(stale=True)
    _report(report, intake.bad.count, emit)
    return IndexedInput(lanes, intake.bad.count, report.changed, report.removed)


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


def _report(report: IndexReport, bad_rows: int, emit: Emit) -> None:
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
