"""What `run --dry-run` sets in motion."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from claudebatch.cli.wiring.api_target import api_model, batch_pace, key_scope
from claudebatch.cli.wiring.count_sample import counter
from claudebatch.cli.wiring.display import Show
from claudebatch.cli.wiring.plan_commands import plan_commands
from claudebatch.clients.base_url import address_of
from claudebatch.config import environment
from claudebatch.config.paths import Paths
from claudebatch.core.domain import Pico
from claudebatch.core.errors import ClaudebatchError, ExitCode, StorageError
from claudebatch.core.notice import Notice
from claudebatch.core.reports import Estimate
from claudebatch.engine.run_deadline import DEADLINE_NOTE, kept_moment
from claudebatch.estimate.estimate import EstimateOptions, estimate
from claudebatch.estimate.forecast import Forecast
from claudebatch.estimate.history import History
from claudebatch.estimate.run_plan import RunPlanner
from claudebatch.estimate.scratch_index import EarlierResults
from claudebatch.layers.response_cache.blocking import LookUp, blocking_look_up
from claudebatch.layers.response_cache.store import CacheStore
from claudebatch.setup.input_files import PreparedInputs
from claudebatch.setup.request_settings import keys_made_by
from claudebatch.setup.run_options import RunOptions
from claudebatch.setup.run_setup import RunSetup
from claudebatch.setup.stack import Keys
from claudebatch.setup.stores import existing_cache
from claudebatch.storage.journal.queries import of_run_so_far
from claudebatch.storage.ledger.known_batches import batch_durations
from claudebatch.storage.ledger.past_answers import past_answers
from claudebatch.storage.results_file import check_place
from claudebatch.storage.run_folder import beside
from claudebatch.ui.error_text import left_out, render_notice
from claudebatch.ui.machine.json_events import json_line
from claudebatch.ui.tables.estimate_tables import estimate_json, render_estimate
from claudebatch.ui.tables.plan_table import render_plan
from claudebatch.ui.terminal import Terminal


def tell_estimate(
    options: RunOptions,
    run_setup: RunSetup,
    paths: Paths,
    *,
    now: Callable[[], float],
    wall: Callable[[], datetime],
    show: Show,
) -> int:
    """Print what the run would do and cost; returns the exit code. Raises
    `ClaudebatchError` as the run would.
    """
    # The run that follows would find nothing left to read.
    if "-" in options.inputs:
        raise ClaudebatchError(
            "E028",
            "a dry run would use up standard input",
            fix="write the prompts to a file first",
        )
    output = options.output_path
    if output is not None:
        check_place(output)
    options.check_inputs()
    with (
        blocking_look_up(_cache(options, run_setup, paths)) as look_up,
        TemporaryDirectory(prefix="claudebatch-") as scratch,
    ):
        prepared = PreparedInputs(options, Path(scratch))
        found = estimate(
            run_setup,
            prepared.files(),
            _earlier(options, look_up),
            _questions(options, run_setup, paths, now=now, wall=wall),
            limit=options.limit,
            selection=options.selection,
            cap=run_setup.settings.budget.cap,
            output=str(output) if output is not None else "-",
        )
    options.require_rows(found.rows > 0)
    stderr = Terminal(sys.stderr, environment())
    stderr.tell(map(left_out, found.left_out))
    stderr.tell(map(render_notice, prepared.notices))
    stderr.tell(map(render_notice, _warnings(found, options, run_setup, wall().date())))
    _print(found, options.command, show)
    return ExitCode.OK


def _print(found: Estimate, command: Sequence[str], show: Show) -> None:
    if show.json:
        sys.stdout.write(json_line(estimate_json(found)))
        return
    terminal = Terminal(sys.stdout, environment(), must_write=True)
    if show.verbose:
        terminal.say_all(render_estimate(found, details=True))
    else:
        terminal.tell(render_estimate(found, width=terminal.columns))
    if found.plan is not None:
        commands = plan_commands(command)
        # Whole, however wide: commands are there to be copied.
        terminal.say_all(["", *render_plan(found.plan, found, commands)])


def _warnings(found: Estimate, options: RunOptions, run_setup: RunSetup, on: date) -> list[Notice]:
    warnings = [
        *([] if found.rows or found.bad_rows else [options.no_rows]),
        *found.notices,
        *run_setup.warnings({line.model for line in found.lines}, on),
    ]
    if found.asked_otherwise:
        warnings.append(
            Notice(
                "W014",
                "rows that were answered with another model, system prompt, max_tokens or rules "
                "keep their answers: -o FILE asks all into another file, --redo changed asks "
                "these again",
            )
        )
    return warnings


def _earlier(options: RunOptions, look_up: LookUp) -> EarlierResults:
    """What need not be sent: results of this run so far, and answers in the cache."""
    output = options.output_path
    resumes = output is not None and not options.fresh
    return EarlierResults(
        journal=beside(output) / "journal.sqlite" if output is not None and resumes else None,
        key=Keys(key_scope(options)).of,
        keys_made_by=keys_made_by(key_scope(options)),
        redo_changed=options.redo == "changed",
        look_up=look_up,
        retry_failed=options.retry_failed,
        simulated=options.simulate,
    )


def _questions(
    options: RunOptions,
    run_setup: RunSetup,
    paths: Paths,
    *,
    now: Callable[[], float],
    wall: Callable[[], datetime],
) -> EstimateOptions:
    count = counter(options, run_setup, now=now, wall=wall) if options.count_rows else None
    deadline_s, spent = _begun(options, wall())
    return EstimateOptions(
        history=history(options, run_setup, paths),
        api=api_model(options, run_setup.settings),
        today=wall().date(),
        count=count,
        count_rows=options.count_rows or 0,
        batch_durations=batch_durations(paths.ledger, address=address_of(options.base_url)),
        deadline_s=deadline_s,
        batch_pace=batch_pace(options, run_setup.settings),
        spent=spent,
    )


def _begun(options: RunOptions, wall: datetime) -> tuple[float | None, Pico]:
    """Seconds that are left to the deadline, and what earlier sessions have taken of
    the run's cap.
    """
    output, asked = options.output_path, options.deadline
    if asked is None:
        return None, 0
    seconds, spent, noted = asked.seconds, 0, None
    if output is not None and not options.fresh:
        spent, noted = of_run_so_far(beside(output) / "journal.sqlite", DEADLINE_NOTE)
    at_ms = kept_moment(noted, asked)
    if at_ms is None and asked.at_ms is not None and asked.seconds <= 0:
        raise ClaudebatchError(
            "E846",
            f"nothing can be planned for {asked.words}: it has passed",
            fix="choose a later one",
        )
    if at_ms is not None:
        seconds = max(0.0, at_ms / 1000 - wall.timestamp())
    return seconds, spent


def forecast(options: RunOptions, run_setup: RunSetup, paths: Paths) -> Forecast:
    """What rows of this run are expected to take."""
    said = run_setup.settings.expected_output_tokens is not None
    return Forecast(run_setup.prices, history(options, run_setup, paths), configured_output=said)


def planner(options: RunOptions, run_setup: RunSetup, paths: Paths, known: Forecast) -> RunPlanner:
    """What plans the rows of this run for a deadline, as the dry run does."""
    return RunPlanner(
        run_setup,
        known,
        api_model(options, run_setup.settings),
        past_batches=[
            seconds
            for _, seconds in batch_durations(paths.ledger, address=address_of(options.base_url))
        ],
        batch_pace=batch_pace(options, run_setup.settings),
    )


def history(options: RunOptions, run_setup: RunSetup, paths: Paths) -> History:
    """What the answers of earlier runs say; nothing where the ledger cannot be read."""
    # An estimate without history is worse than one with it, and better than none.
    with suppress(StorageError):
        return History(
            past_answers(paths.ledger, input_name=options.input_name, tag=run_setup.settings.tag)
        )
    return History()


def _cache(options: RunOptions, run_setup: RunSetup, paths: Paths) -> CacheStore | None:
    # An estimate only looks: it makes no cache where there is none yet.
    if options.no_cache or options.refresh_cache or not run_setup.settings.cache.enabled:
        return None
    return existing_cache(paths.cache_dir)
