"""One session of a run: from an open run to its summary."""

from __future__ import annotations

import asyncio
import sqlite3
from dataclasses import replace

from claudebatch.alerts import WATCHED, watch
from claudebatch.core.domain import Pico, usd_text
from claudebatch.core.drain import Drain
from claudebatch.core.errors import StopRun
from claudebatch.core.events import ConcurrencyChanged, Event, RunStarted
from claudebatch.core.notice import Notice
from claudebatch.core.plurals import counted
from claudebatch.core.reports import RunSummary
from claudebatch.engine.cost_drift import drift_watch
from claudebatch.engine.dependencies import RunDependencies
from claudebatch.engine.engine import Ended
from claudebatch.engine.expected_cost import ExpectedCost
from claudebatch.engine.finish_row import RowFinisher
from claudebatch.engine.ledger_entry import begin, entry, tell_end
from claudebatch.engine.more_room import MoreRoom
from claudebatch.engine.open_run import OpenRun
from claudebatch.engine.row_work import RowWork, SessionContext, SessionStores
from claudebatch.engine.run_deadline import forget_deadline
from claudebatch.engine.session_files import SessionFiles
from claudebatch.engine.signals import Signals
from claudebatch.engine.summary import SummaryBuilder
from claudebatch.layers.budget.settings import BudgetSettings
from claudebatch.layers.budget.store import BudgetStore
from claudebatch.layers.response_cache.look_ahead import LookAheadCache
from claudebatch.layers.response_cache.request_notes import RequestNotes, place_of
from claudebatch.layers.response_cache.store import CacheStore, Claims
from claudebatch.layers.response_cache.write_behind import WriteBehind
from claudebatch.setup.run_options import RunOptions
from claudebatch.setup.run_setup import RunSetup
from claudebatch.setup.shared_server import open_shared
from claudebatch.setup.stores import (
    BudgetOpening,
    claims_of,
    is_here,
    open_budget,
    open_cache,
    open_throwaway_cache,
)
from claudebatch.storage.journal import Journal
from claudebatch.storage.journal.batches import undo_building
from claudebatch.storage.journal.queries import (
    Totals,
    give_up_on_sent,
    holds_answers,
    leave_out_unknown,
    totals,
)
from claudebatch.storage.journal.rescue import absorb
from claudebatch.storage.ledger import LedgerWriter


class Session:
    """Does what is left of a run, and says how it ended. Made inside the running
    loop.
    """

    def __init__(
        self, options: RunOptions, run_setup: RunSetup, run: OpenRun, dependencies: RunDependencies
    ) -> None:
        self._options = options
        self._run_setup = run_setup
        self._run = run
        self._dependencies = dependencies
        self._loop = asyncio.get_running_loop()
        self._expected = ExpectedCost(dependencies.expect)
        self._more_room = MoreRoom(
            run_setup.prices.worst,
            dependencies.expect,
            max_tokens=run_setup.settings.max_tokens,
        )
        self._drain = Drain()
        self._signals = Signals(dependencies.signals, grace_s=run_setup.settings.grace_s)
        self._budget = _budget(options, run_setup)
        self._shared = open_shared(
            None if options.simulate else run_setup.settings.shared,
            scope=dependencies.key_scope,
            rng=dependencies.rng,
            waits=self._drain,
            now=dependencies.now,
            max_outage_s=run_setup.settings.max_outage_s,
            notify=self._emit,
        )
        self._watch = watch(
            run_setup.settings.alerts,
            self._emit,
            now=dependencies.now,
            pause=self._drain.pause,
            stop=self.halt,
        )
        self._finisher = RowFinisher(
            options,
            run.folder,
            run_setup.prices,
            wall=dependencies.wall,
            notify=self._notify,
        )
        batches = run_setup.settings.batches.used
        self._drift = drift_watch(options, run, dependencies.weigh, self._emit_on, by_batch=batches)
        self._answered_before = holds_answers(run.folder.journal)
        # Mutable: who of several hosts asks, once the cache is open.
        self._claims: Claims | None = None
        # Mutable: the work, once there is some; a reason to stop that came before it.
        self._work: RowWork | None = None
        self._halted: StopRun | None = None
        # Mutable: set once. Older cached answers are not looked at; in Unix seconds.
        self._cached_since = 0.0

    async def go(self) -> RunSummary:
        """Answer every pending row, or stop for a good reason. Raises only for what is
        a bug or a broken disk.
        """
        try:
            return await self._go()
        finally:
            # After all stores, which tell it their ends.
            if self._shared is not None:
                await self._shared.close()

    async def _go(self) -> RunSummary:
        ledger, before = self._take_up()
        builder, files = self._open_files(ledger, before)
        budget_store: BudgetStore | None = None
        try:
            budget_store = await self._open_budget(files.journal, before)
            ended = await self._answer_rows(files.journal, budget_store)
        finally:
            await files.close()
            # Last: only money that the ledger has as spent may be given back.
            if budget_store is not None:
                await budget_store.close(complete=files.journal.failure is None)
        if ended.stop is None:
            ended.stop = files.journal.failure
        if self._drift is not None:
            self._drift.look()
        return self._sum_up(builder, ended)

    def halt(self, stop: StopRun) -> None:
        """Send nothing new, for a reason from outside; what is in flight may finish."""
        if self._work is not None:
            self._work.halt(stop)
        else:
            self._halted = self._halted or stop

    def _take_up(self) -> tuple[LedgerWriter, Totals]:
        """Bring journal and ledger to one state, whatever became of earlier sessions;
        returns what they have spent.
        """
        options, run, path = self._options, self._run, self._dependencies.paths.ledger
        begin(run, path)
        connection = run.folder.journal
        # Answers that the last session could write nowhere else come first: with them
        # fewer requests are of unknown outcome.
        absorb(run.folder.path, run.run_id, connection)
        if options.refresh_cache:
            self._cached_since = self._refresh_begin()
        lost = give_up_on_sent(connection)
        undo_building(connection)
        ledger = LedgerWriter.open(
            path,
            entry(run, options, self._run_setup, self._output_name),
            rehearsal=options.simulate,
            shared_budget=bool(self._budget.shared) and self._shared is None,
        )
        before = totals(connection)
        # A run that died before its first request may have left a hold, too.
        ledger.rebuild(connection)
        if lost:
            self._report_lost(lost, before.unknown)
        if options.unknown == "skip":
            self._leave_out(connection)
        return ledger, before

    def _refresh_begin(self) -> float:
        """When this run began to ask anew: what a session before this one has asked
        since is not asked again.
        """
        # In the journal: the clock of this session may be hours ahead.
        folder = self._run.folder
        began = folder.meta("refresh_since")
        if not isinstance(began, (int, float)):
            began = self._dependencies.wall().timestamp()
            folder.note(refresh_since=began)
        return float(began)

    def _open_files(
        self, ledger: LedgerWriter, before: Totals
    ) -> tuple[SummaryBuilder, SessionFiles]:
        """Mend the results file and say that the run begins."""
        options, run = self._options, self._run
        dependencies = self._dependencies
        builder = SummaryBuilder(
            options,
            run,
            self._run_setup,
            stats=dependencies.stats,
            expected=self._expected,
            more_room=self._more_room,
            weigh=dependencies.weigh,
            started=dependencies.now(),
        )
        output = builder.prepare_output(self._emit)
        self._emit(
            RunStarted(
                run_id=run.run_id,
                rows=builder.rows,
                finished_before=builder.finished_before,
                spent_before=before.spent,
                cap=builder.cap,
                output=self._output_name,
                simulated=options.simulate,
                unknown_before=before.unknown,
                unknown_attempts_before=before.unknown_attempts,
            )
        )
        return builder, SessionFiles(
            run, output=output, ledger=ledger, on_failure=self._journal_failed
        )

    async def _open_budget(self, journal: Journal, before: Totals) -> BudgetStore:
        if self._budget.overshoot:
            self._emit(
                Notice(
                    "N041",
                    f"budget.mode is expected: the cap may be passed by up to "
                    f"${usd_text(self._budget.overshoot)}",
                )
            )
        dependencies = self._dependencies
        return await open_budget(
            self._budget,
            BudgetOpening(
                ledger=dependencies.paths.ledger,
                run_id=self._run.run_id,
                # Whatever may have been billed counts as spent, until it is known
                # better.
                spent=before.spent + before.unknown,
                today=self._finisher.today,
                now=dependencies.now,
                waits=self._drain,
                emit=self._emit,
                flush=journal.flush_ledger,
                tag=self._run_setup.settings.tag,
                shared=self._shared,
            ),
        )

    async def _answer_rows(self, journal: Journal, budget_store: BudgetStore) -> Ended:
        cache, notes = self._open_cache(journal)
        context = SessionContext(
            options=self._options,
            run_setup=self._run_setup,
            run=self._run,
            dependencies=self._dependencies,
            finisher=self._finisher,
            drain=self._drain,
            emit=self._emit,
            answered_before=self._answered_before,
            more_room=self._more_room,
        )
        stores = SessionStores(
            journal, budget_store, cache, shared=self._shared, claims=self._claims, notes=notes
        )
        work = RowWork(context, stores)
        self._work = work
        if self._halted is not None:
            work.halt(self._halted)
        try:
            with self._signals.caught_by(work):
                ended = await work.run()
            work.report_changed_lines()
            return ended
        finally:
            await work.close()
            if cache is not None:
                # Answers enter the cache once the journal has them.
                await journal.flush()
                await cache.close()

    def _open_cache(self, journal: Journal) -> tuple[LookAheadCache | None, RequestNotes | None]:
        if self._options.no_cache:
            return None, None
        settings, folder = self._run_setup.settings.cache, self._dependencies.paths.cache_dir
        if self._options.simulate:
            # Equal rows share an answer as in the real run; and no made-up answer is
            # ever found again.
            place = folder.with_name(f"rehearsal-{self._run.run_id}")
            store = open_throwaway_cache(settings, place, notify=self._notify)
            return self._cached_in(store, journal), None
        if self._options.fresh and settings.enabled and not self._options.refresh_cache:
            self._emit(
                Notice(
                    "N042",
                    "--fresh starts over, but cached answers are reused: "
                    "--no-cache asks for them again",
                )
            )
        notes = RequestNotes(
            run=self._run.run_id,
            place=place_of(self._dependencies.key_scope),
            worth=self._finisher.worth,
        )
        store = open_cache(
            settings,
            folder,
            notify=self._notify,
            notes=notes,
            since=self._cached_since,
            shared=self._shared,
        )
        self._claims = claims_of(store)
        # What was asked stands beside answers on this machine's disk only.
        return self._cached_in(store, journal), notes if is_here(store) else None

    @staticmethod
    def _cached_in(store: CacheStore | None, journal: Journal) -> LookAheadCache | None:
        return None if store is None else LookAheadCache(WriteBehind(store, after=journal.after))

    def _sum_up(self, builder: SummaryBuilder, ended: Ended) -> RunSummary:
        dependencies = self._dependencies
        simulated = self._options.simulate or self._run.folder.meta("simulator") is not None
        summary = builder.sum_up(
            ended, self._signals.first, simulated=simulated, now=dependencies.now()
        )
        waited = None if self._shared is None else self._shared.waited()
        summary = replace(summary, rest=builder.rest(summary.pending), shared=waited)
        # What is added later has a deadline of its own.
        if not summary.pending:
            forget_deadline(self._run.folder)
        ended_at = dependencies.wall().isoformat(timespec="seconds")
        tell_end(dependencies.paths.ledger, summary, ended_at)
        return summary

    def _report_lost(self, lost: int, unknown: Pico) -> None:
        were = counted(lost, "request was", "requests were")
        self._emit(
            Notice(
                "W043",
                f"{were} in flight when this run was killed and may have been billed, "
                f"${usd_text(unknown)} at most",
            )
        )

    def _leave_out(self, connection: sqlite3.Connection) -> None:
        left = leave_out_unknown(connection)
        if left:
            self._emit(
                Notice(
                    "W044",
                    f"{counted(left, 'row')} that may have been billed without an answer "
                    f"{'is' if left == 1 else 'are'} not asked again (--unknown skip)",
                )
            )

    @property
    def _output_name(self) -> str:
        return str(self._run.output) if self._run.output is not None else "standard output"

    def _emit(self, event: Event) -> None:
        # Workers first: a listener may take its time.
        if isinstance(event, ConcurrencyChanged) and self._work is not None:
            self._work.resize(event.pool, event.limit)
        self._dependencies.stats(event)
        # Of every row there are other events, too, which none of these wants.
        watched = isinstance(event, WATCHED)
        if watched:
            self._expected(event)
            self._more_room(event)
        self._dependencies.emit(event)
        if watched:
            self._watch(event)
            if self._drift is not None:
                self._drift(event)

    def _emit_on(self, event: Event) -> None:
        # The watch itself has no use for its own news.
        self._dependencies.emit(event)

    def _notify(self, notice: Notice) -> None:
        # Called in the threads of cache and journal: listeners know the loop's only.
        self._loop.call_soon_threadsafe(self._emit, notice)

    def _journal_failed(self, reason: str) -> None:
        # Called in the journal's thread: nothing more may be sent, whatever the workers
        # are waiting for.
        self._loop.call_soon_threadsafe(self._drain.start, reason)


def _budget(options: RunOptions, run_setup: RunSetup) -> BudgetSettings:
    budget = run_setup.settings.budget
    # A rehearsal costs nothing, and takes nothing out of what others may spend.
    return replace(budget, shared=()) if options.simulate else budget
