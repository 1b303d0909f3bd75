"""What `run` sets in motion: the parts from outside (time, chance, terminal, network)
put together once.
"""

from __future__ import annotations

import asyncio
import gc
import random
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from claudebatch.cli.run_loop import run_loop
from claudebatch.cli.wiring.alert_hooks import AlertHooks, make_hooks
from claudebatch.cli.wiring.api_target import (
    batches_for,
    endpoint,
    key_scope,
    row_failed,
)
from claudebatch.cli.wiring.ask_unknown import decided
from claudebatch.cli.wiring.configured import configured
from claudebatch.cli.wiring.confirm_cost import (
    CostMeter,
    confirm_cost,
    confirm_removal,
    noted_cost,
)
from claudebatch.cli.wiring.display import Show, logged, make_display
from claudebatch.cli.wiring.dry_run import forecast, planner, tell_estimate
from claudebatch.cli.wiring.observers import (
    audience,
    details,
    found_configuration,
    limits,
    reserved_paths,
    usual_batch_s,
    warnings,
)
from claudebatch.cli.wiring.sample_screen import DrawnRows, show_sample
from claudebatch.cli.wiring.spread import ALONE, Spread, connected
from claudebatch.clients.base_url import address_of, check_base_url
from claudebatch.clients.protocol import Client
from claudebatch.config import environment
from claudebatch.config.credentials import require_credential
from claudebatch.config.load import Loaded
from claudebatch.config.machine import connections
from claudebatch.config.network import unread_variables
from claudebatch.config.paths import Paths
from claudebatch.config.variables import unknown_variables
from claudebatch.core.domain import Call, Pico
from claudebatch.core.errors import ClaudebatchError, ExitCode, OutputFailed
from claudebatch.core.events import Emit
from claudebatch.core.notice import Notice
from claudebatch.core.process_signals import signal_handler
from claudebatch.core.reports import RunSummary
from claudebatch.core.send_via import BatchSettings
from claudebatch.core.stats.run_stats import RunStats
from claudebatch.engine.dependencies import RunDependencies
from claudebatch.engine.index_input import Looks
from claudebatch.engine.open_run import OpenRun, open_run
from claudebatch.engine.run_deadline import AskedDeadline
from claudebatch.engine.session import Session
from claudebatch.estimate.forecast import Forecast
from claudebatch.estimate.history import History
from claudebatch.setup.pools import slots
from claudebatch.setup.run_options import RunOptions
from claudebatch.setup.run_setup import RunSetup
from claudebatch.setup.shared_beginnings import spacing_of
from claudebatch.storage.ledger.schema import wait_for_ledger
from claudebatch.storage.run_folder import RunFolder
from claudebatch.ui.error_text import LEDGER_LOCKED, render_notice
from claudebatch.ui.live.choose import Progress
from claudebatch.ui.machine.json_events import JsonEvents
from claudebatch.ui.terminal import Terminal

_now = time.monotonic  # noqa: TID251  # a command is where time comes in
_READER_LEFT = "the output of --json was closed early (broken pipe)"
_READER_FIX = "run the same command again to get the rest: nothing is paid twice"
# A row leaves next to no cycles behind; a few thousand rows between two looks at the
# young objects are enough.
_GC_THRESHOLDS = (50_000, 20, 100)


@dataclass(frozen=True, slots=True, kw_only=True)
class _RunParts:
    """Everything that a run needs beside its options, and that listens to it."""

    run_setup: RunSetup
    paths: Paths
    stats: RunStats
    display: Progress
    log: Progress
    hooks: AlertHooks
    emit: Emit
    talks: bool
    """Whether there is a reader of more than events and the last line."""
    began: datetime
    yes: bool
    spread: Spread


def execute(
    options: RunOptions,
    flags: Mapping[str, Any],
    *,
    config: Path | None,
    show: Show,
    dry_run: bool,
    yes: bool,
    spread: Spread = ALONE,
) -> int:
    """Run or estimate; returns the exit code. Raises `ClaudebatchError` when nothing
    could be sent.
    """
    env = environment()
    options = replace(options, base_url=env.get("ANTHROPIC_BASE_URL") or None)
    options.check_form()
    if options.base_url is not None and not options.simulate:
        check_base_url(options.base_url)  # before it is noted or shown anywhere
    if not options.simulate and (options.count_rows or not dry_run):
        require_credential(env, home=Path.home())
    paths = Paths.from_environment(env, simulated=options.simulate)
    loaded, run_setup = configured(options, flags, config, at=_wall())
    if options.detach and not run_setup.settings.batches.used:
        raise ClaudebatchError(
            "E039",
            "--detach leaves batches with the API, and no row is to go by batch",
            fix="add --batch",
        )
    if dry_run:
        Terminal(sys.stderr, env).tell(map(render_notice, found_configuration(loaded)))
        return tell_estimate(options, run_setup, paths, now=_now, wall=_wall, show=show)
    return _observed(options, loaded, run_setup, paths, env=env, show=show, yes=yes, spread=spread)


def _observed(
    options: RunOptions,
    loaded: Loaded,
    run_setup: RunSetup,
    paths: Paths,
    *,
    env: Mapping[str, str],
    show: Show,
    yes: bool,
    spread: Spread,
) -> int:
    """Run with the display, the log and the alerts that the user asked for."""
    began = _wall()
    stats = _stats(run_setup, paths, options)
    display = _display(options, run_setup, stats, env, show)
    with logged(
        show, display, now=_now, wall=_wall, reserved=reserved_paths(options, loaded, paths)
    ) as log:
        # `emit` is defined below: a hook can only fail once there are events.
        hooks = make_hooks(
            loaded.settings.alerts.sinks,
            env,
            wall=_wall,
            warn=lambda notice: emit(notice),  # noqa: PLW0108
        )
        emit = audience(display, log, *([hooks] if hooks.used else []))
        for line in found_configuration(loaded):
            # To the user alone: a log begins with the run's start.
            display(line)
        said = details(loaded, paths, options) if show.verbose else None
        for notice in _first_notices(loaded, env, said):
            emit(notice)
        parts = _RunParts(
            run_setup=run_setup,
            paths=paths,
            stats=stats,
            display=display,
            log=log,
            hooks=hooks,
            emit=emit,
            talks=not (show.json or show.quiet),
            began=began,
            yes=yes,
            spread=spread,
        )
        try:
            return _perform(options, parts)
        finally:
            # Notes of before the start, where it was refused: above the reason.
            display.stop()


def _stats(run_setup: RunSetup, paths: Paths, options: RunOptions) -> RunStats:
    if not run_setup.settings.batches.used:
        return RunStats(_now)
    usual_s = usual_batch_s(paths.ledger, address_of(options.base_url))
    return RunStats(_now, usual_batch_s=usual_s)


def _display(
    options: RunOptions, run_setup: RunSetup, stats: RunStats, env: Mapping[str, str], show: Show
) -> Progress:
    return make_display(
        show,
        env,
        limits(run_setup),
        stats,
        now=_now,
        results_on_stdout=options.output_path is None,
    )


def _first_notices(
    loaded: Loaded, env: Mapping[str, str], verbose: Iterable[str] | None
) -> Iterator[Notice]:
    """Notices of before the start. *verbose*: the details that `--verbose` asks for;
    None: it is not given.
    """
    yield from chain(warnings(loaded), unknown_variables(env))
    if verbose is not None:
        yield from (Notice("", detail) for detail in verbose)
        for name in unread_variables(env):
            yield Notice("W003", f"{name} is ignored: certificates are read from SSL_CERT_FILE")


def _perform(options: RunOptions, parts: _RunParts) -> int:
    known = forecast(options, parts.run_setup, parts.paths)
    weigh = Forecast(parts.run_setup.prices, History()).cost_of
    drawn = DrawnRows(options, parts.run_setup, known=known, weigh=weigh)
    batches = parts.run_setup.settings.batches
    if options.deadline is not None:
        # At the worst everything is sent at once.
        batches = replace(batches, via="live")
    meter, yes = CostMeter(known, batches), parts.yes
    agreed = yes or options.simulate or parts.run_setup.settings.budget.cap is not None
    with open_run(
        options,
        parts.run_setup,
        parts.paths,
        stdin=sys.stdin.buffer,
        started=_wall(),
        emit=parts.emit,
        key_scope=key_scope(options),
        looks=Looks(None if agreed else meter.add, drawn.add, drawn.note),
        removes=_asking_before_removal(options, yes=yes),
    ) as run:
        if parts.run_setup.settings.batches.used and not options.collect:
            # `claudebatch batches collect` runs it again, from wherever it is called.
            run.folder.note(command=list(options.command), cwd=str(Path.cwd()))
        # The rows of this session are the first ones of the index, whoever chose them.
        options = replace(options, limit=run.limit)
        if any(meter.notes().values()):
            run.folder.note(**meter.notes(), agreed=False)
        # Nothing is sent for what is attached: there is no cost to agree to.
        if not (agreed or options.attach):
            _agree(run.folder, batches, above=parts.run_setup.settings.confirm_above)
        summary = _shown(decided(options, run), run, parts, known, weigh)
    lost = isinstance(parts.display, JsonEvents) and parts.display.lost
    return max(summary.exit_code, ExitCode.LOCAL_IO) if lost else summary.exit_code


def _agree(folder: RunFolder, batches: BatchSettings, *, above: Pico) -> None:
    """Ask about the cost, unless that was done. Only a new look at the input adds the
    costs up; a run that was not agreed to must be asked about again.
    """
    expected, agreed_to = noted_cost(folder.meta, batches), folder.meta("agreed_to")
    # Who agreed to half the price did not agree to the whole.
    if folder.meta("agreed") and (agreed_to is None or expected <= max(agreed_to, above)):
        return
    confirm_cost(expected, above)
    folder.note(agreed=True, agreed_to=expected)


def _asking_before_removal(options: RunOptions, *, yes: bool) -> Callable[[int], None]:
    output = options.output_path
    # A rehearsal paid for nothing, and standard output keeps nothing.
    if yes or options.simulate or output is None:
        return lambda rows: None
    return partial(confirm_removal, output=output)


def _shown(
    options: RunOptions,
    run: OpenRun,
    parts: _RunParts,
    known: Forecast,
    weigh: Callable[[Call], Pico],
) -> RunSummary:
    """Do the run between the first frame of its display and the last."""
    try:
        # Inside: a signal may come while it has half begun, and the cursor is hidden.
        parts.display.start()
        wait_for_ledger(parts.paths.ledger, lambda: parts.emit(Notice("N002", LEDGER_LOCKED)))
        summary = run_loop(lambda: _go(options, run, parts, known, weigh))
        parts.log.done(summary)
    finally:
        parts.hooks.close()
        # Before the display: the log's last write may be worth a warning.
        parts.log.stop()
        parts.display.stop()
    if options.selection.sample and parts.talks:
        show_sample(options, run, parts.run_setup, environment())
    # `cat` says nothing either; events are for programs.
    if not summary.reader_left or isinstance(parts.display, JsonEvents):
        parts.display.done(summary)
    return summary


async def _go(
    options: RunOptions,
    run: OpenRun,
    parts: _RunParts,
    known: Forecast,
    weigh: Callable[[Call], Pico],
) -> RunSummary:
    run_setup, rng = parts.run_setup, random.Random()
    # What is loaded now stays: looking at it again and again for garbage would be a
    # sixth of the run's CPU time.
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
    lanes = max(1, len(run.lanes))
    in_flight = _most_in_flight(parts, lanes)
    async with endpoint(options, run_setup, now=_now, wall=_wall, rng=rng) as api:

        def connect() -> Client:
            return connected(
                parts.spread,
                api,
                run_setup,
                concurrency=in_flight,
                now=_now,
                wall=_wall,
                emit=parts.emit,
            )

        dependencies = RunDependencies(
            paths=parts.paths,
            connect=connect,
            connect_batches=lambda: batches_for(api, run_setup, now=_now, wall=_wall),
            row_failed=row_failed,
            key_scope=key_scope(options),
            now=_now,
            wall=_wall,
            rng=rng,
            emit=parts.emit,
            stats=parts.stats,
            most_in_flight=max(1, in_flight // lanes),
            expect=known.uncached_cost_of,
            expect_in_batch=known.batch_cost_of,
            signals=signal_handler(),
            weigh=weigh,
            before=known,
            deadline=_asked_deadline(options, parts, known),
        )
        session = Session(options, run_setup, run, dependencies)
        if isinstance(parts.display, JsonEvents):
            _halt_without_reader(session, parts.display)
        return await session.go()


def _halt_without_reader(session: Session, events: JsonEvents) -> None:
    # Events are data: without a reader the run stops, as it does when its results find
    # none.
    loop = asyncio.get_running_loop()
    gone = OutputFailed("E701", _READER_LEFT, fix=_READER_FIX)
    events.on_lost = lambda: loop.call_soon_threadsafe(session.halt, gone)
    if events.lost:  # by a notice of before there was a run
        session.halt(gone)


def _asked_deadline(options: RunOptions, parts: _RunParts, known: Forecast) -> AskedDeadline | None:
    # Rows may be read for minutes before they can be planned: all of that counts.
    if options.deadline is None:
        return None
    settings = parts.run_setup.settings
    return AskedDeadline(
        options.deadline,
        began_ms=int(parts.began.timestamp() * 1000),
        planner=lambda: planner(options, parts.run_setup, parts.paths, known),
        anyhow=parts.yes,
        spacing=None if settings.prompt_caching == "off" else spacing_of(settings.limits),
    )


def _most_in_flight(parts: _RunParts, lanes: int) -> int:
    """Requests in flight that the system's limit of open files lets through, over all
    *lanes*; says so where the user asked for more.
    """
    limits_set = parts.run_setup.settings.limits
    wanted = slots(limits_set)[1] * lanes
    in_flight = connections(wanted)
    if in_flight < wanted and limits_set.concurrency is not None:
        parts.emit(
            Notice(
                "W004",
                f"only {in_flight // lanes} requests in flight per pool: no more files may be "
                f"open (raise the limit: ulimit -n)",
            )
        )
    return in_flight


def _wall() -> datetime:
    return datetime.now(UTC)  # noqa: TID251  # a command is where time comes in
