"""Work for one thread, handed over in groups, so that the hand-over costs a fraction of
the work.

A hop to a thread and back costs some 40 µs; a look-up or an insert costs 5. Items that
gather on the event loop while the thread is busy go over as the next group: the busier,
the larger.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class BatchWriter(Generic[Item]):
    """Hands items to *work* in order, one group at a time, in one thread of its own.

    *work* gets a list of items and returns nothing, or one answer per item. A group
    gathers for *linger_s*, or until it has *enough* items: a little latency for far
    fewer hand-overs.
    """

    def __init__(
        self,
        work: Callable[[list[Item]], list[Any] | None],
        *,
        name: str,
        linger_s: float,
        enough: int,
    ) -> None:
        self._work = work
        self._linger_s = linger_s
        self._enough = enough
        # One thread: groups keep their order, and a SQLite connection in it needs no
        # lock.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        # Mutable, touched by the event loop only.
        self._items: list[Item] = []
        self._futures: list[asyncio.Future[Any] | None] = []
        self._after: list[Callable[[], None]] = []
        self._busy = False
        self._timer: asyncio.TimerHandle | None = None
        self._idle: asyncio.Future[None] | None = None
        self.failure: BaseException | None = None
        """The first error of *work*; every later item fails with it."""

    def put(self, item: Item) -> None:
        """Hand *item* over and do not wait. A failure shows in `failure` and in the
        next wait.
        """
        self._add((item,), None)

    def put_all(self, items: Sequence[Item]) -> None:
        """As `put`, of many at once."""
        if items:
            self._add(items, None)

    def after(self, then: Callable[[], None]) -> None:
        """Call *then* on the event loop when everything handed over so far was worked
        on, well or not.
        """
        if self._busy:
            self._after.append(then)
        else:
            then()

    async def ask(self, item: Item) -> Any:
        """Hand *item* over and wait until its group is done; returns its answer."""
        answered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._add((item,), answered)
        return await answered

    async def call(self, function: Callable[[], Answer]) -> Answer:
        """Run *function* in the thread, between two groups."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)

    async def drained(self) -> None:
        """Wait until everything handed over is done."""
        while self._busy:
            if self._idle is None:
                self._idle = asyncio.get_running_loop().create_future()
            # Shielded: a caller that is cancelled must not cancel the wait of all
            # others.
            await asyncio.shield(self._idle)

    @property
    def backlog(self) -> int:
        """Items handed over and not yet sent to the thread."""
        return len(self._items)

    async def close(self) -> None:
        """Finish what was handed over and end the thread."""
        await self.drained()
        self._thread.shutdown(wait=True)

    def _add(self, items: Sequence[Item], answered: asyncio.Future[Any] | None) -> None:
        # Groups are handed over whole, so the answer of the last item is that of them
        # all.
        if self.failure is not None:
            raise self.failure
        self._items += items
        self._futures += [None] * (len(items) - 1)
        self._futures.append(answered)
        # While a group is being worked on, `_done` sends the next one.
        if not self._busy:
            self._busy = True
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._linger_s, self._send, loop)
        if self._timer is not None and len(self._items) >= self._enough:
            self._send(asyncio.get_running_loop())

    def _send(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        items, futures, self._items, self._futures = self._items, self._futures, [], []
        after, self._after = self._after, []
        done = loop.run_in_executor(self._thread, self._work, items)
        done.add_done_callback(partial(self._done, loop, futures, after))

    def _done(
        self,
        loop: asyncio.AbstractEventLoop,
        futures: list[asyncio.Future[Any] | None],
        after: list[Callable[[], None]],
        done: asyncio.Future[list[Any] | None],
    ) -> None:
        failure = done.exception()
        answers = None if failure else done.result()
        for index, future in enumerate(futures):
            # A future that is done belongs to a caller that was cancelled; setting it
            # would raise, and the other callers of the group would wait for ever.
            if future is None or future.done():
                continue
            if failure is not None:
                future.set_exception(failure)
            else:
                future.set_result(answers[index] if answers is not None else None)
        if failure is not None:
            self._fail(failure)
        # No later group comes that the waiting calls could belong to.
        if not self._items:
            after += self._after
            self._after = []
        for then in after:
            then()
        # A caller in `drained` waits for all items: lingering would only delay it.
        if len(self._items) >= self._enough or (self._items and self._idle is not None):
            self._send(loop)
        elif self._items:
            self._timer = loop.call_later(self._linger_s, self._send, loop)
        else:
            self._busy = False
            if self._idle is not None:
                self._idle.set_result(None)
                self._idle = None

    def _fail(self, failure: BaseException) -> None:
        # Later items must not be written when an earlier one is lost: an outcome
        # without its intent, or a result line out of order.
        self.failure = self.failure or failure
        waiting, self._items, self._futures = self._futures, [], []
        for future in waiting:
            if future is not None and not future.done():
                future.set_exception(failure)
