"""Lanes of workers: one lane per pool of models, so that no prompt queues behind another model's throttle."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from claudebatch.domain import Call, Failed, Failure, Outcome, Pico, Reply, Succeeded
from claudebatch.drain import Drain
from claudebatch.engine.feed import Feed
from claudebatch.errors import AttemptError, BudgetExhausted, Draining, StopRun
from claudebatch.events import DrainStarted, Emit, RowFinished
from claudebatch.handler import Handler

Finish: TypeAlias = Callable[[Outcome], Awaitable[None]]
"""Writes an outcome down for good, soon; raises `StopRun` when that has become impossible."""


@dataclass(slots=True)
class Ended:
    """How the engine came to rest."""

    stop: StopRun | None = None
    """The gravest reason to stop early, if there was one."""
    over_budget: BudgetExhausted | None = None
    """The first row whose worst case did not fit under the cap."""
    crashed: BaseException | None = None


class Engine:
    """Drives every row of every lane through the stack, and every outcome into the journal."""

    def __init__(
        self,
        handler: Handler,
        *,
        feeds: Sequence[Feed],
        workers: int,
        finish: Finish,
        value_of: Callable[[Call, Reply], Pico],
        drain: Drain,
        now: Callable[[], float],
        emit: Emit,
    ) -> None:
        """*workers* per lane; *value_of* says what a reply would have cost had it been paid for."""
        self._handler = handler
        self._feeds = feeds
        self._workers = workers
        self._finish = finish
        self._value_of = value_of
        self._drain = drain
        self._now = now
        self._emit = emit
        # Mutable: what the workers meet.
        self._ended = Ended()
        self._tasks: list[asyncio.Task[None]] = []

    async def run(self) -> Ended:
        """Work until every lane is empty or the run is stopped."""
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._work(feed)) for feed in self._feeds for _ in range(self._workers)]
        for done in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(done, BaseException) and not isinstance(done, asyncio.CancelledError):
                self._ended.crashed = self._ended.crashed or done
        return self._ended

    def stop(self, reason: str) -> None:
        """Send nothing new; let what is in flight finish."""
        if not self._drain.started:
            self._drain.start(reason)
            self._emit(DrainStarted(reason))

    def abandon(self) -> None:
        """Do not wait for what is in flight either."""
        for task in self._tasks:
            task.cancel()

    async def _work(self, feed: Feed) -> None:
        try:
            while not self._drain.started and (call := await feed.take()) is not None:
                await self._one(call)
        except StopRun as stop:
            self._note(stop)
        except asyncio.CancelledError:
            raise
        except BaseException as crash:
            # A bug in one row must not leave the others running on unseen.
            self.stop(f"internal error: {type(crash).__name__}")
            raise

    async def _one(self, call: Call) -> None:
        began = self._now()
        try:
            reply = await self._handler(call)
        except AttemptError as error:
            await self._failed(call, error, round((self._now() - began) * 1000))
        except BudgetExhausted as error:
            # The row stays to be done. Later rows may be smaller, or cached and free.
            self._ended.over_budget = self._ended.over_budget or error
        except Draining:
            return
        else:
            await self._succeeded(call, reply)

    async def _succeeded(self, call: Call, reply: Reply) -> None:
        await self._finish(Succeeded(call, reply))
        saved = 0 if reply.source == "api" else self._value_of(call, reply)
        self._emit(RowFinished(call.prompt.id, reply.model, reply.source, True, None, reply.latency_ms, saved))

    async def _failed(self, call: Call, error: AttemptError, latency_ms: int) -> None:
        failure = Failure(error.type, error.message, error.status, error.request_id, error.retryable)
        await self._finish(Failed(call, failure, error.attempts, latency_ms))
        self._emit(RowFinished(call.prompt.id, call.model, "api", False, error.type, latency_ms, 0))

    def _note(self, stop: StopRun) -> None:
        kept = self._ended.stop
        if kept is None or stop.exit_code > kept.exit_code:
            self._ended.stop = stop
        self.stop(stop.message)
