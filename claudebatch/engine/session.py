"""One session of a run: from an open run to its summary."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

from claudebatch.alerts import watch
from claudebatch.core.domain import Call, Pico, usd_text
from claudebatch.core.drain import Drain
from claudebatch.core.errors import JournalFailed, OutputFailed, StopRun
from claudebatch.core.events import ConcurrencyChanged, Notice, RunStarted
from claudebatch.core.reports import RunSummary
from claudebatch.engine.cached_rows import CachedRows
from claudebatch.engine.dependencies import LazyClient, RunDependencies
from claudebatch.engine.engine import Ended, Engine
from claudebatch.engine.expected_cost import ExpectedCost
from claudebatch.engine.finish_row import RowFinisher
from claudebatch.engine.ledger_entry import begin, entry, tell_end
from claudebatch.engine.open_run import OpenRun
from claudebatch.engine.recovery import recovered
from claudebatch.engine.row_feed import InputSources, LookAhead, RowFeed
from claudebatch.engine.session_budget import SessionBudget
from claudebatch.engine.signals import Signals
from claudebatch.engine.summary import Lines, SummaryBuilder
from claudebatch.layers.budget.store import BudgetStore
from claudebatch.layers.response_cache.look_ahead import LookAheadCache
from claudebatch.layers.response_cache.write_behind import WriteBehind
from claudebatch.setup.pools import slots
from claudebatch.setup.run_options import RunOptions
from claudebatch.setup.run_setup import RunSetup
from claudebatch.setup.stack import Keys, Money, Parts, build_stack
from claudebatch.setup.stores import open_attempt_log, open_cache
from claudebatch.storage.journal import (
    Journal,
    RowFilter,
    RowKey,
    RowRef,
    pending_keys,
    pending_rows,
)
from claudebatch.storage.journal.queries import give_up_on_sent, leave_out_unknown, totals
from claudebatch.storage.journal.rescue import Rescue, absorb
from claudebatch.storage.ledger import LedgerWriter

Row = TypeVar("Row", RowKey, RowRef)


class Session:
    """Does what is left of a run, and says how it ended."""

    def __init__(
        self, options: RunOptions, run_setup: RunSetup, run: OpenRun, dependencies: RunDependencies
    ) -> None:
        self._options = options
        self._run_setup = run_setup
        self._run = run
        self._dependencies = dependencies
        self._expected = ExpectedCost(dependencies.expect)
        self._drain = Drain()
        self._money = Money(run_setup.prices)
        self._signals = Signals(grace_s=run_setup.settings.grace_s)
        self._watch = watch(
            run_setup.settings.alerts,
            self._emit,
            now=dependencies.now,
            pause=self._drain.pause,
            stop=self.halt,
        )
        self._finishing = RowFinisher(
            options, run.folder, run_setup.prices, wall=dependencies.wall, notify=self._notify
        )  # fmt: skip
        # Mutable: the engine, once there is one.
        self._engine: Engine | None = None

    async def go(self) -> RunSummary:
        """Answer every pending row, or stop for a good reason. Raises only for what is
        a bug or a broken disk.
        """
        options, run, dependencies = self._options, self._run, self._dependencies
        begin(run, dependencies.paths.ledger)
        connection = run.folder.journal
        absorb(run.folder.path, run.run_id, connection)
        lost = give_up_on_sent(connection)
        settings = self._run_setup.settings
        # A rehearsal costs nothing, and takes nothing out of what others may spend.
        caps = () if options.simulate else settings.budget.shared
        ledger = LedgerWriter.open(
            dependencies.paths.ledger,
            entry(run, options, self._run_setup, self._output_name),
            rehearsal=options.simulate,
            shared_budget=bool(caps),
        )
        before = totals(connection)
        ledger.rebuild(
            connection
        )  # a run that died before its first request may have left a hold, too
        if lost:
            self._tell_lost(lost, before.unknown)
        if options.unknown == "skip":
            self._leave_out(connection)
        closing = SummaryBuilder(
            options,
            run,
            self._run_setup,
            stats=dependencies.stats,
            expected=self._expected,
            started=dependencies.now(),
        )
        output = closing.prepare_output(self._emit)
        self._emit(
            RunStarted(
                run.run_id, closing.rows, closing.finished_before, before.spent,
                closing.cap, self._output_name, options.simulate,
                before.unknown,
            )
        )  # fmt: skip
        rescue = Rescue(run.folder.path, run.run_id)
        journal = Journal(
            connection,
            output=output,
            ledger=ledger,
            on_failure=self._journal_failed,
            rescue=rescue.save,
        )
        budget_store = SessionBudget(settings.budget, run.run_id, before, dependencies, self._drain)
        try:
            money = await budget_store.open(
                caps, journal, today=self._finishing.today, emit=self._emit
            )
            ended = await self._work(journal, money)
        finally:
            await journal.close()
            rescue.close()
            _close(journal, output, ledger)
            await budget_store.close(told=journal.failure is None)
        if ended.stop is None:
            ended.stop = journal.failure
        simulated = options.simulate or run.folder.meta("simulator") is not None
        summary = closing.sum_up(
            ended, self._signals.first, simulated=simulated, now=dependencies.now()
        )
        tell_end(
            dependencies.paths.ledger, summary, dependencies.wall().isoformat(timespec="seconds")
        )
        return summary

    def _tell_lost(self, lost: int, unknown: Pico) -> None:
        were = "1 request was" if lost == 1 else f"{lost} requests were"
        self._emit(
            Notice(
                f"{were} in flight when this run died and may be billed;"
                f" what nobody knows of counts at its worst case, ${usd_text(unknown)}"
            )
        )

    def _leave_out(self, connection: sqlite3.Connection) -> None:
        left = leave_out_unknown(connection)
        if left:
            self._emit(
                Notice(
                    f"{left} rows whose requests may have been billed are not asked again: "
                    f"--unknown skip"
                )
            )

    @property
    def _output_name(self) -> str:
        return str(self._run.output) if self._run.output is not None else "standard output"

    async def _work(self, journal: Journal, budget_store: BudgetStore) -> Ended:
        run, run_setup, dependencies = self._run, self._run_setup, self._dependencies
        self._loop = asyncio.get_running_loop()
        cache = self._cache(journal)
        sources = InputSources(run.files, run_setup)
        keys = Keys(dependencies.key_scope)
        client = LazyClient(dependencies.connect)
        parts = Parts(
            settings=run_setup.settings,
            catalog=run_setup.catalog,
            prices=run_setup.prices,
            builder=run_setup.builder,
            keys=keys,
            cache=cache,
            log=open_attempt_log(
                journal, wall=dependencies.wall, price_version=run_setup.prices.version
            ),
            budget_store=budget_store,
            count=client.count,
            drain=self._drain,
            now=dependencies.now,
            rng=dependencies.rng,
            emit=self._emit,
            most_in_flight=dependencies.most_in_flight,
            before=dependencies.before,
        )
        look_ahead = _look_ahead(cache, keys)
        feeds = [
            RowFeed(lane, self._pending(journal, pending_rows), sources, look_ahead=look_ahead)
            for lane in run.lanes
        ]
        finish = self._finishing.into(journal)
        engine = Engine(
            build_stack(parts, client),
            feeds=feeds,
            workers=slots(run_setup.settings.limits, dependencies.most_in_flight)[0] + 1,
            finish=finish,
            value_of=self._finishing.value_of,
            now=dependencies.now,
            drain=self._drain,
            emit=self._emit,
        )
        self._engine = engine
        try:
            with self._signals.caught_by(self._loop, engine):
                for outcome in await journal.read(
                    lambda connection: recovered(connection, sources, self._money)
                ):
                    await finish(outcome)
                await (
                    journal.flush()
                )  # else their rows would still be pending, and be answered again
                if cache is not None:
                    await self._replay(journal, cache)
                    await journal.flush()
                ended = await engine.run()
            changed = sum(feed.changed for feed in feeds)
            if changed:
                self._emit(
                    Notice(
                        f"{changed:,} lines of the input changed during the run; their rows are "
                        f"left to be done"
                    )
                )
            return ended
        finally:
            for feed in feeds:
                await feed.close()
            sources.close()
            await client.close()
            if cache is not None:
                await journal.flush()  # some answers wait for it
                await cache.close()

    async def _replay(self, journal: Journal, cache: LookAheadCache) -> None:
        replay = CachedRows(
            cache,
            value_of=self._finishing.worth,
            simulated=self._options.simulate,
            today=self._finishing.today,
        )
        pending = self._pending(journal, pending_keys)
        for lane in self._run.lanes:
            await replay.lane(
                partial(pending, lane),
                finish=journal.finish_all,
                emit=self._emit,
                stopped=lambda: self._drain.started,
            )

    def _pending(
        self, journal: Journal, rows: Callable[..., list[Row]]
    ) -> Callable[[str, int, int], Awaitable[list[Row]]]:
        options = self._options
        wanted = RowFilter(options.limit, options.retry_failed, options.unknown == "skip")

        async def pending(lane: str, after: int, count: int) -> list[Row]:
            return await journal.read(
                lambda connection: rows(connection, wanted, lane, after, count)
            )

        return pending

    def _cache(self, journal: Journal) -> LookAheadCache | None:
        if self._options.no_cache:
            return None
        folder = self._dependencies.paths.cache_dir
        store = open_cache(self._run_setup.settings.cache, folder, notify=self._notify)
        return None if store is None else LookAheadCache(WriteBehind(store, after=journal.after))

    def _emit(self, event: object) -> None:
        if isinstance(event, ConcurrencyChanged) and self._engine is not None:
            self._engine.resize(event.pool, event.limit)
        self._dependencies.stats(event)  # type: ignore[arg-type]
        self._expected(event)  # type: ignore[arg-type]
        self._dependencies.emit(event)  # type: ignore[arg-type]
        self._watch(event)  # type: ignore[arg-type]

    def halt(self, stop: StopRun) -> None:
        """Send nothing new, for a reason from outside; what is in flight may finish."""
        if self._engine is not None:
            self._engine.halt(stop)

    def _notify(self, text: str) -> None:
        # Called in the cache's thread.
        self._loop.call_soon_threadsafe(self._emit, Notice(text))

    def _journal_failed(self, reason: str) -> None:
        # Called in the journal's thread: nothing more may be sent, whatever the workers
        # are waiting for.
        self._loop.call_soon_threadsafe(self._drain.start, reason)


def _close(journal: Journal, output: Lines, ledger: LedgerWriter) -> None:
    try:
        output.close()
    except OSError as error:
        journal.fail(
            OutputFailed(
                f"the results cannot be written: {error}", fix="free some space or mend the disk"
            )
        )
    try:
        ledger.close()
    except sqlite3.Error as error:
        journal.fail(
            JournalFailed(f"the spend ledger cannot be written: {error}", fix="mend the disk")
        )


def _look_ahead(cache: LookAheadCache | None, keys: Keys) -> LookAhead:
    async def look_ahead(calls: Sequence[Call]) -> None:
        if cache is not None:
            await cache.look_ahead(keys.ahead(calls))

    return look_ahead
