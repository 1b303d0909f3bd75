"""Lanes of workers: one lane per pool of models, so that no prompt queues behind
another model's throttle.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeAlias

from claudebatch.core.domain import Call, Failed, Failure, Outcome, Pico, Reply, Succeeded
from claudebatch.core.drain import Drain
from claudebatch.core.errors import (
    AttemptError,
    BudgetExhausted,
    ClaudebatchError,
    Draining,
    PoolUnavailable,
    ReaderLeft,
    StopRun,
)
from claudebatch.core.events import DrainStarted, Emit, RowFinished
from claudebatch.core.handler import Handler
from claudebatch.core.os_faults import os_fault, place_of
from claudebatch.core.resting import Resting
from claudebatch.engine.outage_suspects import RefusedRow
from claudebatch.engine.refusal_watch import UNTRIED_WORKERS, RefusalWatch, is_refusal
from claudebatch.engine.row_feed import RowFeed

# A failure comes back at once. Were the next row sent in the same moment, hundreds
# would meet an outage before the breaker opens: it waits for those that are under way.
_SUSPECT_WAITS_S = 1.0

Finish: TypeAlias = Callable[[Outcome], Awaitable[None]]
"""Writes an outcome down for good, soon; raises `StopRun` when that has become
impossible.
"""


@dataclass(slots=True)
class Ended:
    """The reasons that the engine stopped for."""

    stop: StopRun | None = None
    """The gravest reason to stop early, if there was one."""
    over_budget: BudgetExhausted | None = None
    """The first row whose worst case did not fit under the cap."""
    refused_worsts: tuple[Pico, Pico] | None = None
    """The worst cases of the cheapest and of the most expensive row that did not fit
    under the run's own cap; None: all did.
    """

    def over(self, error: BudgetExhausted) -> None:
        """A row did not fit under a cap."""
        self.over_budget = self.over_budget or error
        if error.cap == "run":
            low, high = self.refused_worsts or (error.worst, error.worst)
            self.refused_worsts = min(low, error.worst), max(high, error.worst)

    def also(self, other: Ended) -> None:
        """Another part of the session has *other* reasons, too: the gravest counts."""
        if other.stop is not None:
            self.stopped(other.stop)
        self.over_budget = self.over_budget or other.over_budget
        if other.refused_worsts is not None:
            low, high = self.refused_worsts or other.refused_worsts
            self.refused_worsts = (
                min(low, other.refused_worsts[0]),
                max(high, other.refused_worsts[1]),
            )
        self.crashed = self.crashed or other.crashed

    def stopped(self, stop: StopRun) -> None:
        """*stop* is a reason: the gravest decides the exit code."""
        if self.stop is None or stop.exit_code > self.stop.exit_code:
            self.stop = stop

    crashed: BaseException | None = None


class Engine:
    """Drives every row of every lane through the stack, and every outcome into the
    journal.
    """

    def __init__(
        self,
        handler: Handler,
        *,
        feeds: Sequence[RowFeed],
        workers: int,
        finish: Finish,
        value_of: Callable[[Call, Reply], Pico],
        drain: Drain,
        now: Callable[[], float],
        emit: Emit,
        refusals: RefusalWatch | None = None,
        resting: Resting | None = None,
        no_room: Callable[[Call], None] = lambda call: None,
        through: Callable[[], None] = lambda: None,
    ) -> None:
        """*workers* per lane to begin with; *value_of* says what a reply would have
        cost had it been paid for; *refusals* tells the command's faults from the
        rows', and `news` has to be called after each attempt. None: all are the rows'.
        Rows that are *resting* lend their workers' places. *no_room* hears of calls
        that do not fit under the run's own cap; *through* of each lane that has no
        more rows.
        """
        self._handler = handler
        self._feeds = {feed.lane: feed for feed in feeds}
        self._finish = finish
        self._value_of = value_of
        self._drain = drain
        self._now = now
        self._emit = emit
        self._refusals = refusals
        self._resting = resting or Resting()
        self._no_room = no_room
        self._through = through
        self._resting.on_rest = self._fill
        self._resting.count_slots = lambda lane: self._wanted.get(lane, workers)
        self._resting.count_left = lambda lane: self._working[lane] if lane in self._empty else None
        # Mutable: the reasons to stop that workers met; by lane, the wanted and the
        # present number of workers, and calls that are to be asked again; their tasks;
        # the lanes that have no more rows, and those whose pool serves nobody.
        self._ended = Ended()
        self._wanted = dict.fromkeys(self._feeds, workers)
        self._working = dict.fromkeys(self._feeds, 0)
        self._second: dict[str, deque[Call]] = {lane: deque() for lane in self._feeds}
        self._tasks: set[asyncio.Task[None]] = set()
        self._widened = refusals is None or refusals.proven
        self._empty: set[str] = set()
        self._given_up: set[str] = set()

    async def run(self) -> Ended:
        """Work until every lane is empty or the run is stopped."""
        for lane in self._feeds:
            self._fill(lane)
        while self._tasks:
            # Only those of now: `resize` and rows at rest add workers meanwhile.
            await asyncio.wait(self._tasks)
        if self._refusals is not None:
            if not self._drain.started and (stop := self._refusals.nothing_left()) is not None:
                self._note(stop)
            await self._fail_all(self._refusals.rest(stopped=self._drain.started))
        return self._ended

    def news(self, stop: StopRun | None) -> None:
        """An attempt is over; *stop*: why nothing more is to be sent."""
        if stop is not None:
            self._note(stop)
        elif self._refusals is not None and self._refusals.proven and not self._widened:
            self._widened = True
            for lane in self._feeds:
                self._fill(lane)

    def is_through(self, lane: str) -> bool:
        """Whether *lane* has no more rows, and none in flight."""
        return lane in self._empty and not self._working[lane]

    async def again(self, feed: RowFeed) -> bool:
        """Let the lane of *feed*, which is through, go on with its rows; False where
        it cannot, now or in this pass.
        """
        await self._judge()
        # Refused rows that are not judged yet have no result: they would be sent twice.
        # So would those that a cap stopped between two answers.
        held = self._refusals is not None and self._refusals.holds
        able = self._tasks and self.is_through(feed.lane) and not self._drain.started
        if held or self._ended.over_budget is not None or not able:
            return False
        self._feeds[feed.lane] = feed
        self._empty.discard(feed.lane)
        self._fill(feed.lane)
        return True

    def resize(self, lane: str, in_flight: int) -> None:
        """*lane* may have so many requests in flight: as many workers, and one whose
        request is next in line.
        """
        if lane in self._feeds:
            self._wanted[lane] = in_flight + 1
            if self._tasks:
                self._fill(lane)

    def _fill(self, lane: str) -> None:
        loop = asyncio.get_running_loop()
        wanted = lane not in self._empty | self._given_up
        while wanted and self._working[lane] < self._places(lane):
            self._working[lane] += 1
            task = loop.create_task(self._work(lane))
            self._tasks.add(task)
            task.add_done_callback(self._worked)

    def _may_work(self, lane: str) -> bool:
        return not self._drain.started and lane not in self._given_up

    def _places(self, lane: str) -> int:
        # Few, until the first news: see `UNTRIED_WORKERS`.
        wanted = self._wanted[lane]
        wanted = wanted if self._widened else min(wanted, UNTRIED_WORKERS)
        return wanted + self._resting.places(lane)

    def _worked(self, task: asyncio.Task[None]) -> None:
        # At once: rows at rest start a worker each, and their tasks would pile up.
        self._tasks.discard(task)
        crash = None if task.cancelled() else task.exception()
        self._ended.crashed = self._ended.crashed or crash

    def stop(self, reason: str, *, quiet: bool = False) -> None:
        """Send nothing new; let what is in flight finish."""
        if not self._drain.started:
            self._drain.start(reason)
            self._emit(DrainStarted(reason, quiet))

    def halt(self, stop: StopRun) -> None:
        """Stop for a reason from outside the rows."""
        self._note(stop)

    def abandon(self) -> None:
        """Do not wait for what is in flight either."""
        for task in self._tasks:
            task.cancel()

    async def _work(self, lane: str) -> None:
        feed = self._feeds[lane]
        try:
            while self._may_work(lane) and self._working[lane] <= self._places(lane):
                second = self._second[lane]
                call = second.popleft() if second else await feed.take()
                if call is None and second:
                    continue
                if call is None:
                    if not self._drain.started:
                        self._empty.add(lane)
                    break
                try:
                    await self._one(lane, call)
                finally:
                    feed.over(call)
                # Else it would stay in memory while this worker waits for another one.
                del call
        except PoolUnavailable as stop:
            self._ended.stopped(stop)
            self._given_up.add(lane)
        except StopRun as stop:
            self._note(stop)
        except asyncio.CancelledError:
            raise
        except BaseException as crash:
            # A bug in one row must not leave the others running on unseen.
            self.stop(_crash_reason(crash))
            raise
        finally:
            self._working[lane] -= 1
            if self.is_through(lane):
                self._through()

    async def _one(self, lane: str, call: Call) -> None:
        began = self._now()
        try:
            reply = await self._handler(call)
        except AttemptError as error:
            now = self._now()
            await self._failed(RefusedRow(call, error, round((now - began) * 1000), now, lane))
        except BudgetExhausted as error:
            # The row stays to be done. Later rows may be smaller, or cached and free.
            self._ended.over(error)
            if error.cap == "run":
                self._no_room(call)
        except Draining:
            return
        else:
            await self._succeeded(call, reply)

    async def _succeeded(self, call: Call, reply: Reply) -> None:
        await self._finish(Succeeded(call, reply))
        await self._judge()
        saved = 0 if reply.source == "api" else self._value_of(call, reply)
        self._emit(
            RowFinished(
                call.prompt.id,
                reply.model,
                reply.source,
                True,
                latency_ms=reply.latency_ms,
                saved=saved,
            )
        )

    async def _failed(self, row: RefusedRow) -> None:
        if self._refusals is None or not is_refusal(row.error):
            await self._fail_all([row])
            return
        stop = self._refusals.refused(row)
        await self._judge()
        if stop is not None:
            raise stop
        if self._refusals.suspects(row):
            with suppress(Draining):
                await self._drain.sleep(_SUSPECT_WAITS_S)

    async def _judge(self) -> None:
        """Fail the refused rows that are found to be at fault, and ask those again that
        are not.
        """
        if self._refusals is None:
            return
        own = self._refusals.ripe()
        for row in self._refusals.again():
            self._second[row.lane].append(row.call)
            self._empty.discard(row.lane)
            self._fill(row.lane)
        await self._fail_all(own)

    async def _fail_all(self, rows: Sequence[RefusedRow]) -> None:
        for row in rows:
            await self._fail(row.call, row.error, row.latency_ms)

    async def _fail(self, call: Call, error: AttemptError, latency_ms: int) -> None:
        failure = Failure(
            error.type, error.message, error.status, error.request_id, error.retryable
        )
        await self._finish(Failed(call, failure, error.attempts, latency_ms))
        self._emit(
            RowFinished(
                call.prompt.id,
                call.model,
                "api",
                False,
                error.type,
                latency_ms=latency_ms,
                message=error.message,
            )
        )

    def _note(self, stop: StopRun) -> None:
        self._ended.stopped(stop)
        self.stop(stop.message, quiet=isinstance(stop, ReaderLeft))


def _crash_reason(crash: BaseException) -> str:
    """Why the run stops: an error of the system is told as such, not as a bug."""
    if isinstance(crash, ClaudebatchError):
        return crash.message
    if isinstance(crash, OSError | sqlite3.Error | MemoryError):
        return f"{place_of(crash)}{os_fault(crash).reason}"
    return f"internal error: {type(crash).__name__}"
