"""The work of a session: every pending row through the layers, and its outcome into the
journal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from claudebatch.core.domain import Call
from claudebatch.core.drain import Drain
from claudebatch.core.errors import StopRun
from claudebatch.core.events import Emit
from claudebatch.core.notice import Notice
from claudebatch.core.plurals import counted
from claudebatch.core.resting import Resting
from claudebatch.core.tries import RowTries
from claudebatch.engine.cached_rows import CachedRows
from claudebatch.engine.dependencies import LazyClient, RunDependencies
from claudebatch.engine.earlier_tries import read_tries
from claudebatch.engine.engine import Ended, Engine
from claudebatch.engine.finish_row import RowFinisher
from claudebatch.engine.more_room import MoreRoom
from claudebatch.engine.open_run import OpenRun
from claudebatch.engine.pending import PendingRows
from claudebatch.engine.recovery import recovered
from claudebatch.engine.refusal_watch import RefusalWatch, WatchedClient
from claudebatch.engine.row_feed import InputSources, RowFeed
from claudebatch.engine.unfit_answers import EarlierUnfit
from claudebatch.layers.budget.store import BudgetStore
from claudebatch.layers.response_cache.look_ahead import LookAheadCache
from claudebatch.setup.pools import slots
from claudebatch.setup.run_options import RunOptions
from claudebatch.setup.run_setup import RunSetup
from claudebatch.setup.stack import Keys, Parts, build_stack
from claudebatch.setup.stores import open_attempt_log
from claudebatch.storage.journal import Journal


@dataclass(frozen=True, slots=True)
class SessionContext:
    """The common parts of all steps of a session."""

    options: RunOptions
    run_setup: RunSetup
    run: OpenRun
    dependencies: RunDependencies
    finisher: RowFinisher
    drain: Drain
    emit: Emit
    answered_before: bool
    """Earlier sessions of the run had answers."""
    more_room: MoreRoom
    """Hears of rows that do not fit under the cap."""


@dataclass(frozen=True, slots=True)
class SessionStores:
    """The stores of a session, open."""

    journal: Journal
    budget: BudgetStore
    cache: LookAheadCache | None
    """None: nothing is looked up or kept."""


class RowWork:
    """Opens the input and the stack, runs the engine over them, and closes them."""

    def __init__(self, context: SessionContext, stores: SessionStores) -> None:
        self._context = context
        self._journal = stores.journal
        self._cache = stores.cache
        self._sources = InputSources(
            context.run.files, context.options.input_names, context.run_setup
        )
        self._client = LazyClient(context.dependencies.connect)
        self._resting = Resting()
        # Mutable: filled once, before the first row is asked for.
        self._earlier: dict[int, RowTries] = {}
        self._unfit = EarlierUnfit(stores.journal)
        self._keys = Keys(context.dependencies.key_scope)
        self._pending = PendingRows(stores.journal, context.options)
        self._finish = context.finisher.into(stores.journal)
        self._feeds = [
            RowFeed(lane, self._pending.refs, self._sources, look_ahead=self._look_ahead)
            for lane in context.run.lanes
        ]
        self.engine = self._engine(stores)

    async def run(self) -> Ended:
        """Show what earlier sessions paid for, then what the cache has, then ask."""
        await self._finish_recovered()
        # Rows that are finished but not yet written would be taken for pending, and be
        # answered again.
        await self._journal.flush()
        # A row that wants a form needs its line to be read: its lane finds its answer.
        if self._cache is not None and not self._context.run.folder.meta("wants_form"):
            await self._replay(self._cache)
            await self._journal.flush()
        # Before a row holds money: a wrong variable or certificate ends the run here.
        # What needs no request needs no environment either.
        drain = self._context.drain
        if not drain.started and await self._pending.any(self._context.run.lanes):
            self._client.open()
        await self._read_tries()
        await self._unfit.load()
        return await self.engine.run()

    def report_changed_lines(self) -> None:
        """Say how many rows were left out because their lines were edited meanwhile."""
        changed = sum(feed.changed for feed in self._feeds)
        if changed:
            self._context.emit(
                Notice(
                    "W039",
                    f"{counted(changed, 'line')} of the input changed during the run and "
                    f"{'was' if changed == 1 else 'were'} not sent: run the same command again",
                )
            )

    async def close(self) -> None:
        """Close the input and the connections; nothing is asked for any more."""
        for feed in self._feeds:
            await feed.close()
        self._sources.close()
        await self._client.close()

    def _engine(self, stores: SessionStores) -> Engine:
        context, dependencies = self._context, self._context.dependencies
        settings = context.run_setup.settings
        limits = settings.limits
        refusals = RefusalWatch(
            stop_after=settings.stop_after,
            max_outage_s=settings.max_outage_s,
            # Then the command was right once, and what is left may all be refused.
            answered_before=context.answered_before,
        )
        client = WatchedClient(
            self._client,
            refusals,
            now=dependencies.now,
            news=self._news,
        )
        return Engine(
            build_stack(self._parts(stores), client),
            feeds=self._feeds,
            # One more than may be in flight: its request stands next in line.
            workers=slots(limits, dependencies.most_in_flight)[0] + 1,
            finish=self._finish,
            value_of=context.finisher.value_of,
            now=dependencies.now,
            drain=context.drain,
            emit=context.emit,
            refusals=refusals,
            resting=self._resting,
            no_room=context.more_room.refused,
        )

    def _news(self, stop: StopRun | None) -> None:
        self.engine.news(stop)

    def _parts(self, stores: SessionStores) -> Parts:
        context, run_setup = self._context, self._context.run_setup
        dependencies, settings = context.dependencies, run_setup.settings
        if context.options.simulate:
            settings = replace(settings, cache=settings.cache.of_rehearsal)
        return Parts(
            settings=settings,
            catalog=run_setup.catalog,
            prices=run_setup.prices,
            builder=run_setup.builder,
            keys=self._keys,
            cache=stores.cache,
            log=open_attempt_log(
                stores.journal, wall=dependencies.wall, price_version=run_setup.prices.version
            ),
            budget_store=stores.budget,
            count=self._client.count,
            drain=context.drain,
            now=dependencies.now,
            rng=dependencies.rng,
            emit=context.emit,
            most_in_flight=dependencies.most_in_flight,
            before=dependencies.before,
            earlier=self._earlier.get,
            unfit=self._unfit,
            resting=self._resting,
        )

    async def _read_tries(self) -> None:
        run_setup = self._context.run_setup
        read = partial(
            read_tries,
            pool_of=run_setup.catalog.pool_of,
            policy=run_setup.settings.breaker,
        )
        self._earlier.update(await self._journal.read(read))

    async def _finish_recovered(self) -> None:
        retries = self._context.run_setup.settings.schema_retries
        found = await self._journal.read(
            lambda connection: recovered(connection, self._sources, schema_retries=retries)
        )
        for outcome in found:
            await self._finish(outcome)

    async def _replay(self, cache: LookAheadCache) -> None:
        context = self._context
        replay = CachedRows(
            cache,
            value_of=context.finisher.worth,
            names=context.options.input_names,
            simulated=context.options.simulate,
            today=context.finisher.today,
        )
        for lane in context.run.lanes:
            await replay.lane(
                partial(self._pending.keys, lane),
                finish=self._journal.finish_all,
                emit=context.emit,
                stopped=lambda: context.drain.started,
            )

    async def _look_ahead(self, calls: Sequence[Call]) -> None:
        if self._cache is not None:
            await self._cache.look_ahead(self._keys.ahead(calls))
