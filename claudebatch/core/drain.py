"""One switch that stops every wait in the program or holds up what would be sent, and a
queue whose waits it stops.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from typing import Protocol

from claudebatch.core.errors import Draining


class WakeUp:
    """Wakes the one sleeper that hangs on it, if there is one."""

    def __init__(self) -> None:
        # Mutable: set by `Drain.sleep`, by whoever sleeps last.
        self.sleeper: asyncio.Future[None] | None = None

    def ring(self) -> None:
        """End the wait early."""
        if self.sleeper is not None:
            _wake(self.sleeper)


class Drain:
    """Once started, every `sleep` that waits or begins raises `Draining`; requests in
    flight are left alone.
    """

    def __init__(self) -> None:
        # Mutable state, changed by `start`; `_paused_until`, in the loop's time, by
        # `pause` only.
        self.reason: str | None = None
        self._sleepers: set[asyncio.Future[None]] = set()
        self._paused_until = -math.inf

    @property
    def started(self) -> bool:
        """Whether nothing new may be sent."""
        return self.reason is not None

    def start(self, reason: str) -> None:
        """Stop all waits, now and later. The first reason given is kept."""
        if self.reason is None:
            self.reason = reason
            for sleeper in tuple(self._sleepers):
                if not sleeper.done():
                    sleeper.set_exception(Draining(reason))

    def pause(self, seconds: float) -> None:
        """Nothing is to be sent for so long, from now; a longer pause that was asked
        for before stays.
        """
        self._paused_until = max(self._paused_until, asyncio.get_running_loop().time() + seconds)

    def paused_s(self) -> float:
        """Seconds until the pause is over; 0 where there is none."""
        return max(0.0, self._paused_until - asyncio.get_running_loop().time())

    def check(self) -> None:
        """Raise `Draining` once the drain has started."""
        if self.reason is not None:
            raise Draining(self.reason)

    async def sleep(self, seconds: float, bell: WakeUp | None = None) -> None:
        """Wait *seconds* or until *bell* rings; raises `Draining` at once when the
        drain starts or has started.
        """
        loop = asyncio.get_running_loop()
        woken: asyncio.Future[None] = loop.create_future()
        timer = loop.call_later(seconds, _wake, woken)
        if bell is not None:
            bell.sleeper = woken
        try:
            await self.until(woken)
        finally:
            timer.cancel()

    async def until(self, awaited: asyncio.Future[None]) -> None:
        """Wait for *awaited*; raises `Draining` at once when the drain starts or has
        started.
        """
        self.check()
        self._sleepers.add(awaited)
        try:
            await awaited
        finally:
            self._sleepers.discard(awaited)


class SleepsUntilDrain(Protocol):
    """What `FifoTurn` asks of a `Drain`."""

    async def until(self, awaited: asyncio.Future[None]) -> None:
        """Wait for *awaited* or raise `Draining`."""
        ...


class FifoTurn:
    """A place for one, first come first served; `async with` it. The drain ends the
    wait for it.
    """

    def __init__(self, waits: SleepsUntilDrain) -> None:
        self._waits = waits
        # Mutable: whether somebody has it, and who waits, in order.
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
                self._pass_on()  # granted in the moment in which it was called off
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


def _wake(sleeper: asyncio.Future[None]) -> None:
    if not sleeper.done():
        sleeper.set_result(None)
