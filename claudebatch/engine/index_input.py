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
from claudebatch.core.events import Emit
from claudebatch.core.notice import Notice
from claudebatch.core.plurals import counted
from claudebatch.engine.other_settings import OtherSettings
from claudebatch.inputs import BadLines
from claudebatch.setup.run_options import RunOptions
from claudebatch.setup.run_setup import RunSetup
from claudebatch.setup.stack import Keys
from claudebatch.setup.validate_input import Intake, fingerprint
from claudebatch.storage.journal import IndexReport, RowRecord, index_rows
from claudebatch.storage.journal.queries import live_rows
from claudebatch.storage.journal.result_places import refresh_places
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
    removes: Callable[[int], None],
) -> IndexedInput:
    """The rows of *files* in the journal of *folder*. Raises `InvalidInput` and other
    `ClaudebatchError`s; the journal is then as before.
    """
    made_by = (run_setup.settings.intake_text, __version__, key_scope, *options.reading)
    current = fingerprint(files, *map(str, (*made_by, *files)))
    others = OtherSettings(options, run_setup, folder)
    if _is_known(folder, current) and not others.to_be_redone:
        options.require_rows(bool(folder.meta("lanes")))
        run_setup.require_prices(set(folder.meta("models")))
        others.require_news()
        others.report(emit)
        return IndexedInput(tuple(folder.meta("lanes")), folder.meta("bad_rows"))
    intake = Intake(
        run_setup,
        files,
        limit=options.limit,
        # Also where nothing is cached: it tells requests apart.
        key=Keys(key_scope),
        names=options.input_names,
        emit=emit,
    )
    with _rolled_back_on_refusal(folder):
        report = index_rows(
            folder.journal,
            intake.records(each),
            limit=options.limit,
            same_keys=others.same_keys(key_scope),
            redo=options.redo == "changed",
            retry_cut=options.retry_cut,
        )
        intake.refuse(report.duplicates)
        if report.removed:
            removes(report.removed)
        options.require_rows(bool(intake.models))
        run_setup.require_prices(intake.models)
        others.note(report, key_scope)
        moved = refresh_places(folder.journal, options.input_names, limit=options.limit)
        _note(folder, intake, report, current, moved=moved)
    _report(intake, report, emit)
    others.report(emit)
    changed = report.changed + report.asked_again
    return IndexedInput(tuple(folder.meta("lanes")), intake.bad.count, changed, report.removed)


def _is_known(folder: RunFolder, current: str) -> bool:
    """Whether the index is of the input whose fingerprint is *current*."""
    # The index has no checksums; rows that fell out of it would be missing without a
    # word.
    same = folder.meta("input") == current and folder.meta("rows") == live_rows(folder.journal)
    # Lines that are left out are named in every session: each lacks their answers.
    return same and not folder.meta("bad_rows")


def _note(
    folder: RunFolder, intake: Intake, report: IndexReport, current: str, *, moved: int
) -> None:
    folder.note(
        input=current,
        rows=live_rows(folder.journal),
        models=sorted(intake.models),
        lanes=sorted(intake.lanes),
        bad_rows=intake.bad.count,
    )
    if report.changed or report.removed or report.asked_again or moved:
        # Even if this run goes no further, the results file is out of date now.
        folder.note(stale=True)


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


def _report_unchecked(sent_anyway: BadLines, emit: Emit) -> None:
    first = next(iter(sent_anyway), None)
    if first is not None:
        lines = counted(sent_anyway.count, "line breaks", "lines break")
        verb = "is" if sent_anyway.count == 1 else "are"
        emit(
            Notice(
                "W031",
                f"{lines} the API's rules and {verb} sent anyway (--no-check), such as "
                f"{first.file}:{first.lines}: {first.problem.reason}",
            )
        )


def _report(intake: Intake, report: IndexReport, emit: Emit) -> None:
    for notice in intake.notices():
        emit(notice)
    _report_rows(report, intake.bad.count, emit)
    _report_unchecked(intake.sent_anyway, emit)


def _report_rows(report: IndexReport, bad_rows: int, emit: Emit) -> None:
    if bad_rows:
        lines = counted(bad_rows, "line is", "lines are")
        emit(
            Notice(
                "W032", f"{lines} left out (--on-bad-row skip): the run will end with exit code 1"
            )
        )
    if report.changed:
        rows = counted(report.changed, "row was", "rows were")
        again = "it is" if report.changed == 1 else "they are"
        emit(Notice("W033", f"{rows} edited since the answer came: {again} asked again"))
    if report.asked_again:
        rows = counted(report.asked_again, "row is", "rows are")
        emit(Notice("N034", f"{rows} asked again with the current settings"))
    if report.removed:
        emit(
            Notice(
                "W035",
                f"{counted(report.removed, 'answered row is', 'answered rows are')} no longer in "
                f"the input: removed from the results",
            )
        )
