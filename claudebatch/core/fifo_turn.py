"""A place for one at a time, first come, first served, whose waits the drain ends."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol


class SleepsUntilDrain(Protocol):
    """The one method of a `Drain` that `FifoTurn` needs."""

    async def until(self, awaited: asyncio.Future[None]) -> None:
        """Wait for *awaited* or raise `Draining`."""
        ...


class FifoTurn:
    """A place for one, first come first served; `async with` it. The drain ends the
    wait for it.
    """

    def __init__(self, waits: SleepsUntilDrain) -> None:
        self._waits = waits
        # Mutable: whether the place is taken, and the waiting ones in order.
        self._taken = False
        self._queue: deque[asyncio.Future[None]] = deque()

    async def __aenter__(self) -> None:
        if not self._taken:
            self._taken = True
            return
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(mine)
        try:
            await self._waits.until(mine)
        except BaseException:
            if mine.done() and not mine.cancelled() and mine.exception() is None:
                # Granted in the moment in which it was called off.
                self._pass_on()
            elif mine in self._queue:
                self._queue.remove(mine)
            raise

    async def __aexit__(self, *_: object) -> None:
        self._pass_on()

    def _pass_on(self) -> None:
        while self._queue:
            following = self._queue.popleft()
            if not following.done():
                following.set_result(None)
                return
        self._taken = False
