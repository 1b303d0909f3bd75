"""The work of a session: every pending row through the layers, and its outcome into the
journal.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from claudebatch.core.body_room import BodyRoom
from claudebatch.core.domain import Call
from claudebatch.core.drain import Drain
from claudebatch.core.errors import Draining, StopRun
from claudebatch.core.events import Emit
from claudebatch.core.handler import Handler
from claudebatch.core.notice import Notice
from claudebatch.core.plurals import counted
from claudebatch.core.resting import Resting
from claudebatch.core.tries import RowTries
from claudebatch.engine.batch_work import open_sender
from claudebatch.engine.batches.sender import BatchSender
from claudebatch.engine.cached_rows import CachedRows
from claudebatch.engine.dependencies import LazyClient, RunDependencies
from claudebatch.engine.earlier_answers import EarlierAnswers
from claudebatch.engine.earlier_tries import read_tries
from claudebatch.engine.engine import Ended, Engine
from claudebatch.engine.finish_row import RowFinisher
from claudebatch.engine.lanes_again import LanesAgain
from claudebatch.engine.mark_rows import place_by, plan_marks
from claudebatch.engine.more_room import MoreRoom
from claudebatch.engine.open_run import OpenRun
from claudebatch.engine.pending import PendingRows, wanted_rows
from claudebatch.engine.recovery import GoesOn, recovered
from claudebatch.engine.refusal_watch import RefusalWatch, WatchedClient
from claudebatch.engine.row_feed import InputSources, RowFeed
from claudebatch.engine.run_deadline import keep_deadline
from claudebatch.layers.budget.store import BudgetStore
from claudebatch.layers.prompt_caching.mark_plan import MarkPlan
from claudebatch.layers.response_cache.look_ahead import LookAheadCache
from claudebatch.layers.response_cache.request_notes import RequestNotes
from claudebatch.layers.response_cache.store import Claims
from claudebatch.setup.pools import slots
from claudebatch.setup.run_options import RunOptions
from claudebatch.setup.run_setup import RunSetup
from claudebatch.setup.shared_beginnings import spacing_of
from claudebatch.setup.stack import Keys, Parts, build_stack
from claudebatch.setup.stores import open_attempt_log
from claudebatch.storage.journal import Journal
from claudebatch.storage.shared_server.redis_server import ScriptServer


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
    shared: ScriptServer | None = None
    """The server of stores that all hosts share, if there is one."""
    claims: Claims | None = None
    """Who of several hosts asks for an answer."""
    notes: RequestNotes | None = None
    """What is asked, on its way to stand beside its cached answer."""


class RowWork:
    """Opens the input and the stack, runs the engine over them, and closes them."""

    def __init__(self, context: SessionContext, stores: SessionStores) -> None:
        self._context = context
        self._journal = stores.journal
        self._cache = stores.cache
        self._sources = InputSources(
            context.run.files,
            context.options.input_names,
            context.run_setup,
            large_rows=bool(context.run.folder.meta("has_files")),
        )
        self._client = LazyClient(context.dependencies.connect)
        self._resting = Resting()
        self._room = BodyRoom()
        # Mutable: filled once, before the first row is asked for.
        self._earlier: dict[int, RowTries] = {}
        self._keys = Keys(context.dependencies.key_scope)
        self._stores = stores
        self._pending = PendingRows(stores.journal, wanted_rows(context.options))
        self._marks = MarkPlan()
        self._finish = context.finisher.into(stores.journal)
        settings = context.run_setup.settings
        self._answers = EarlierAnswers(
            stores.journal, unwanted=settings.fallback_on, shared=stores.cache is not None
        )
        self._refusals = RefusalWatch(
            stop_after=settings.stop_after,
            max_outage_s=settings.max_outage_s,
            # Then the command was right once, and what is left may all be refused.
            answered_before=context.answered_before,
        )
        self._handler = self._stack()
        # Mutable: the feeds of all passes over rows that are sent at once, the engine
        # of the present one, and what sends rows by batch, if any go that way.
        self._feeds: list[RowFeed] = []
        self._engine = self._new_engine(self._pending)
        self._sender: BatchSender | None = None
        self._sending: asyncio.Task[None] | None = None

    async def run(self) -> Ended:
        """Show what earlier sessions paid for, then what the cache has, then ask."""
        await self._finish_recovered()
        # Rows that are finished but not yet written would be taken for pending, and be
        # answered again.
        await self._journal.flush()
        self._sender = await open_sender(
            self._context,
            self._stores,
            self._sources,
            self._answers,
            objection=self._client.objection,
            place=place_by(self._marks, self._context.run_setup, in_batch=True),
            halt=self.halt,
        )
        unsent = self._pending if self._sender is None else self._pending.by("unsent")
        # A row that wants a form needs its line to be read: its lane finds its answer.
        if self._cache is not None and not self._context.run.folder.meta("wants_form"):
            await self._replay(self._cache, unsent)
            await self._journal.flush()
        await self._plan_marks()
        await self._read_tries()
        await self._answers.load()
        if self._sender is None:
            # Nothing is with the API, and nothing is to be sent.
            if self._context.options.collect:
                return Ended()
            return await self._pass(self._engine, self._pending)
        return await self._plan(self._sender) or await self._with_batches(self._sender)

    async def _plan(self, sender: BatchSender) -> Ended | None:
        """Choose roads for a deadline, if there is one; what comes back is why nothing
        is to be sent.
        """
        context = self._context
        asked = context.dependencies.deadline
        if asked is None or context.options.collect:
            return None
        cap = context.run_setup.settings.budget.cap
        try:
            sender.keeper = await keep_deadline(asked, sender.parts, context.run.folder, cap=cap)
        except Draining:
            return Ended()
        except StopRun as stop:
            return Ended(stop)
        return None

    async def _pass(self, engine: Engine, pending: PendingRows) -> Ended:
        # Before a row holds money: a wrong variable or certificate ends the run here.
        # What needs no request needs no environment either.
        if not self._context.drain.started and await pending.any(self._context.run.lanes):
            self._client.open()
        self._engine = engine
        return await engine.run()

    async def _with_batches(self, sender: BatchSender) -> Ended:
        """Send rows at once and by batch, side by side, until neither has any left."""
        ended, live = Ended(), self._pending.by("live")
        # Beside the passes: batches take hours, and urgent rows must not wait for them.
        self._sending = asyncio.ensure_future(sender.run())
        seen = -1
        try:
            while True:
                sender.changed.clear()
                # The other rows of a pass stay to be done: a cap, or their turn again.
                if seen != sender.moves and self._may_send():
                    seen = sender.moves
                    # Rows whose results are not written yet would be asked again.
                    await self._journal.flush()
                    if ended.over_budget is not None:
                        # A cap may have stopped rows between two answers.
                        await self._answers.load()
                    ended.also(await self._pass_beside(sender, live))
                elif sender.ended:
                    break
                else:
                    await sender.changed.wait()
        except BaseException:
            # Told now, and not when the last batch ends: those go on by themselves.
            self.stop("the run cannot go on", quiet=True)
            raise
        finally:
            await asyncio.wait((self._sending,))
        if sender.stop is not None:
            ended.stopped(sender.stop)
        if sender.over_budget is not None:
            ended.over(sender.over_budget)
        if not self._sending.cancelled() and self._sending.exception() is not None:
            ended.crashed = ended.crashed or self._sending.exception()
        return ended

    async def _pass_beside(self, sender: BatchSender, pending: PendingRows) -> Ended:
        """One pass, whose lanes go on with what comes over from batches."""
        engine = self._new_engine(pending, through=sender.changed.set)
        lanes = LanesAgain(
            self._context.run.lanes,
            sender,
            feed=lambda lane: self._feed(lane, pending),
            flush=self._journal.flush,
            may_send=self._may_send,
        )
        watching = asyncio.ensure_future(lanes.watch(engine))
        try:
            ended = await self._pass(engine, pending)
        finally:
            watching.cancel()
            await asyncio.wait((watching,))
        if not watching.cancelled():
            # It ends by itself for a broken disk only, or a bug.
            watching.result()
        return ended

    def _may_send(self) -> bool:
        # Rows that came back without an answer wait for a command that may send.
        return not (self._context.drain.started or self._context.options.collect)

    def stop(self, reason: str, *, quiet: bool = False) -> None:
        """Send nothing new; let what is in flight finish. Batches go on."""
        self._engine.stop(reason, quiet=quiet)

    def halt(self, stop: StopRun) -> None:
        """Stop for a reason from outside the rows."""
        self._engine.halt(stop)

    def abandon(self) -> None:
        """Do not wait for what is in flight either."""
        self._engine.abandon()
        if self._sending is not None:
            # A create that is cut off may have been made: the next session looks for
            # it in the account's list.
            self._sending.cancel()

    def resize(self, lane: str, in_flight: int) -> None:
        """*lane* may have so many requests in flight."""
        self._engine.resize(lane, in_flight)

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
        if self._sender is not None:
            await self._sender.close()

    def _stack(self) -> Handler:
        client = WatchedClient(
            self._client,
            self._refusals,
            now=self._context.dependencies.now,
            news=self._news,
        )
        return build_stack(self._parts(self._stores), client)

    def _new_engine(
        self, pending: PendingRows, *, through: Callable[[], None] = lambda: None
    ) -> Engine:
        """An engine for one pass over *pending*, through the same layers as all."""
        context, dependencies = self._context, self._context.dependencies
        limits = context.run_setup.settings.limits
        feeds = [self._feed(lane, pending) for lane in context.run.lanes]
        return Engine(
            self._handler,
            feeds=feeds,
            # One more than may be in flight: its request stands next in line.
            workers=slots(limits, dependencies.most_in_flight)[0] + 1,
            finish=self._finish,
            value_of=context.finisher.value_of,
            now=dependencies.now,
            drain=context.drain,
            emit=context.emit,
            refusals=self._refusals,
            resting=self._resting,
            no_room=context.more_room.refused,
            through=through,
        )

    def _feed(self, lane: str, pending: PendingRows) -> RowFeed:
        feed = RowFeed(
            lane,
            pending.refs,
            self._sources,
            look_ahead=self._look_ahead,
            room=self._room,
            stopped=lambda: self._context.drain.started,
        )
        self._feeds.append(feed)
        return feed

    def _news(self, stop: StopRun | None) -> None:
        self._engine.news(stop)

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
            unfit=self._answers.unfit,
            answered=self._answers.unwanted,
            resting=self._resting,
            shared=stores.shared,
            claims=stores.claims,
            notes=stores.notes,
            place=place_by(self._marks, run_setup),
        )

    async def _plan_marks(self) -> None:
        """What the cache answered, or is finished, shares nothing any more."""
        settings = self._context.run_setup.settings
        if settings.prompt_caching == "off":
            return
        fill = partial(
            plan_marks,
            plan=self._marks,
            wanted=wanted_rows(self._context.options),
            spacing=spacing_of(settings.limits),
            alike_once=self._cache is not None,
        )
        await self._journal.read(fill)
        await self._pending.put_together()

    async def _read_tries(self) -> None:
        run_setup = self._context.run_setup
        read = partial(
            read_tries,
            pool_of=run_setup.catalog.pool_of,
            policy=run_setup.settings.breaker,
        )
        self._earlier.update(await self._journal.read(read))

    async def _finish_recovered(self) -> None:
        settings = self._context.run_setup.settings
        goes_on = GoesOn(settings.schema_retries, settings.fallback_on)
        found = await self._journal.read(
            lambda connection: recovered(connection, self._sources, goes_on)
        )
        for outcome in found:
            await self._finish(outcome)

    async def _replay(self, cache: LookAheadCache, pending: PendingRows) -> None:
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
                partial(pending.keys, lane),
                finish=self._journal.finish_all,
                emit=context.emit,
                stopped=lambda: context.drain.started,
            )

    async def _look_ahead(self, calls: Sequence[Call]) -> None:
        if self._cache is not None:
            await self._cache.look_ahead(self._keys.ahead(calls))
