"""What `run` sets in motion: the parts from outside (time, chance, terminal, network)
put together once.
"""

from __future__ import annotations

import asyncio
import gc
import random
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import typer

from claudebatch.cli.wiring.alert_hooks import AlertHooks, make_hooks
from claudebatch.cli.wiring.api_target import client_for, endpoint, key_scope
from claudebatch.cli.wiring.ask_unknown import decided
from claudebatch.cli.wiring.display import Show, logged, make_display
from claudebatch.cli.wiring.dry_run import forecast, tell_estimate
from claudebatch.cli.wiring.observers import audience, doubts, facts, limits, taken
from claudebatch.clients.base_url import check_base_url
from claudebatch.clients.protocol import Client
from claudebatch.config import environment
from claudebatch.config.credentials import require_credential
from claudebatch.config.load import load
from claudebatch.config.machine import connections
from claudebatch.config.paths import Paths
from claudebatch.core.domain import Call, Pico, to_usd
from claudebatch.core.errors import ClaudebatchError, ExitCode, OutputFailed
from claudebatch.core.events import Event, Notice
from claudebatch.core.reports import RunSummary
from claudebatch.engine.dependencies import RunDependencies
from claudebatch.engine.open_run import open_run
from claudebatch.engine.session import Session
from claudebatch.estimate.forecast import Forecast
from claudebatch.setup.pools import slots
from claudebatch.setup.run_options import RunOptions
from claudebatch.setup.run_setup import RunSetup
from claudebatch.storage.ledger.schema import wait_for_ledger
from claudebatch.ui.error_text import LEDGER_LOCKED
from claudebatch.ui.format import money
from claudebatch.ui.live.progress import Progress
from claudebatch.ui.machine.json_events import JsonEvents

_now = time.monotonic  # noqa: TID251  # a command is where time comes in
_READER_LEFT = "whoever read the events (--json) has left"
_READER_FIX = "run the same command again, with a reader that stays"
# A row leaves next to no cycles behind; a few thousand rows between two looks at the
# young objects are enough.
_GC_THRESHOLDS = (50_000, 20, 100)


def execute(
    options: RunOptions,
    flags: Mapping[str, Any],
    *,
    config: Path | None,
    show: Show,
    dry_run: bool,
    yes: bool,
) -> int:
    """Run or estimate; returns the exit code. Raises `ClaudebatchError` when nothing
    could be sent.
    """
    env = environment()
    options = replace(options, base_url=env.get("ANTHROPIC_BASE_URL") or None)
    if options.base_url is not None and not options.simulate:
        check_base_url(options.base_url)  # before it is noted or shown anywhere
    if not options.simulate and (options.count_rows or not dry_run):
        require_credential(env, home=Path.home())
    loaded = load(config, flags, env=env, folder=Path.cwd())
    settings = loaded.settings
    paths = Paths.from_environment(env, simulated=options.simulate)
    run_setup = RunSetup.set_up(settings, override=options.model, text=options.text, at=_wall())
    if dry_run:
        return tell_estimate(options, run_setup, paths, now=_now, wall=_wall, json=show.json)
    display = make_display(
        show, env, limits(run_setup), now=_now, results_on_stdout=options.output_path is None
    )
    with logged(show, display, now=_now, wall=_wall, taken=taken(options, loaded, paths)) as log:
        hooks = make_hooks(
            settings.alerts.sinks, env, wall=_wall, warn=lambda text: emit(Notice(text))
        )
        emit = audience(display, log, hooks)
        for doubt in doubts(loaded):
            emit(Notice(doubt))
        if show.verbose:
            for fact in facts(loaded, paths, options):
                emit(Notice(fact))
        return _perform(options, run_setup, paths, display, log, hooks, emit, yes=yes)


def _perform(
    options: RunOptions,
    run_setup: RunSetup,
    paths: Paths,
    display: Progress,
    log: Progress,
    hooks: AlertHooks,
    emit: Callable[[Event], None],
    *,
    yes: bool,
) -> int:
    settings = run_setup.settings
    known = forecast(options, run_setup, paths)
    meter = _Meter(known.cost_of)
    agreed = yes or options.simulate or settings.budget.cap is not None
    each = None if agreed else meter.add
    scope, stdin = key_scope(options), sys.stdin.buffer
    with open_run(
        options,
        run_setup,
        paths,
        stdin=stdin,
        started=_wall(),
        emit=emit,
        key_scope=scope,
        each=each,
    ) as run:
        if meter.expected:
            run.folder.note(expected=meter.expected, agreed=False)
        if not (agreed or run.folder.meta("agreed")):
            # Only a new look at the input adds the costs up; a run that was not agreed
            # to must be asked about again.
            _confirm(run.folder.meta("expected") or 0, settings.confirm_above)
            run.folder.note(agreed=True)
        options = decided(options, run)
        display.start()
        try:
            wait_for_ledger(paths.ledger, lambda: emit(Notice(LEDGER_LOCKED)))
            summary = asyncio.run(_go(options, run_setup, run, paths, emit, known, display))
            log.done(summary)
        finally:
            hooks.close()
            log.stop()  # before the display: its last write may be worth a warning
            display.stop()
        display.done(summary)
    lost = isinstance(display, JsonEvents) and display.lost
    return max(summary.exit_code, ExitCode.LOCAL_IO) if lost else summary.exit_code


async def _go(
    options: RunOptions,
    run_setup: RunSetup,
    run: Any,
    paths: Paths,
    emit: Callable[[Event], None],
    known: Forecast,
    display: Progress,
) -> RunSummary:
    rng = random.Random()
    # What is loaded now stays: looking at it again and again for garbage would be a
    # sixth of the run's CPU time.
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
    lanes = max(1, len(run.lanes))
    wanted = slots(run_setup.settings.limits)[1] * lanes
    in_flight = connections(wanted)
    if in_flight < wanted and run_setup.settings.limits.concurrency is not None:
        emit(
            Notice(
                f"only {in_flight // lanes} requests in flight per pool: more files may not be "
                f"open (ulimit -n)"
            )
        )
    async with endpoint(options, run_setup, now=_now, wall=_wall, rng=rng) as api:

        def connect() -> Client:
            return client_for(api, run_setup, concurrency=in_flight, now=_now, wall=_wall)

        dependencies = RunDependencies(
            paths=paths,
            connect=connect,
            key_scope=key_scope(options),
            now=_now,
            wall=_wall,
            rng=rng,
            emit=emit,
            most_in_flight=max(1, in_flight // lanes),
            expect=known.cost_of,
            before=known,
        )
        session = Session(options, run_setup, run, dependencies)
        if isinstance(display, JsonEvents):
            # Events are data: without a reader the run stops, as it does when its
            # results find none.
            loop, gone = asyncio.get_running_loop(), OutputFailed(_READER_LEFT, fix=_READER_FIX)
            display.on_lost = lambda: loop.call_soon_threadsafe(session.halt, gone)
        return await session.go()


class _Meter:
    """Adds up what the rows of an input may cost, for the question before an expensive
    run.
    """

    def __init__(self, expect: Callable[[Call], Pico]) -> None:
        self._expect = expect
        # Mutable: changed by `add` only.
        self.expected: Pico = 0

    def add(self, _: object, call: Call) -> None:
        """Take in one more row."""
        self.expected += self._expect(call)


def _confirm(expected: Pico, above: Pico) -> None:
    if expected <= above:
        return
    what = f"this run is expected to cost about {money(expected)}"
    if not sys.stdin.isatty():
        raise ClaudebatchError(
            f"{what}, more than the {money(above)} that goes without a question, and nobody is "
            f"here to be asked",
            fix=f"add --yes, or a cap: --budget {to_usd(expected).quantize(Decimal(1)) + 1}",
        )
    if not typer.confirm(f"{what}. Go on?", err=True):
        raise ClaudebatchError(
            "not started", fix="look at it first with --dry-run, or set a cap with --budget"
        )


def _wall() -> datetime:
    return datetime.now(UTC)  # noqa: TID251  # a command is where time comes in
