"""One switch that stops every wait in the program, or holds up all that would be
sent.
"""

from __future__ import annotations

import asyncio
import math

from claudebatch.core.errors import Draining


class WakeUp:
    """Wakes the one sleeper that hangs on it, if there is one."""

    def __init__(self) -> None:
        # Mutable: set by `Drain.sleep`, by the last sleeper.
        self.sleeper: asyncio.Future[None] | None = None
        # Mutable: how often it rang. A ring that finds nobody asleep is lost otherwise.
        self.rings = 0

    def ring(self) -> None:
        """End the wait early."""
        self.rings += 1
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

    async def sleep(self, seconds: float, wake_up: WakeUp | None = None) -> None:
        """Wait *seconds* or until *wake_up* rings; raises `Draining` at once when the
        drain starts or has started.
        """
        loop = asyncio.get_running_loop()
        woken: asyncio.Future[None] = loop.create_future()
        timer = loop.call_later(seconds, _wake, woken)
        if wake_up is not None:
            wake_up.sleeper = woken
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


def _wake(sleeper: asyncio.Future[None]) -> None:
    if not sleeper.done():
        sleeper.set_result(None)
