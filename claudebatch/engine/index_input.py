"""The rows of the input in the journal: looked through once, and again when the input
or a setting has changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from claudebatch import __version__
from claudebatch.core.domain import Call
from claudebatch.core.events import Emit
from claudebatch.core.notice import Notice
from claudebatch.core.plurals import counted
from claudebatch.engine.other_settings import OtherSettings
from claudebatch.engine.row_feed import InputSources
from claudebatch.inputs import BadLines, Selection
from claudebatch.setup.run_options import RunOptions
from claudebatch.setup.run_setup import RunSetup
from claudebatch.setup.shared_beginnings import beginnings_of
from claudebatch.setup.stack import Keys
from claudebatch.setup.validate_input import Intake, fingerprint
from claudebatch.storage.journal import IndexReport, RowRecord, index_rows
from claudebatch.storage.journal.queries import live_rows
from claudebatch.storage.journal.result_places import refresh_places
from claudebatch.storage.journal.rows import first_rows
from claudebatch.storage.run_folder import RunFolder

Look: TypeAlias = Callable[[Call], None]
"""Sees the call of one row."""


@dataclass(frozen=True, slots=True)
class Looks:
    """Who sees the rows of an input while they are checked."""

    each: Look | None = None
    """Sees the rows that the run takes."""
    every: Look | None = None
    """Sees the rows that a sample is drawn from, too."""
    drawn: Callable[[], Mapping[str, float]] | None = None
    """What is to be noted of these."""

    def in_passing(self, selection: Selection) -> Callable[[RowRecord, Call], None] | None:
        """What sees rows one by one, in the order of the input."""
        seers = [self.every if selection.sample else None]
        seers.append(None if selection.needs_all else self.each)
        looking = [look for look in seers if look is not None]
        if not looking:
            return None

        def show(_: RowRecord, call: Call) -> None:
            for look in looking:
                look(call)

        return show


NOBODY = Looks()


@dataclass(frozen=True, slots=True)
class IndexedInput:
    """The result of a look at the input, now or in an earlier session."""

    lanes: tuple[str, ...]
    bad_rows: int
    limit: int | None
    """So many of the first rows of the index are those of this session; None: all."""
    job: str
    """Equal for two sessions that ask the same of the same input, however many of its
    rows they take.
    """
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
    looks: Looks,
    removes: Callable[[int], None],
) -> IndexedInput:
    """The rows of *files* in the journal of *folder*. Raises `InvalidInput` and other
    `ClaudebatchError`s; the journal is then as before.
    """
    template = run_setup.defaults.template
    made_of = "" if template is None else template.identity
    made_by = (run_setup.settings.intake_text, __version__, key_scope, *options.reading, made_of)
    job = fingerprint(files, *map(str, (*made_by, *files)))
    current = f"{job}/{options.taken}"
    others = OtherSettings(options, run_setup, folder)
    if _is_known(folder, current) and not others.to_be_redone:
        known = _known(options, run_setup, folder, others, job)
        others.report(emit)
        return known
    intake = _intake(options, run_setup, files, key_scope, emit)
    reworded = folder.meta("template") not in (None, made_of)
    with _rolled_back_on_refusal(folder):
        report = _index(folder, intake, options, others.same_keys(key_scope), looks)
        intake.refuse(report.duplicates)
        intake.check_selection(report.unknown_ids)
        if report.removed:
            removes(report.removed)
        limit = report.rows if options.selection else options.limit
        options.require_rows(bool(report.rows))
        run_setup.require_prices(intake.models)
        others.note(report, key_scope, limit)
        moved = refresh_places(folder.journal, options.input_names, limit=limit)
        _note(folder, intake, report, current, moved=moved)
        folder.note(template=made_of, **_chosen(folder, options, report))
        if options.selection.sample and looks.drawn is not None:
            folder.note(drawn=looks.drawn())
        if options.selection.needs_all and looks.each is not None:
            _show_chosen(folder, InputSources(files, options.input_names, run_setup), looks.each)
    _report(intake, report, emit, reworded=reworded)
    others.report(emit)
    lanes = tuple(folder.meta("lanes"))
    changed = report.changed + report.asked_again
    return IndexedInput(
        lanes, intake.bad.count, limit, job, changed=changed, removed=report.removed
    )


def _known(
    options: RunOptions, run_setup: RunSetup, folder: RunFolder, others: OtherSettings, job: str
) -> IndexedInput:
    """What an earlier session found, where it is the same input; raises like a look."""
    limit = folder.meta("chosen") if options.selection else options.limit
    options.require_rows(bool(folder.meta("lanes")))
    run_setup.require_prices(set(folder.meta("models")))
    others.require_news(limit)
    return IndexedInput(tuple(folder.meta("lanes")), folder.meta("bad_rows"), limit, job)


def _intake(
    options: RunOptions, run_setup: RunSetup, files: Sequence[Path], key_scope: str, emit: Emit
) -> Intake:
    return Intake(
        run_setup,
        files,
        limit=options.limit,
        selection=options.selection,
        # Also where nothing is cached: it tells requests apart.
        key=Keys(key_scope).of,
        names=options.input_names,
        emit=emit,
        beginnings=beginnings_of(run_setup),
        sizes=options.deadline is not None,
    )


def _index(
    folder: RunFolder, intake: Intake, options: RunOptions, same_keys: bool, looks: Looks
) -> IndexReport:
    choice = intake.choice
    return index_rows(
        folder.journal,
        intake.records(looks.in_passing(options.selection)),
        limit=None if choice else options.limit,
        choice=choice,
        beside=bool(folder.meta("beside")),
        same_keys=same_keys,
        redo=options.redo == "changed",
        retry_cut=options.retry_cut,
    )


def _chosen(folder: RunFolder, options: RunOptions, report: IndexReport) -> dict[str, Any]:
    """What later sessions need to know of the rows that this one took."""
    if not options.selection:
        # Until all rows are looked at, some of the index may be chosen ones.
        return {"beside": bool(folder.meta("beside")) and options.limit is not None}
    return {
        "beside": True,
        "chosen": report.rows,
        "drawn_from": report.drawn_from,
        "requests": report.requests,
    }


def _show_chosen(folder: RunFolder, sources: InputSources, each: Look) -> None:
    """Show *each* row that was chosen, read again: in passing nobody knew which it
    would be.
    """
    with closing(sources):
        for ref in first_rows(folder.journal, folder.meta("chosen")):
            call = sources.call(ref, sources.line(ref))
            if call is not None:
                each(call)


def _is_known(folder: RunFolder, current: str) -> bool:
    """Whether the index is of the input whose fingerprint is *current*."""
    # The index has no checksums; rows that fell out of it would be missing without a
    # word.
    same = folder.meta("input") == current and folder.meta("rows") == live_rows(folder.journal)
    # Lines that are left out are named in every session: each lacks their answers.
    # Files that rows name may have changed: only their content tells.
    return same and not folder.meta("bad_rows") and not folder.meta("has_files")


def _note(
    folder: RunFolder, intake: Intake, report: IndexReport, current: str, *, moved: int
) -> None:
    folder.note(
        input=current,
        rows=live_rows(folder.journal),
        models=sorted(intake.models),
        lanes=sorted(intake.lanes),
        bad_rows=intake.bad.count,
        wants_form=intake.wants_form,
        has_files=intake.has_files,
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


def _report(intake: Intake, report: IndexReport, emit: Emit, *, reworded: bool) -> None:
    for notice in intake.notices():
        emit(notice)
    if report.changed:
        emit(_asked_again(report.changed, reworded=reworded))
    _report_rows(report, intake.bad.count, emit)
    _report_unchecked(intake.sent_anyway, emit)


def _asked_again(changed: int, *, reworded: bool) -> Notice:
    again = "it is" if changed == 1 else "they are"
    if reworded:
        rows = counted(changed, "row", "rows")
        other = "differs" if changed == 1 else "differ"
        text = (
            f"the template was edited: {rows} {other} from what was answered; {again} asked again"
        )
        return Notice("W072", text)
    rows = counted(changed, "row was", "rows were")
    return Notice("W033", f"{rows} edited since the answer came: {again} asked again")


def _report_rows(report: IndexReport, bad_rows: int, emit: Emit) -> None:
    if bad_rows:
        lines = counted(bad_rows, "line is", "lines are")
        emit(
            Notice(
                "W032", f"{lines} left out (--on-bad-row skip): the run will end with exit code 1"
            )
        )
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
